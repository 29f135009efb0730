"""Extract one language, or one language pair, from a downloaded file: rows of id, group and text.

Rows with the same id are translations of one another. Rows of one group come from one source
document and are never split between training and evaluation. Rows are written as they are read, in
blocks. What is left out of the file is counted, and malformed lines are kept for reading.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ernie_m.config.corpora import ExtractSettings
from ernie_m.corpora.readers import bitext, catalogue, cc100, interface, moses, table, tmx
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.streams import MONO, PAIR, write_blocks
from ernie_m.corpus import codes_of
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Reads some languages of a file: (document, one text per language). With an empty document the row
# stands alone.
Reader = Callable[[Path, Sequence[str], Leftovers], Iterator[tuple[str, tuple[str, ...]]]]
# Reads one language of n-way parallel rows: (group, key, text).
RowsReader = Callable[[Path, str, Leftovers], Iterator[tuple[str, str, str]]]
Rows = Iterator[tuple[str, ...]]


def reader_of(settings: ExtractSettings) -> Reader | None:
    """The reader of a format of documents or pairs, None for n-way parallel rows."""
    head = settings.head_bytes
    readers: dict[str, Reader] = {
        "cc100": partial(cc100.read, head=head),
        "ccnet": partial(cc100.read_json, head=head),
        "ccnet_text": partial(cc100.read_text, head=head),
        "moses": moses.read,
        "tmx": tmx.read,
        "gettext": catalogue.read,
        "bitext": partial(bitext.read, order=settings.languages, head=head),
        "wikimatrix": partial(
            bitext.read_wikimatrix,
            order=settings.languages,
            least=settings.min_score,
            head=head,
        ),
    }
    if settings.kind:
        readers["document_table"] = partial(table.read_documents, kind=settings.kind)
        readers["pair_table"] = partial(table.read_pairs, kind=settings.kind)
    return readers.get(settings.format)


def rows_reader_of(settings: ExtractSettings) -> RowsReader:
    """The reader of a format of n-way parallel rows."""
    if layout := interface.LAYOUTS.get(settings.format):
        return partial(interface.read, layout=layout)
    assert settings.kind
    return partial(table.read, kind=settings.kind)


def rows_of(
    path: Path,
    dataset: str,
    languages: Sequence[str],
    settings: ExtractSettings,
    left: Leftovers,
) -> Rows:
    """Rows of id, group and one text per language. The id of an n-way parallel row holds its key,
    the same in every language; other rows are numbered."""
    if read := reader_of(settings):
        for number, (document, texts) in enumerate(read(path, languages, left)):
            name = f"{dataset}:{number}"
            yield (name, f"{dataset}:{document}" if document else name, *texts)
    else:
        for group, key, text in rows_reader_of(settings)(path, languages[0], left):
            yield f"{dataset}:{group}:{key}", f"{dataset}:{group}", text


def _encodable(text: str) -> str:
    """``text`` without lone surrogates: JSON may hold them, UTF-8 cannot."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _nothing(dataset: str, language: str, left: Leftovers, head_bytes: int | None) -> UserError:
    if head_bytes:
        return UserError(
            f"The first {head_bytes:,} bytes of dataset `{dataset}` hold no whole document.",
            "Take more of it by `head_bytes`.",
        )
    seen = f"; its language tags are {left.seen()}" if left.tags else ""
    lost = f"; left out are {left.sentence()}" if left.sentence() else ""
    return UserError(
        f"Dataset `{dataset}` holds no text in language `{language}`{seen}{lost}.",
        "Take the language out of `corpora.languages` and of the dataset's registry row, "
        "or add a dataset that has it.",
    )


def run(job: Job[ExtractSettings]) -> None:
    """Write rows.parquet, stats.json and bad_lines.jsonl, the last two where they are asked for;
    instance ``{dataset}/{language}`` or, for pairs, ``{dataset}/en-de``."""
    dataset, name = job.instance.split("/")
    languages = codes_of(name)
    left = Leftovers(job.input("file"), job.settings.max_bad_lines)
    found = rows_of(job.input("file"), dataset, languages, job.settings, left)
    rows = (tuple(map(_encodable, row)) for row in found)
    columns = MONO if len(languages) == 1 else PAIR
    count = write_blocks(job.output("rows"), rows, columns, languages)
    left.judge()
    if not count:
        raise _nothing(dataset, name, left, job.settings.head_bytes)
    if "stats" in job.output_paths:
        job.write_json("stats", {"rows_out": count, **left.facts()})
    if "bad_lines" in job.output_paths:
        left.write(job.output("bad_lines"))
    if left.tags:
        logger.info("%s: language tags %s", job.instance, left.seen())
    if left.sentence():
        logger.warning("%s: left out %s", job.instance, left.sentence())
    logger.info("%s: %d rows", job.instance, count)


if __name__ == "__main__":
    main(run, ExtractSettings)
