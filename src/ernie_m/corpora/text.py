"""Text normalisation, mark-up removal, and the key by which texts are compared."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache

# Invisible, but part of the spelling: Persian and Indic scripts join and split letters with them.
_JOINERS = {0x200C, 0x200D}

# {name}, and printf's %s, %(name)s, %1$.2f in messages of applications; no space flag, or "5 % des"
# would match. A character of a script without spaces may follow. Possessive quantifiers (`*+`) do
# not backtrack: a line of zeros would take minutes.
_PLACEHOLDER = re.compile(
    r"\{[^{}\s]*\}|%(?:\(\w+\)|\d+\$)?[-#0+]*+\d*+(?:\.\d+)?l{0,2}[sdifruxX](?![A-Za-z0-9_])"
)
_LINK = re.compile(r"\[([^\[\]]+)\]\([^()\s]*\)")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"(?<!`)`++([^`]+)`+")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
# Python parses at most 4,300 digits; here a longer number counts as several.
_DIGITS = re.compile(r"\d{1,1000}")
# Every match of the placeholder, mark-up and address patterns contains one of these.
_SIGNS = ("{", "%", "`", "](", "**", "://", "www.")

# From ten on, numbers are written in digits in all languages.
_AS_A_WORD = 10


class _Visible(dict[int, str | int | None]):
    """Code point -> its replacement: white space becomes a space; other control, format, surrogate
    and private-use characters (Cc, Cf, Cs, Co) are removed."""

    def __missing__(self, point: int) -> str | int | None:
        character = chr(point)
        kept: str | int | None = point
        if character.isspace():
            kept = " "
        elif point not in _JOINERS and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co"}:
            kept = None
        self[point] = kept
        return kept


class _Comparable(dict[int, str | int]):
    """Code point -> itself for letters, marks and numbers, else a space."""

    def __missing__(self, point: int) -> str | int:
        kept = point if unicodedata.category(chr(point))[0] in "LMN" else " "
        self[point] = kept
        return kept


_VISIBLE = _Visible()
_COMPARABLE = _Comparable()
_WORD = re.compile(r"[^\W_]+")
# Combining marks, which `_WORD` takes for punctuation; listed for the first plane only.
_MARKS = "".join(
    mark for mark in map(chr, range(0x10000)) if unicodedata.category(mark).startswith("M")
)
_INTRICATE = re.compile(f"[{_MARKS}\U00010000-\U0010ffff]")


def normalise(text: str) -> str:
    """NFC, no control or zero-width characters, single spaces; idempotent.

    NFC and not NFKC: compatibility folding is left to the tokenizer (nmt_nfkc), and evaluation has
    to find answers in the text as it was written.
    """
    if not text.isprintable():  # much faster than translating, and nearly always true
        text = text.translate(_VISIBLE)
    return " ".join(unicodedata.normalize("NFC", text).split())


def strip_markup(text: str) -> str:
    """Text without mark-up: ``**bold**``, `` `code` `` and ``[links](address)`` keep only their
    words; ``{placeholders}`` are kept."""
    for pattern in (_LINK, _BOLD, _CODE):
        text = pattern.sub(r"\1", text)
    return " ".join(text.split())


def prose(text: str) -> str:
    """Text without placeholders, code spans and web addresses, which belong to no language."""
    if not any(sign in text for sign in _SIGNS):  # as in nearly all web text
        return " ".join(text.split())
    for pattern in (_PLACEHOLDER, _CODE, _ADDRESS):
        text = pattern.sub(" ", text)
    return strip_markup(text)


def comparable(text: str) -> str:
    """Comparison key: NFKC, case-folded, without punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if _INTRICATE.search(folded):
        return " ".join(folded.translate(_COMPARABLE).split())
    return " ".join(_WORD.findall(folded))  # the same result, faster


def _numbers(text: str) -> Counter[int]:
    """Numbers in digits of any script, sub- and superscripts too (CO₂), outside placeholders."""
    folded = unicodedata.normalize("NFKC", _PLACEHOLDER.sub(" ", text))
    return Counter(int(found) for found in _DIGITS.findall(folded))


def numbers_agree(one: str, other: str) -> bool:
    """Whether the numbers in two texts allow them to be translations.

    A number below ten on one side only may be spelt out on the other ("one", "twice").
    """
    left, right = _numbers(one), _numbers(other)
    only_left, only_right = left - right, right - left
    if only_left and only_right:
        return False
    return all(number < _AS_A_WORD for number in only_left + only_right)


@cache
def script(character: str) -> str:
    """First word of a letter's Unicode name, its script; half- and full-width forms are folded."""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "UNKNOWN")
    first = re.split(r"[ -]", name, maxsplit=1)[0]
    return "CJK" if first == "IDEOGRAPHIC" else first


class _Kinds(dict[int, str | None]):
    """Code point -> its kind in one character: `o` letter of one of the scripts, `l` other letter,
    `m` combining mark, `.` anything else; spaces are removed."""

    def __init__(self, scripts: frozenset[str]) -> None:
        super().__init__()
        self._scripts = scripts

    def __missing__(self, point: int) -> str | None:
        character = chr(point)
        kind: str | None = "."
        if character.isspace():
            kind = None
        elif character.isalpha():
            kind = "o" if script(character) in self._scripts else "l"
        elif unicodedata.category(character)[0] == "M":
            kind = "m"
        self[point] = kind
        return kind


_kinds = cache(_Kinds)


@dataclass(frozen=True, slots=True)
class Letters:
    """Character counts of a text: letters ``in_scripts``, ``other`` letters, combining ``marks``,
    and all characters ``written``, that is but spaces."""

    in_scripts: int
    other: int
    marks: int
    written: int

    @classmethod
    def of(cls, text: str, scripts: frozenset[str]) -> Letters:
        """Count the characters of ``text``."""
        kinds = text.translate(_kinds(scripts))
        return cls(kinds.count("o"), kinds.count("l"), kinds.count("m"), len(kinds))

    @property
    def script_share(self) -> float | None:
        """Share of the letters that belong to the scripts; None when there are no letters."""
        letters = self.in_scripts + self.other
        return self.in_scripts / letters if letters else None

    @property
    def letter_share(self) -> float:
        """Share of letters and marks (vowel signs of Indic scripts are marks) in all characters but
        spaces."""
        return (self.in_scripts + self.other + self.marks) / max(self.written, 1)
