"""Select the rows of one shard, without duplicates and evaluation text: training rows, and
documents held out for validation losses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ernie_m.arrow import pa
from ernie_m.config.corpora import SelectSettings
from ernie_m.corpora.drops import DropCounts
from ernie_m.corpora.eval_hashes import EvalTexts
from ernie_m.corpora.hashing import held_for_validation, unit_interval
from ernie_m.corpora.streams import PartsWriter, columns_of, read_batches
from ernie_m.corpus import Corpus
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

Array = np.ndarray


def listed(path: Path, positions: Array) -> Array:
    """Which of ``positions`` (sorted) the file lists, bool ``[n]``."""
    is_listed = np.zeros(len(positions), dtype=bool)
    if not len(positions):
        return is_listed
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            stored = file.get_batch(index).column(0).to_numpy()
            start = np.searchsorted(stored, positions[0], side="left")
            end = np.searchsorted(stored, positions[-1], side="right")
            is_listed |= np.isin(positions, stored[start:end])
    return is_listed


def _duplicate_reasons(batch: pa.RecordBatch, rows: Path, documents: Path) -> list[str | None]:
    """Why each row of a block is dropped as a duplicate, or None."""
    positions = batch.column("position").to_numpy()
    groups = batch.column("group").to_pylist()
    exact, near_heads = listed(rows, positions), listed(documents, positions)
    # A document is listed by its first row; all its rows are dropped.
    near_groups = {
        group for group, is_head in zip(groups, near_heads.tolist(), strict=True) if is_head
    }
    return [
        "repeated"
        if is_exact
        else "in a nearly repeated document"
        if group in near_groups
        else None
        for is_exact, group in zip(exact.tolist(), groups, strict=True)
    ]


def _select_rows(
    job: Job[SelectSettings], corpus: Corpus, eval_texts: EvalTexts, drops: DropCounts
) -> Iterator[dict[str, list[tuple[str, ...]]]]:
    """Kept rows by part, block by block. Validation rows are not decontaminated."""
    exact, near, columns = job.input("exact"), job.input("near"), columns_of(corpus)
    share = job.settings.pair_shares.get(corpus.text, 1.0)
    for batch in read_batches(job.input("kept")):
        chosen: dict[str, list[tuple[str, ...]]] = {"train": [], "valid": []}
        values = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        for row, reason in zip(values, _duplicate_reasons(batch, exact, near), strict=True):
            _, group, *texts = row
            valid = held_for_validation(group, job.settings.valid_share, job.seed)
            if not (reason or valid) and any(map(eval_texts, texts)):
                reason = "evaluation text"
            # By the text, so that a smaller share is a part of a larger one.
            if not (reason or valid) and unit_interval(job.seed, "share", *texts) >= share:
                reason = "beyond the share of the pair"
            if reason:
                drops.add(reason, id=row[0], **dict(zip(columns[2:], texts, strict=True)))
            else:
                chosen["valid" if valid else "train"].append(row)
        yield chosen


def run(job: Job[SelectSettings]) -> None:
    """Write train.parquet, valid.parquet and stats.json; instance ``{corpus}/{shard}``."""
    corpus = Corpus.parse(job.instance.partition("/")[0])
    languages, drops = corpus.languages, DropCounts()
    sizes = {"rows": {"train": 0, "valid": 0}, "characters": {"train": 0, "valid": 0}}
    targets = {part: job.output(part) for part in ("train", "valid")}
    eval_texts = EvalTexts.read(job.inputs("eval_hashes"))
    with PartsWriter(targets, columns_of(corpus), languages) as writer:
        for block in _select_rows(job, corpus, eval_texts, drops):
            for part, rows in block.items():
                writer.write(part, [writer.table(rows)] if rows else [])
                sizes["rows"][part] += len(rows)
                sizes["characters"][part] += sum(len(text) for row in rows for text in row[2:])
    read = sum(sizes["rows"].values()) + sum(drops.counts.values())
    job.write_json("stats", {"languages": languages, "rows_in": read, **sizes} | drops.facts())
    logger.info("%s: %s of %d rows", job.instance, sizes["rows"], read)


if __name__ == "__main__":
    main(run, SelectSettings)
