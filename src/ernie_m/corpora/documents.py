"""Documents as sets of shingles, by which near-duplicates are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ernie_m.catalogue.languages import LANGUAGES

SHINGLE = 5
# Documents of fewer words (characters) have too few shingles for a likeness to mean much.
MIN_UNITS = 20


def document_shingles(language: str, keys: Iterable[str]) -> set[str]:
    """Shingles of five words, or characters where words are not spaced, of a document given by the
    comparable keys of its paragraphs; empty for documents too short to compare."""
    text = " ".join(keys)
    if LANGUAGES[language].spaced:
        units: Sequence[str] = text.split()
        glue = " "
    else:
        units, glue = text.replace(" ", ""), ""
    if len(units) < MIN_UNITS:
        return set()
    runs = zip(*(units[start:] for start in range(SHINGLE)), strict=False)
    return set(map(glue.join, runs))
