"""Duplicate fingerprints of a corpus, found in memory that does not grow with the corpus.

Every shard writes entries (fingerprint, position) in batches sorted by fingerprint. Here the range
of fingerprints is cut into parts. In each batch the entries of one part are a slice, found by
bisection, so a part is gathered from all shards without reading the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.arrow import pa
from ernie_m.corpora.streams import ArrowWriter

Array = np.ndarray

# Entries of a part, 16 bytes each; sorting takes twice as much again.
PART_ENTRIES = 4_000_000
# Entries of a batch. Each part opens every batch, so a batch should be larger than a block.
BATCH_ENTRIES = 1_000_000
_SPAN = 1 << 64
SCHEMA = pa.schema([("fingerprint", pa.uint64()), ("position", pa.uint64())])


class FingerprintWriter(ArrowWriter):
    """A file of entries, buffered into batches of ``BATCH_ENTRIES`` or somewhat more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self._waiting: list[tuple[Array, Array]] = []

    def __enter__(self) -> FingerprintWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._flush()
        super().__exit__(*error)

    def add(self, fingerprints: Array, positions: Array) -> None:
        """Add entries, uint64 ``[n]`` each."""
        self._waiting.append((fingerprints, positions))
        if sum(len(one) for one, _ in self._waiting) >= BATCH_ENTRIES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            write_fingerprints(self, *map(np.concatenate, zip(*self._waiting, strict=True)))
            self._waiting.clear()


def write_fingerprints(writer: ArrowWriter, fingerprints: Array, positions: Array) -> None:
    """Write one batch of entries, sorted as :func:`duplicate_pairs` needs it."""
    order = np.lexsort((positions, fingerprints))
    writer.write({"fingerprint": fingerprints[order], "position": positions[order]})


def duplicate_pairs(paths: Sequence[Path], entries: int = PART_ENTRIES) -> Iterator[Array]:
    """Pairs of positions, uint64 ``[n, 2]``, part by part: the lowest position of a fingerprint,
    and a higher one with the same fingerprint. Each of ``paths`` has higher positions than the one
    before.
    """
    total = 0
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            total += sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))
    count = max(1, -(-total // entries))
    for part in range(count):
        low, high = (_SPAN * edge // count for edge in (part, part + 1))
        waiting, waiting_entries = [], 0
        for piece in (piece for path in paths for piece in _slices(path, low, high - 1)):
            waiting.append(piece)
            waiting_entries += len(piece[0])
            # More than a part should have: some line occurs millions of times. Keep its first only.
            if waiting_entries > 2 * entries:
                pairs, first = _pairs_within(waiting)
                yield pairs
                waiting, waiting_entries = [first], len(first[0])
        if waiting:
            yield _pairs_within(waiting)[0]


def _pairs_within(pieces: Sequence[tuple[Array, Array]]) -> tuple[Array, tuple[Array, Array]]:
    """The duplicate pairs among some entries, and the entries without the later duplicates."""
    fingerprints, positions = map(np.concatenate, zip(*pieces, strict=True))
    order = np.lexsort((positions, fingerprints))
    fingerprints, positions = fingerprints[order], positions[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = fingerprints[1:] != fingerprints[:-1]
    firsts = positions[new][np.cumsum(new) - 1]
    later = firsts != positions
    return np.stack([firsts, positions], axis=1)[later], (fingerprints[new], positions[new])


def _slices(path: Path, low: int, last: int) -> Iterator[tuple[Array, Array]]:
    # Mapped anew for each part, or the pages of all parts would stay resident.
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            batch = file.get_batch(index)
            fingerprints = batch.column(0).to_numpy()
            start = np.searchsorted(fingerprints, np.uint64(low), side="left")
            end = np.searchsorted(fingerprints, np.uint64(last), side="right")
            if end > start:
                yield fingerprints[start:end].copy(), batch.column(1).to_numpy()[start:end].copy()
