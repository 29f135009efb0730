"""Documents as sets of shingles, for near-duplicate detection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ernie_m.catalogue.languages import LANGUAGES

SHINGLE = 5
# With fewer words (or characters) there are too few shingles for a similarity to mean much.
MIN_UNITS = 20


def document_shingles(language: str, keys: Iterable[str]) -> set[str]:
    """Shingles of five words, or of five characters where words are not spaced.

    ``keys`` are the comparison keys of the document's paragraphs. Empty for a document too short
    to compare.
    """
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
