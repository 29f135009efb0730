"""Bottom-k samples: random lines from text larger than memory.

A line's sample key is a seeded hash of its bytes; the sample of a language is its k distinct lines
with the smallest keys. It does not depend on how the text is sharded or ordered, and samples of
shards can be merged: the k smallest of all are among the k smallest of each shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np

from ernie_m.arrow import pa, pq
from ernie_m.corpora.hashing import hash64

_LAST = 2**64 - 1
# Lines kept beyond the k smallest before pruning; a quarter of k where that is more.
_SLACK = 10_000
# Rows of a row group, some megabytes.
_ROWS = 20_000
_SAMPLE = pa.schema(
    [pa.field(name, pa.large_string(), nullable=False) for name in ("language", "text")]
)


def sample_key(seed: int, line: str) -> int:
    """Sample key of a line: a seeded 64-bit hash."""
    return hash64(seed, "sample", line)


def _raw(lines: pa.Array) -> Iterator[memoryview]:
    """UTF-8 of each line; made without Python strings, which would cost more than the hashes."""
    array = lines.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    edges = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1].tolist()
    text = memoryview(data if data is not None else b"")
    return (text[start:end] for start, end in pairwise(edges))


def sample_keys(seed: int, lines: pa.Array) -> np.ndarray:
    """:func:`sample_key` of each of ``lines``, uint64 ``[n]``."""
    seeded = blake2b(f"{seed}\0sample\0".encode(), digest_size=8)
    digests = []
    for line in _raw(lines):
        hashed = seeded.copy()
        hashed.update(line)
        digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), "<u8")


class BottomKSample:
    """The ``count`` distinct lines with the smallest sample keys among all lines added; few more
    are in memory."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._limit = _LAST  # largest key that may still enter the sample
        self._capacity = count + max(count // 4, _SLACK)
        self._lines: dict[int, str] = {}

    def add(self, lines: pa.Array) -> None:
        """Add ``lines`` (strings); only those whose key is below the limit are kept."""
        if not self._count or not len(lines):
            return
        keys = sample_keys(self._seed, lines)
        (rows,) = np.nonzero(keys <= self._limit)
        for key, row in zip(keys[rows].tolist(), rows.tolist(), strict=True):
            if key not in self._lines:
                self._lines[key] = lines[row].as_py()
        if len(self._lines) > self._capacity:
            self._prune()

    def _prune(self) -> None:
        kept = np.fromiter(self._lines, np.uint64, len(self._lines))
        self._limit = int(np.partition(kept, self._count - 1)[self._count - 1])
        for key in kept[kept > self._limit].tolist():
            del self._lines[key]

    def lines(self) -> list[str]:
        """The sample, ordered by key."""
        return [self._lines[key] for key in sorted(self._lines)[: self._count]]


def _columns(schema: pa.Schema) -> dict[str, str]:
    """Language -> its column in a file of corpora.select."""
    languages = schema.metadata[b"languages"].decode().split(",")
    names = ["text"] if len(languages) == 1 else ["source", "target"]
    return dict(zip(languages, names, strict=True))


def row_counts(paths: Sequence[Path]) -> dict[str, int]:
    """Number of lines of each language in files of corpora.select, duplicates included; languages
    sorted. Reads metadata only."""
    counts: Counter[str] = Counter()
    for path in paths:
        rows = pq.read_metadata(path).num_rows
        counts.update(dict.fromkeys(_columns(pq.read_schema(path)), rows))
    return {language: counts[language] for language in sorted(counts) if counts[language]}


def _row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Row groups one by one; ``iter_batches`` would not free what it has read."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)


def shard_lines(paths: Sequence[Path]) -> Iterator[tuple[str, pa.Array]]:
    """The lines of files of corpora.select, block by block: (language, strings)."""
    for path in paths:
        columns = _columns(pq.read_schema(path))
        for rows in _row_groups(path, list(columns.values())):
            for language, name in columns.items():
                yield language, rows[name].combine_chunks()


def write_sample(path: Path, lines: Mapping[str, Sequence[str]]) -> None:
    """Write the lines of each language as Parquet; each row group has lines of one language."""
    with pq.ParquetWriter(path, _SAMPLE, compression="zstd") as writer:
        for language, texts in lines.items():
            if texts:
                table = pa.table([[language] * len(texts), texts], schema=_SAMPLE)
                writer.write_table(table, row_group_size=_ROWS)


def sample_lines(paths: Sequence[Path]) -> Iterator[tuple[str, pa.Array]]:
    """The lines of files that :func:`write_sample` has written: (language, strings)."""
    for path in paths:
        for rows in _row_groups(path):
            yield rows["language"][0].as_py(), rows["text"].combine_chunks()


def draw(
    lines: Iterator[tuple[str, pa.Array]], counts: Mapping[str, int], seed: int
) -> dict[str, list[str]]:
    """Sample ``counts`` distinct lines of each language, or all if there are fewer; languages in
    the order of ``counts``."""
    samples = {language: BottomKSample(count, seed) for language, count in counts.items()}
    for language, block in lines:
        samples[language].add(block)
    return {language: sample.lines() for language, sample in samples.items()}
