"""Which rows of a corpus have the same fingerprint, in memory that does not grow with the corpus.

Every shard leaves (fingerprint, position) in batches that are sorted by fingerprint. Here the range
of fingerprints is cut into parts; of each batch the entries of one part are a slice that is found
by bisection, so that a part is gathered from all shards without reading the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ernie_m.corpora.streams import ArrowWriter

Array = np.ndarray

# Entries of a part, of 16 bytes each; sorting takes twice as much again.
PART_ENTRIES = 4_000_000
# Entries of a batch. Each is looked into once a part: batches of single blocks would be many.
BATCH_ENTRIES = 1_000_000
_SPAN = 1 << 64
SCHEMA = pa.schema([("fingerprint", pa.uint64()), ("position", pa.uint64())])


class FingerprintWriter(ArrowWriter):
    """A file of entries, gathered to batches of ``BATCH_ENTRIES`` or somewhat more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self._waiting: list[tuple[Array, Array]] = []

    def __exit__(self, *error: Any) -> None:
        self._flush()
        super().__exit__(*error)

    def add(self, fingerprints: Array, positions: Array) -> None:
        """Take in some entries, uint64 ``[n]`` each."""
        self._waiting.append((fingerprints, positions))
        if sum(len(one) for one, _ in self._waiting) >= BATCH_ENTRIES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            write_fingerprints(self, *map(np.concatenate, zip(*self._waiting, strict=True)))
            self._waiting.clear()


def write_fingerprints(writer: ArrowWriter, fingerprints: Array, positions: Array) -> None:
    """Leave one batch of entries, sorted as :func:`parts` needs it."""
    order = np.lexsort((positions, fingerprints))
    writer.write({"fingerprint": fingerprints[order], "position": positions[order]})


def parts(paths: Sequence[Path], entries: int = PART_ENTRIES) -> Iterator[tuple[Array, Array]]:
    """(fingerprints, positions) of one part after the other, sorted by both."""
    total = 0
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            total += sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))
    count = max(1, -(-total // entries))
    for part in range(count):
        low, high = (_SPAN * edge // count for edge in (part, part + 1))
        slices = [piece for path in paths for piece in _slices(path, low, high - 1)]
        if slices:
            fingerprints, positions = (
                np.concatenate(column) for column in zip(*slices, strict=False)
            )
            order = np.lexsort((positions, fingerprints))
            yield fingerprints[order], positions[order]


def _slices(path: Path, low: int, last: int) -> Iterator[tuple[Array, Array]]:
    # Mapped anew for each part, or the pages of all parts would stay in memory.
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            batch = file.get_batch(index)
            fingerprints = batch.column(0).to_numpy()
            start = np.searchsorted(fingerprints, np.uint64(low), side="left")
            end = np.searchsorted(fingerprints, np.uint64(last), side="right")
            if end > start:
                yield fingerprints[start:end].copy(), batch.column(1).to_numpy()[start:end].copy()


def firsts(fingerprints: Array, positions: Array) -> Array:
    """For each entry of a part, the lowest position with the same fingerprint."""
    new = np.ones(len(fingerprints), dtype=bool)
    new[1:] = fingerprints[1:] != fingerprints[:-1]
    return positions[new][np.cumsum(new) - 1]
