"""Lines to train a vocabulary on, drawn from text that no memory holds.

Of each language the lines of smallest hash are taken, as many as it is given. So the sample is the
one that :func:`ernie_m.tokenizer.train.sample` draws of all distinct lines together, whatever the
number of shards and their order, and only the sample is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappush, heappushpop
from pathlib import Path

import pyarrow.parquet as pq

from ernie_m.corpora.hashing import hash64


def place(seed: int, line: str) -> int:
    """Where a line stands in the order in which lines are drawn."""
    return hash64(seed, "sample", line)


class Smallest:
    """The ``count`` distinct lines that stand first, of all that were added."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._lines: dict[int, str] = {}
        self._heap: list[int] = []  # negative places, the last one first

    def add(self, line: str) -> None:
        """Keep a line if it stands before one that is kept."""
        own = place(self._seed, line)
        if own in self._lines:
            return
        if len(self._heap) < self._count:
            heappush(self._heap, -own)
        elif self._heap and own < -self._heap[0]:
            del self._lines[-heappushpop(self._heap, -own)]
        else:
            return
        self._lines[own] = line

    def lines(self) -> list[str]:
        """Those kept, in order."""
        return [self._lines[own] for own in sorted(self._lines)]


def _columns(path: Path) -> dict[str, str]:
    """Language -> its column in a file of corpora.select."""
    languages = pq.read_schema(path).metadata[b"languages"].decode().split(",")
    names = ["text"] if len(languages) == 1 else ["source", "target"]
    return dict(zip(languages, names, strict=True))


def row_counts(paths: Sequence[Path]) -> dict[str, int]:
    """Lines of each language, repeated ones too; languages sorted. Reads no text."""
    counts: Counter[str] = Counter()
    for path in paths:
        rows = pq.read_metadata(path).num_rows
        counts.update(dict.fromkeys(_columns(path), rows))
    return {language: counts[language] for language in sorted(counts) if counts[language]}


def draw(paths: Sequence[Path], counts: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    """As many distinct lines of each language as ``counts`` says, or all if there are fewer."""
    kept = {language: Smallest(count, seed) for language, count in counts.items()}
    for path in paths:
        columns = _columns(path)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(columns.values())):
                for language, name in columns.items():
                    add = kept[language].add
                    for line in batch.column(name).to_pylist():
                        add(line)
    return {language: own.lines() for language, own in kept.items()}
