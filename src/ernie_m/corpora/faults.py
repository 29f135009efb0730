"""Filter rules: why a text, or two texts as a pair, are not used for training.

They are those rules of CCNet, with which CC-100 was made, that apply to single lines (language
identification, broken or foreign lines), and the usual ones for parallel text. Mark-up and
``{placeholders}`` are kept: the evaluation tasks take labels from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ernie_m.catalogue.languages import Language
from ernie_m.config.corpora import PairRules, RowRules
from ernie_m.corpora.language_id import identifier
from ernie_m.corpora.text import Letters, comparable, numbers_agree, prose

# With fewer words (or characters) repetition says nothing.
MIN_UNITS = 10
# Characters by which repetition is judged: in any text its share grows with the length.
JUDGED = 1000
# A character counts as so many letters of an alphabet. The slack is added to both lengths: short
# texts vary more.
_WEIGHT = {"zh": 3, "zh_hant": 3, "ja": 3, "ko": 2}
_SLACK = 10


@dataclass(frozen=True)
class Line:
    """A normalised text with the properties that the filters use."""

    text: str
    language: Language

    @cached_property
    def words(self) -> str:
        """The text without placeholders, code and addresses."""
        return prose(self.text)

    @cached_property
    def letters(self) -> Letters:
        """Counts of its letters by script."""
        return Letters.of(self.words, self.language.scripts)


def line_fault(line: Line, settings: RowRules) -> str | None:
    """The first reason to drop a text, or None to keep it."""
    if len(line.text) < settings.min_chars:
        return "too short"
    if len(line.text) > settings.max_chars:
        return "too long"
    if "\N{REPLACEMENT CHARACTER}" in line.text:
        return "broken encoding"
    share = line.letters.script_share
    if share is None:
        return "no letters"
    if share < settings.min_script_share:
        return "another script"
    if _another_language(line, settings):
        return "another language"
    if line.letters.letter_share < settings.min_letter_share:
        return "few letters"
    if repetition(line) > settings.max_repetition:
        return "repeats itself"
    return None


def _another_language(line: Line, settings: RowRules) -> bool:
    # An identifier that lacks the language would take the text for another.
    if settings.language_identifier not in line.language.identified:
        return False
    if len(line.words) < settings.language_id_min_chars:
        return False
    label, confidence = identifier(settings.language_identifier)(line.words)
    return label not in line.language.labels and confidence >= settings.language_id_min_confidence


def repetition(line: Line) -> float:
    """Share of words that occurred earlier in the text (of character trigrams where words are not
    spaced) within its first :data:`JUDGED` characters; 0 for texts too short to tell."""
    head = line.words[:JUDGED]
    if line.language.spaced:
        words = head.split()
        return 1 - len(set(words)) / len(words) if len(words) >= MIN_UNITS else 0.0
    letters = list(filter(str.isalpha, head))
    if len(letters) < MIN_UNITS:
        return 0.0
    # Single characters repeat in any text, trigrams do not.
    triples = set(zip(letters, letters[1:], letters[2:], strict=False))
    return 1 - len(triples) / (len(letters) - 2)


def pair_fault(source: str, target: str, pair: Sequence[str], settings: PairRules) -> str | None:
    """The first reason to drop a pair whose sides are good by themselves, or None."""
    if comparable(source) == comparable(target):
        return "identical sides"
    one, other = (
        len(text) * _WEIGHT.get(language, 1) + _SLACK
        for text, language in zip((source, target), pair, strict=True)
    )
    if max(one, other) > settings.max_length_ratio * min(one, other):
        return "uneven lengths"
    if settings.same_digits and not numbers_agree(source, target):
        return "other numbers"
    return None
