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
    """Character trigrams; a text of fewer than three characters is its only shingle."""
    return {text[start : start + NGRAM] for start in range(len(text) - NGRAM + 1)} or {text}


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


def _signatures(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """:func:`band_hashes` of all texts, in blocks, and their numbers of shingles, int64 ``[n]``."""
    bands, sizes = [np.zeros((0, BANDS), dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(texts), BLOCK):
        sets = [shingles(text) for text in texts[start : start + BLOCK]]
        bands.append(band_hashes(sets))
        sizes.append(np.array([len(own) for own in sets], dtype=np.int64))
    return np.concatenate(bands), np.concatenate(sizes)


def _without_candidates(bands: np.ndarray, inserted: int) -> np.ndarray:
    """Texts that share no band with one of the first ``inserted``, and of these such as share none
    with any other, bool ``[n]``: most texts, found quickly."""
    alone = np.ones(len(bands), dtype=bool)
    for band in bands.T:
        _, inverse, counts = np.unique(band, return_inverse=True, return_counts=True)
        first, rest = inverse[:inserted], inverse[inserted:]
        alone[:inserted] &= counts[first] == 1
        alone[inserted:] &= np.bincount(first, minlength=len(counts))[rest] == 0
    return alone


class MinHashIndex:
    """An index that finds near-duplicates of a text.

    ``texts`` are comparison keys; :meth:`insert` adds one of them, :meth:`find` looks one up. At
    most the first ``inserted`` are ever added. The signatures of all are made at once: one by one
    takes five times as long.
    """

    def __init__(self, texts: Sequence[str], threshold: float, inserted: int) -> None:
        self.threshold = threshold
        self._texts = texts
        self._bands, sizes = _signatures(texts)
        self._sizes: list[int] = sizes.tolist()
        self._alone = _without_candidates(self._bands, inserted)
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
        candidates = [other for other in self._candidates(index) if self._alike(index, other)]
        own = shingles(self._texts[index]) if candidates else set()
        for other in sorted(candidates):
            if jaccard(own, shingles(self._texts[other])) >= self.threshold:
                return other
        return None

    def _alike(self, one: int, other: int) -> bool:
        """Whether two texts have so like numbers of shingles that they can share enough."""
        sizes = self._sizes[one], self._sizes[other]
        return min(sizes) / max(sizes) >= self.threshold

    def _candidates(self, index: int) -> set[int]:
        found: set[int] = set()
        for bucket, key in zip(self._buckets, self._bands[index].tolist(), strict=True):
            found.update(bucket.get(key, ()))
        return found


def near_duplicates(
    texts: Sequence[str], against: Sequence[str], threshold: float
) -> Iterator[tuple[int, int]]:
    """(index in ``texts``, index in ``against``) of each near-duplicate of one of ``against``."""
    index = MinHashIndex([*against, *texts], threshold, len(against))
    for number in range(len(against)):
        index.insert(number)
    for number in range(len(texts)):
        found = index.find(len(against) + number)
        if found is not None:
            yield number, found
