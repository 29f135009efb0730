"""Near-duplicates: candidates by MinHash, each verified by exact Jaccard over trigrams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rensa import RMinHash

NGRAM = 3
# 16 bands of 4 hashes: texts of similarity 0.8 share a band with probability 0.9998, those of 0.6
# with 0.89; the exact check decides.
BANDS, BAND_ROWS = 16, 4
MINHASH_SEED = 1
# Texts whose signatures are in memory as Python numbers at once.
BLOCK = 20_000


def shingles(text: str) -> set[str]:
    """Character trigrams; a text of three characters or fewer is its only shingle."""
    if len(text) <= NGRAM:
        return {text}
    return set(map("".join, zip(*(text[start:] for start in range(NGRAM)), strict=False)))


def jaccard(one: set[str], other: set[str]) -> float:
    """Shared shingles over all shingles."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def band_hashes(sets: Sequence[set[str]]) -> np.ndarray:
    """One hash for each band of each set of shingles, uint64 ``[n, BANDS]``."""
    matrix = RMinHash.digest_matrix_from_token_sets(list(sets), BANDS * BAND_ROWS, MINHASH_SEED)
    rows = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(sets), BANDS, BAND_ROWS)
    mixed = np.zeros((len(sets), BANDS), dtype=np.uint64)
    for column in range(BAND_ROWS):  # FNV-1a; a collision costs one more exact check
        mixed = (mixed ^ rows[:, :, column]) * np.uint64(0x100000001B3)
    return mixed


def _bands(texts: Sequence[str]) -> np.ndarray:
    """:func:`band_hashes` of all texts, in blocks."""
    blocks = [
        band_hashes([shingles(text) for text in texts[start : start + BLOCK]])
        for start in range(0, len(texts), BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.zeros((0, BANDS), dtype=np.uint64)


def _without_candidates(bands: np.ndarray) -> np.ndarray:
    """Texts that share no band with another, bool ``[n]``: most of them, found quickly."""
    alone = np.ones(len(bands), dtype=bool)
    for band in bands.T:
        _, inverse, counts = np.unique(band, return_inverse=True, return_counts=True)
        alone &= counts[inverse] == 1
    return alone


class MinHashIndex:
    """An index that finds near-duplicates of a text.

    ``texts`` are comparison keys; :meth:`insert` adds one of them, :meth:`find` looks one up. The
    signatures of all are made at once: one by one takes five times as long.
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self.threshold = threshold
        self._texts = texts
        self._bands = _bands(texts)
        self._alone = _without_candidates(self._bands)
        self._buckets: list[dict[int, list[int]]] = [{} for _ in range(BANDS)]

    def insert(self, index: int) -> None:
        """Make ``texts[index]`` findable."""
        if self._alone[index]:
            return
        for bucket, key in zip(self._buckets, self._bands[index].tolist(), strict=True):
            bucket.setdefault(key, []).append(index)

    def find(self, index: int) -> int | None:
        """Index of the first inserted text with a similarity of ``threshold`` or more, or None."""
        if self._alone[index]:
            return None
        candidates = sorted(self._candidates(index))
        own = shingles(self._texts[index]) if candidates else set()
        for other in candidates:
            if jaccard(own, shingles(self._texts[other])) >= self.threshold:
                return other
        return None

    def _candidates(self, index: int) -> set[int]:
        found: set[int] = set()
        for bucket, key in zip(self._buckets, self._bands[index].tolist(), strict=True):
            found.update(bucket.get(key, ()))
        return found


def near_duplicates(
    texts: Sequence[str], against: Sequence[str], threshold: float
) -> Iterator[tuple[int, int]]:
    """(index in ``texts``, index in ``against``) of each near-duplicate of one of ``against``."""
    index = MinHashIndex([*against, *texts], threshold)
    for number in range(len(against)):
        index.insert(number)
    for number in range(len(texts)):
        found = index.find(len(against) + number)
        if found is not None:
            yield number, found
