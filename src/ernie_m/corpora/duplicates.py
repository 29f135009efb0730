"""Near-duplicates: candidates by MinHash, each verified by exact Jaccard over character trigrams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rensa import RMinHash

NGRAM = 3
# 16 bands of 4: texts of similarity 0.8 share a band with probability 0.9998, of 0.6 with 0.89;
# the exact check decides.
BANDS, BAND_ROWS = 16, 4
MINHASH_SEED = 1


def shingles(text: str) -> set[str]:
    """Character trigrams; a shorter text is its own only one."""
    if len(text) <= NGRAM:
        return {text}
    return {text[start : start + NGRAM] for start in range(len(text) - NGRAM + 1)}


def jaccard(one: set[str], other: set[str]) -> float:
    """Shared shingles over all shingles."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _bands(texts: Sequence[str]) -> np.ndarray:
    """One hash for each band of each text, uint64 ``[n, BANDS]``."""
    matrix = RMinHash.digest_matrix_from_token_sets(
        [sorted(shingles(text)) for text in texts], BANDS * BAND_ROWS, MINHASH_SEED
    )
    rows = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(texts), BANDS, BAND_ROWS)
    mixed = np.zeros(rows.shape[:2], dtype=np.uint64)
    for column in range(BAND_ROWS):  # FNV-1a; a clash costs one exact check more
        mixed = (mixed ^ rows[:, :, column]) * np.uint64(0x100000001B3)
    return mixed


class NearIndex:
    """Texts that can be asked for a near-duplicate of another.

    ``texts`` are comparable keys; :meth:`insert` puts one in, :meth:`find` asks. Digests of all of
    them are made at once, because one by one costs five times as much.
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self.threshold = threshold
        self._texts = texts
        self._bands = _bands(texts).tolist() if len(texts) else []
        self._buckets: list[dict[int, list[int]]] = [{} for _ in range(BANDS)]

    def insert(self, index: int) -> None:
        """Make ``texts[index]`` findable."""
        for bucket, key in zip(self._buckets, self._bands[index], strict=True):
            bucket.setdefault(key, []).append(index)

    def find(self, index: int) -> int | None:
        """The first text inserted that is at least ``threshold`` similar to ``texts[index]``."""
        own: set[str] | None = None
        for other in sorted(self._candidates(index)):
            own = own or shingles(self._texts[index])
            if jaccard(own, shingles(self._texts[other])) >= self.threshold:
                return other
        return None

    def _candidates(self, index: int) -> set[int]:
        found: set[int] = set()
        size = len(self._texts[index])
        for bucket, key in zip(self._buckets, self._bands[index], strict=True):
            found.update(bucket.get(key, ()))
        return {other for other in found if self._may_match(size, len(self._texts[other]))}

    def _may_match(self, one: int, other: int) -> bool:
        """Cheap bound from lengths; repeated trigrams make it inexact, hence the slack."""
        return min(one, other) * 2 >= max(one, other) * self.threshold


def near_duplicates(
    texts: Sequence[str], against: Sequence[str], threshold: float
) -> Iterator[tuple[int, int]]:
    """(index in ``texts``, index in ``against``) of each text that is nearly one of ``against``."""
    index = NearIndex([*against, *texts], threshold)
    for place in range(len(against)):
        index.insert(place)
    for place in range(len(texts)):
        found = index.find(len(against) + place)
        if found is not None:
            yield place, found
