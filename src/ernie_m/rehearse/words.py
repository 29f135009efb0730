"""Invented sentences in the letters of a language."""

from __future__ import annotations

import itertools
import random
import unicodedata
from functools import cache

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.corpora.text import script

LETTERS = 20  # of each script; enough for words that do not repeat
WORDS = 12  # of a sentence
DENSE = {"CJK", "HANGUL"}  # scripts of which a character says as much as a word or half of one
UNKNOWN = frozenset({"LATIN"})  # of a language that no corpus here is in


@cache
def _letters(name: str) -> tuple[str, ...]:
    """The first letters of a script that are a whole and have no case, or the lower one."""
    found = (
        chr(code)
        for code in range(0x30000)
        if unicodedata.name(chr(code), "").startswith(f"{name} ")
        and unicodedata.category(chr(code)) in ("Ll", "Lo")
        and script(chr(code)) == name
        and unicodedata.is_normalized("NFKC", chr(code))
    )
    return tuple(itertools.islice(found, LETTERS))


class Words:
    """What is said in one language; the same ``seed`` says the same."""

    def __init__(self, language: str, seed: str) -> None:
        known = LANGUAGES.get(language)
        scripts = known.scripts if known else UNKNOWN
        self.draw = random.Random(f"{seed} {language}")
        self._alphabet = [letter for name in sorted(scripts) for letter in _letters(name)]
        # The sides of a pair are to be alike in weight.
        self._length = 2 if DENSE & scripts else 5

    def word(self) -> str:
        """Random letters."""
        return "".join(self.draw.choices(self._alphabet, k=self._length))

    def words(self, count: int = WORDS) -> list[str]:
        """So many words."""
        return [self.word() for _ in range(count)]

    def sentence(self, count: int = WORDS) -> str:
        """Words with spaces between them, and a full stop."""
        return " ".join(self.words(count)) + "."

    def sentences(self, count: int) -> list[str]:
        """So many sentences."""
        return [self.sentence() for _ in range(count)]
