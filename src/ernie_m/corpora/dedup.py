"""Find what repeats across all shards of a corpus: rows exactly, documents nearly.

Of rows that are the same, the one of lowest position stays. Documents that share a band of MinHash
are compared with the first that has it, exactly, by the Jaccard similarity of their shingles; the
later one is dropped. Neither depends on how the corpus is divided into shards.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ernie_m.config.corpora import DedupRules
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.fingerprints import repeats
from ernie_m.corpora.streams import ArrowWriter, read_batches
from ernie_m.corpora.text import comparable
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

Array = np.ndarray
SCHEMA = pa.schema([("position", pa.uint64())])
# Pairs of documents that are compared at once: shingles of twice as many documents are in memory,
# some kilobytes each; but megabytes where a file does not say where documents end.
PAIRS = 50


class Documents:
    """The shingles of any documents of a corpus, by the position of their first row."""

    def __init__(self, paths: Sequence[Path], language: str) -> None:
        self._language = language
        places: list[tuple[int, Path, int]] = []  # first position of each block that has rows
        for path in paths:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                for index in range(file.num_record_batches):
                    positions = file.get_batch(index).column(0)
                    if len(positions):
                        places.append((positions[0].as_py(), path, index))
        self._places = sorted(places, key=lambda place: place[0])
        self._firsts = np.array([place[0] for place in self._places], dtype=np.uint64)

    def shingles(self, positions: Array) -> dict[int, Array]:
        """64-bit hashes of each document's shingles, sorted; ``positions`` are sorted. The hashes
        are this process's own."""
        found: dict[int, Array] = {}
        blocks = np.searchsorted(self._firsts, positions, side="right") - 1
        for number in np.unique(blocks).tolist():
            found |= self._of_block(number, positions[blocks == number])
        return found

    def _of_block(self, number: int, wanted: Array) -> dict[int, Array]:
        _, path, index = self._places[number]
        # Mapped, because of a block of thousands of rows a few documents are asked for.
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
        own = document_shingles(self._language, map(comparable, texts))
        return np.unique(np.fromiter(map(hash, own), dtype=np.int64, count=len(own)))


def similarity(one: Array, other: Array) -> float:
    """Jaccard similarity of two sets, given as sorted arrays without repetitions."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(len(one) + len(other) - shared, 1)


def repeated_rows(paths: Sequence[Path], target: Path) -> int:
    """Write the positions of rows that stand earlier in the corpus too; returns their number."""
    count = 0
    with ArrowWriter(target, SCHEMA) as writer:
        for pairs in repeats(paths):
            writer.write({"position": np.sort(pairs[:, 1])})
            count += len(pairs)
    return count


def repeated_documents(
    paths: Sequence[Path], documents: Documents, threshold: float, target: Path
) -> int:
    """Write the positions of documents that nearly repeat an earlier one; returns their number."""
    found = np.zeros(0, dtype=np.uint64)  # so far: nearly all share bands in several parts
    with ArrowWriter(target, SCHEMA) as writer:
        for repeated in repeats(paths):
            pairs = np.unique(repeated, axis=0)
            new = _alike(pairs[~np.isin(pairs[:, 1], found)], documents, threshold)
            writer.write({"position": new})
            found = np.union1d(found, new)
    return len(found)


def _alike(pairs: Array, documents: Documents, threshold: float) -> Array:
    """Of ``pairs`` of positions ``[n, 2]`` the later ones that repeat the earlier, sorted."""
    alike: set[int] = set()
    for start in range(0, len(pairs), PAIRS):
        some = pairs[start : start + PAIRS]
        known = documents.shingles(np.unique(some))
        alike.update(
            other
            for one, other in some.tolist()
            if similarity(known[one], known[other]) >= threshold
        )
    return np.array(sorted(alike), dtype=np.uint64)


def run(job: Job[DedupRules]) -> None:
    """Write rows.arrow and documents.arrow, the positions to drop; instance ``{corpus}``."""
    language = job.instance.split("-")[1]
    settings = job.settings
    lines = job.inputs("lines") if settings.exact_duplicates else []
    near = job.inputs("documents") if settings.near_duplicates else []
    if not any(batch.num_rows for path in job.inputs("rows") for batch in read_batches(path)):
        raise UserError(
            f"The corpus `{job.instance}` has no rows left after its filters.",
            "See in the statistics of corpora_filter and corpora_deal why; loosen "
            "`corpora.filter`, add a dataset, or take its language or pair out of `corpora`.",
        )
    rows = repeated_rows(lines, job.output("exact"))
    documents = Documents(job.inputs("rows") if near else [], language)
    found = repeated_documents(
        near, documents, settings.near_duplicate_threshold, job.output("near")
    )
    logger.info("%s: %d rows repeated, %d documents nearly", job.instance, rows, found)


if __name__ == "__main__":
    main(run, DedupRules)
