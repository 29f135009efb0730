"""Find what repeats across all shards of a corpus: rows exactly, documents nearly.

Of rows that are the same, the one of lowest position stays. Documents that share a band of MinHash
are compared with the first that has it, exactly, by the Jaccard similarity of their shingles; the
later one is dropped. Neither depends on how the corpus is divided into shards.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from ernie_m.config.corpora import MatchRules
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.duplicates import jaccard
from ernie_m.corpora.fingerprints import firsts, parts
from ernie_m.corpora.streams import ArrowWriter
from ernie_m.corpora.text import comparable
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

Array = np.ndarray
SCHEMA = pa.schema([("position", pa.uint64())])
# Blocks, documents and verdicts that are remembered, since likenesses come in families.
_BLOCKS, _DOCUMENTS, _VERDICTS = 16, 4_000, 500_000


class Documents:
    """The shingles of any document of a corpus, by the position of its first row."""

    def __init__(self, paths: Sequence[Path], language: str) -> None:
        self._language = language
        self._places: list[tuple[int, Path, int]] = []  # first position of each block that has rows
        for path in paths:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                for index in range(file.num_record_batches):
                    positions = file.get_batch(index).column(0)
                    if len(positions):
                        self._places.append((positions[0].as_py(), path, index))
        self._places.sort(key=lambda place: place[0])
        self._block = lru_cache(_BLOCKS)(self._read)
        self.shingles = lru_cache(_DOCUMENTS)(self._shingles)

    def _read(self, number: int) -> tuple[Array, list[str], list[str]]:
        _, path, index = self._places[number]
        with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
            batch = file.get_batch(index)
            positions = batch.column("position").to_numpy(zero_copy_only=False).copy()
            return positions, batch.column("group").to_pylist(), batch.column("text").to_pylist()

    def _shingles(self, position: int) -> set[str]:
        number = bisect_right(self._places, position, key=lambda place: place[0]) - 1
        positions, groups, texts = self._block(number)
        first = last = int(np.searchsorted(positions, np.uint64(position)))
        while last < len(groups) and groups[last] == groups[first]:
            last += 1
        return document_shingles(self._language, map(comparable, texts[first:last]))


def repeated_rows(paths: Sequence[Path], target: Path) -> int:
    """Write the positions of rows that stand earlier in the corpus too; returns their number."""
    count = 0
    with ArrowWriter(target, SCHEMA) as writer:
        for fingerprints, positions in parts(paths):
            later = positions[firsts(fingerprints, positions) != positions]
            writer.write({"position": np.sort(later)})
            count += len(later)
    return count


def repeated_documents(
    paths: Sequence[Path], documents: Documents, threshold: float, target: Path
) -> int:
    """Write the positions of documents that nearly repeat an earlier one; returns their number,
    where a document that several bands have found counts several times."""

    @lru_cache(_VERDICTS)
    def alike(one: int, other: int) -> bool:
        return jaccard(documents.shingles(one), documents.shingles(other)) >= threshold

    count = 0
    with ArrowWriter(target, SCHEMA) as writer:
        for fingerprints, positions in parts(paths):
            first = firsts(fingerprints, positions)
            later = first != positions
            # In the order of positions, because documents that lie together are read together.
            pairs = np.unique(np.stack([first[later], positions[later]], axis=1), axis=0)
            found = {other for one, other in pairs.tolist() if alike(one, other)}
            writer.write({"position": np.array(sorted(found), dtype=np.uint64)})
            count += len(found)
    return count


def run(job: Job[MatchRules]) -> None:
    """Write rows.arrow and documents.arrow, the positions to drop; instance ``{corpus}``."""
    language = job.instance.split("-")[1]
    settings = job.settings
    lines = job.inputs("lines") if settings.exact_duplicates else []
    near = job.inputs("documents") if settings.near_duplicates else []
    rows = repeated_rows(lines, job.output("repeated"))
    documents = Documents(job.inputs("rows") if near else [], language)
    found = repeated_documents(
        near, documents, settings.near_duplicate_threshold, job.output("alike")
    )
    logger.info("%s: %d rows repeated, %d bands of documents", job.instance, rows, found)


if __name__ == "__main__":
    main(run, MatchRules)
