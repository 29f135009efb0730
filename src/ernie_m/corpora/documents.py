"""Documents as sets of shingles, by which near-duplicates are told."""

from __future__ import annotations

from collections.abc import Iterable

from ernie_m.corpora.languages import LANGUAGES
from ernie_m.corpora.text import comparable

SHINGLE = 5
# Documents of fewer words (characters) have too few shingles for a likeness to mean much.
MIN_UNITS = 20


def document_shingles(language: str, texts: Iterable[str]) -> set[str]:
    """Shingles of five words, or characters where words are not spaced; empty for documents too
    short to compare. Case and punctuation do not count."""
    key = comparable(" ".join(texts))
    spaced = LANGUAGES[language].spaced
    units = key.split() if spaced else list(key.replace(" ", ""))
    if len(units) < MIN_UNITS:
        return set()
    glue = " " if spaced else ""
    return {glue.join(units[start : start + SHINGLE]) for start in range(len(units) - SHINGLE + 1)}
