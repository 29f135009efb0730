"""Near-duplicates: candidates by MinHash, each verified by exact Jaccard over trigrams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rensa import RMinHash

NGRAM = 3
# 16 bands of 4: texts of similarity 0.8 share a band with probability 0.9998, of 0.6 with 0.89;
# the exact check decides.
BANDS, BAND_ROWS = 16, 4
MINHASH_SEED = 1
# Texts whose digests are in memory as Python numbers at once.
BLOCK = 20_000


def shingles(text: str) -> set[str]:
    """Character trigrams; a shorter text is its own only one."""
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
    for column in range(BAND_ROWS):  # FNV-1a; a clash costs one exact check more
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
    """Texts that share no band with another, bool ``[n]``: most of them, and quickly told."""
    alone = np.ones(len(bands), dtype=bool)
    for band in bands.T:
        _, inverse, counts = np.unique(band, return_inverse=True, return_counts=True)
        alone &= counts[inverse] == 1
    return alone


class MinHashIndex:
    """Texts that can be asked for a near-duplicate of another.

    ``texts`` are comparable keys; :meth:`insert` puts one in, :meth:`find` asks. Digests of all of
    them are made at once, because one by one costs five times as much.
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
        """The inserted text of lowest index that is at least ``threshold`` similar, or None."""
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
    """(index in ``texts``, index in ``against``) of each text that is nearly one of ``against``."""
    index = MinHashIndex([*against, *texts], threshold)
    for number in range(len(against)):
        index.insert(number)
    for number in range(len(texts)):
        found = index.find(len(against) + number)
        if found is not None:
            yield number, found
