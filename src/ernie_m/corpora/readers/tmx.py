"""TMX, the exchange format of translation memories: ``<tu><tuv xml:lang="en"><seg>...``.

Parsed event by event, so files may be of any size. Text in inline codes (``<bpt>``, ``<ph>`` ...)
is mark-up of the original document and is left out; ``<hi>`` holds words. Of a unit's variants the
one is taken whose language tag suits best. Control characters, which XML forbids and exported
memories hold, are taken out; bytes that are not of the file's encoding become U+FFFD, for which
corpora.filter drops the row.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ernie_m.catalogue.tags import best_tag
from ernie_m.corpora.readers import streams
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.errors import UserError

_BLOCK = 1 << 16
# What XML 1.0 forbids, as characters and as references to them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_TO_CONTROL = re.compile(
    r"&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|x0*(?:[0-8bcef]|1[\da-f]|d[89a-f][\da-f]{2}|fff[ef]));",
    re.IGNORECASE,
)
# First bytes of XML in UTF-16, with and without byte order mark.
_UTF16 = {
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "utf-16"),
    **{b"<\0": "utf-16-le", b"\0<": "utf-16-be"},
}
_REFERENCE = 16  # characters of the longest that is looked for across blocks
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding=["']([\w.-]+)["']""")
_CODES = {"bpt", "ept", "it", "ph", "ut"}


class _Units:
    """Parser handlers that collect finished translation units."""

    def __init__(self) -> None:
        self.finished: list[dict[str, str]] = []
        self._unit: dict[str, str] = {}
        self._language = ""
        self._text: list[str] | None = None
        self._codes = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "tu":
            self._unit = {}
        elif tag == "tuv":
            # Version 1.1 wrote `lang`.
            self._language = attributes.get("xml:lang") or attributes.get("lang", "")
        elif tag == "seg":
            self._text = []
        elif tag in _CODES:
            self._codes += 1

    def characters(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if tag in _CODES:
            self._codes -= 1
        elif tag == "seg" and self._text is not None:
            self._unit.setdefault(self._language, "".join(self._text))
            self._text = None
        elif tag == "tu":
            self.finished.append(self._unit)


def _refuse(*_: Any) -> None:
    raise ValueError("it declares entities, which no translation memory needs")


def _parser(units: _Units) -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = units.start
    parser.EndElementHandler = units.end
    parser.CharacterDataHandler = units.characters
    parser.EntityDeclHandler = _refuse  # they can expand without bound, or read other files
    return parser


def _decoded(stream: io.BufferedReader) -> io.TextIOWrapper:
    """The text of ``stream``, in the encoding that its byte order mark or declaration names."""
    head = stream.peek(_BLOCK)
    found = _ENCODING.match(head)
    encoding = found[1].decode("ascii") if found else "utf-8"
    if head.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    elif head[:2] in _UTF16:
        encoding = _UTF16[head[:2]]
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")


def _allowed(text: io.TextIOWrapper, left: Leftovers) -> Iterator[str]:
    """Blocks of ``text`` without forbidden characters."""
    rest = ""
    while block := text.read(_BLOCK):
        block = rest + block
        begun = block.find("&", max(0, len(block) - _REFERENCE))
        rest = block[begun:] if begun >= 0 else ""
        yield _cleaned(block[: len(block) - len(rest)], left)
    yield _cleaned(rest, left)


def _cleaned(text: str, left: Leftovers) -> str:
    text, count = _CONTROL.subn("", text)
    if "&#" in text:
        text, more = _TO_CONTROL.subn("", text)
        count += more
    if count:
        left.skipped["control characters"] += count
    return text


@lru_cache(maxsize=1_000)
def _chosen(tags: tuple[str, ...], languages: tuple[str, ...]) -> tuple[str | None, ...]:
    """The tag of each language."""
    return tuple(best_tag(tags, code) for code in languages)


def read(
    path: Path, languages: Sequence[str], left: Leftovers
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every unit that has all ``languages``; raises
    :class:`UserError` for a file that is not TMX."""
    units = _Units()
    parser = _parser(units)
    since = 0  # characters since the last unit ended, which the parser buffers
    with streams.unpacked(path) as stream:
        streams.check_text(stream, str(path), utf16=True)
        try:
            for block in chain(_allowed(_decoded(stream), left), (None,)):
                since += len(block or "")
                if since > streams.MAX_LINE_BYTES:
                    raise ValueError(f"a unit is longer than {streams.MAX_LINE_BYTES:,} characters")
                parser.Parse(block or "", block is None)
                if units.finished:
                    since = 0
                yield from _pairs(units.finished, tuple(languages), left)
                units.finished.clear()
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise UserError(
                f"{path} is not a TMX file that can be read: {error}.",
                "Fetch it again, or correct `format` in the registry row.",
            ) from None


def _pairs(
    units: Sequence[dict[str, str]], languages: tuple[str, ...], left: Leftovers
) -> Iterator[tuple[str, tuple[str, ...]]]:
    left.lines += len(units)
    left.see(chain.from_iterable(units))
    for unit in units:
        tags = _chosen(tuple(unit), languages)
        missing = [code for code, tag in zip(languages, tags, strict=True) if tag is None]
        if missing:
            left.skip(f"without text in `{missing[0]}`")
        else:
            yield "", tuple(unit[tag] for tag in tags if tag is not None)
