"""Deduplicate a corpus across all its shards: exact duplicates of rows, near-duplicate documents.

Of identical rows, the one with the lowest position is kept. A document that shares a MinHash band
with an earlier one is compared with the first in that band by exact Jaccard similarity of their
shingles, and dropped if it is similar. Neither depends on how the corpus is divided into shards.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ernie_m.arrow import pa
from ernie_m.config.corpora import DedupRules
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.fingerprints import duplicate_pairs
from ernie_m.corpora.streams import ArrowWriter, read_batches
from ernie_m.corpora.text import comparable
from ernie_m.corpus import Corpus
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

Array = np.ndarray
SCHEMA = pa.schema([("position", pa.uint64())])
# Pairs of documents compared at once. Shingles of twice as many documents are in memory: some
# kilobytes each, but megabytes where a file does not mark where documents end.
PAIRS = 50


class Documents:
    """Random access to the shingles of documents, by the position of their first row."""

    def __init__(self, paths: Sequence[Path], language: str) -> None:
        self._language = language
        blocks: list[tuple[int, Path, int]] = []  # first position of each block with rows
        for path in paths:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                for index in range(file.num_record_batches):
                    positions = file.get_batch(index).column(0)
                    if len(positions):
                        blocks.append((positions[0].as_py(), path, index))
        self._blocks = sorted(blocks, key=lambda block: block[0])
        self._firsts = np.array([block[0] for block in self._blocks], dtype=np.uint64)

    def shingles(self, positions: Array) -> dict[int, Array]:
        """64-bit hashes of each document's shingles, sorted; ``positions`` are sorted. The hashes
        are comparable within this process only."""
        shingles: dict[int, Array] = {}
        block_of = np.searchsorted(self._firsts, positions, side="right") - 1
        for number in np.unique(block_of).tolist():
            shingles |= self._of_block(number, positions[block_of == number])
        return shingles

    def _of_block(self, number: int, wanted: Array) -> dict[int, Array]:
        _, path, index = self._blocks[number]
        # Mapped: only a few documents of a block of thousands of rows are read.
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            batch = file.get_batch(index)
            starts = np.searchsorted(batch.column("position").to_numpy(), wanted).tolist()
            return {
                position: self._hashes(batch, start)
                for position, start in zip(wanted.tolist(), starts, strict=True)
            }

    def _hashes(self, batch: pa.RecordBatch, first: int) -> Array:
        groups, last = batch.column("group"), first + 1
        while last < len(groups) and groups[last] == groups[first]:
            last += 1
        texts = batch.column("text")[first:last].to_pylist()
        shingles = document_shingles(self._language, map(comparable, texts))
        return np.unique(np.fromiter(map(hash, shingles), dtype=np.int64, count=len(shingles)))


def similarity(one: Array, other: Array) -> float:
    """Jaccard similarity of two sets, given as sorted arrays of distinct values."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(len(one) + len(other) - shared, 1)


def exact_duplicates(paths: Sequence[Path], target: Path) -> int:
    """Write the positions of rows that occur earlier in the corpus too; returns their number."""
    count = 0
    with ArrowWriter(target, SCHEMA) as writer:
        for pairs in duplicate_pairs(paths):
            writer.write({"position": np.sort(pairs[:, 1])})
            count += len(pairs)
    return count


def near_duplicates(
    paths: Sequence[Path], documents: Documents, threshold: float, target: Path
) -> int:
    """Write the positions of near-duplicates of an earlier document; returns their number."""
    dropped = np.zeros(
        0, dtype=np.uint64
    )  # so far: most near-duplicates share bands in several parts
    with ArrowWriter(target, SCHEMA) as writer:
        for candidates in duplicate_pairs(paths):
            pairs = np.unique(candidates, axis=0)
            new = _later_of_similar(pairs[~np.isin(pairs[:, 1], dropped)], documents, threshold)
            writer.write({"position": new})
            dropped = np.union1d(dropped, new)
    return len(dropped)


def _later_of_similar(pairs: Array, documents: Documents, threshold: float) -> Array:
    """The second positions of those ``pairs`` ``[n, 2]`` whose documents are similar, sorted."""
    later: set[int] = set()
    for start in range(0, len(pairs), PAIRS):
        some = pairs[start : start + PAIRS]
        shingles = documents.shingles(np.unique(some))
        later.update(
            other
            for one, other in some.tolist()
            if similarity(shingles[one], shingles[other]) >= threshold
        )
    return np.array(sorted(later), dtype=np.uint64)


def run(job: Job[DedupRules]) -> None:
    """Write rows.arrow and documents.arrow, the positions to drop; instance ``{corpus}``."""
    language = Corpus.parse(job.instance).languages[0]
    settings = job.settings
    lines = job.inputs("lines") if settings.exact_duplicates else []
    near = job.inputs("documents") if settings.near_duplicates else []
    if not any(batch.num_rows for path in job.inputs("rows") for batch in read_batches(path)):
        raise UserError(
            f"The corpus `{job.instance}` has no rows left after its filters.",
            "See in the statistics of corpora_filter and corpora_deal why; loosen "
            "`corpora.filter`, add a dataset, or take its language or pair out of `corpora`.",
        )
    dropped_rows = exact_duplicates(lines, job.output("exact"))
    documents = Documents(job.inputs("rows") if near else [], language)
    dropped_documents = near_duplicates(
        near, documents, settings.near_duplicate_threshold, job.output("near")
    )
    logger.info(
        "%s: %d rows repeated, %d documents nearly", job.instance, dropped_rows, dropped_documents
    )


if __name__ == "__main__":
    main(run, DedupRules)
