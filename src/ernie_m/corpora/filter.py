"""Filter one shard of a corpus row by row: normalise, then apply the rules of corpora.faults.

Each decision depends on the row alone, so it is the same for any number of shards. Every dropped
row is counted, and a dataset of which nothing is kept stops the run. The fingerprints of kept rows
are written for deduplication across shards. One block of rows is in memory at a time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.config.corpora import FilterSettings
from ernie_m.corpora.drops import DropCounts
from ernie_m.corpora.faults import Line, line_fault, pair_fault
from ernie_m.corpora.fingerprints import FingerprintWriter
from ernie_m.corpora.kept import KeptWriter
from ernie_m.corpora.streams import Block, shard_blocks
from ernie_m.corpora.text import normalise
from ernie_m.corpus import Corpus
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Rows of a dataset that are judged as all of it where it is divided among shards.
ENOUGH_ROWS = 10_000


def _judge(
    languages: Sequence[str], settings: FilterSettings
) -> Callable[[Sequence[str]], str | None]:
    """A function that gives the first reason to drop a row, or None to keep it."""

    def judge(texts: Sequence[str]) -> str | None:
        for text, language in zip(texts, languages, strict=True):
            reason = line_fault(Line(text, LANGUAGES[language]), settings)
            if reason:
                return reason
        return pair_fault(texts[0], texts[1], languages, settings) if len(texts) == 2 else None

    return judge


def _sift(
    block: Block, columns: Sequence[str], judge: Callable, drops: DropCounts
) -> dict[str, list]:
    """The rows of a block that are kept, normalised."""
    content = block.columns
    kept: dict[str, list] = {"position": [], **{name: [] for name in columns}}
    rows = zip(*(content[name] for name in columns), strict=True)
    for offset, (name, group, *raw) in enumerate(rows):
        texts = [normalise(text) for text in raw]
        reason = judge(texts)
        if reason:
            drops.add(reason, id=name, **dict(zip(columns[2:], raw, strict=True)))
            continue
        values = (block.position + offset, name, group, *texts)
        for column, value in zip(kept.values(), values, strict=True):
            column.append(value)
    return kept


def run(job: Job[FilterSettings]) -> None:
    """Write rows.arrow, lines.arrow, documents.arrow and stats.json; instance
    ``{corpus}/{shard}``."""
    corpus, number = job.instance.rsplit("/", 1)
    settings, drops = job.settings, DropCounts()
    near = settings.near_duplicates and Corpus.parse(corpus).is_mono
    read, dropped = Counter[str](), dict[str, Counter[str]]()  # by dataset
    with (
        FingerprintWriter(job.output("documents")) as documents,
        KeptWriter(
            corpus, job.output("rows"), job.output("lines"), documents if near else None
        ) as writer,
    ):
        judge = _judge(writer.languages, settings)
        for block in shard_blocks(job.inputs("corpus"), int(number), settings.shards):
            dataset = block.columns["id"][0].partition(":")[0]  # a block is of one file
            before = drops.counts.copy()
            writer.add(_sift(block, writer.columns, judge, drops))
            read[dataset] += len(block)
            dropped.setdefault(dataset, Counter()).update(drops.counts - before)
    rows_in, rows_out = read.total(), read.total() - drops.counts.total()
    logger.info("%s: %d of %d rows stay; %s", job.instance, rows_out, rows_in, drops.sentence())
    for dataset, reasons in dropped.items():
        enough = settings.shards == 1 or read[dataset] >= ENOUGH_ROWS
        if enough and reasons.total() == read[dataset]:
            raise _nothing(corpus, dataset, reasons)
    job.write_json("stats", {"rows_in": rows_in, "rows_out": rows_out, **drops.facts()})


def _nothing(corpus: str, dataset: str, reasons: Counter[str]) -> UserError:
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return UserError(
        f"Of the {reasons.total():,} rows of dataset `{dataset}` in `{corpus}` none passes the "
        f"filters; dropped are {why}.",
        "Check that the dataset is in this language and that `format` and `languages` of its "
        "registry row are right; loosen `corpora.filter`, or leave the dataset out.",
    )


if __name__ == "__main__":
    main(run, FilterSettings)
