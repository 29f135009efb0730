"""Read one language, or one pair of them, out of one downloaded file: rows of id, group and text.

The same id means the same meaning in every language; rows of one group come from one source
document and are never divided between training and evaluation. Documents and pairs are written as
they are read, in blocks; n-way parallel rows fit into memory and are sorted by id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from ernie_m.config.corpora import ExtractSettings, TableKind
from ernie_m.corpora.readers import bitext, catalogue, cc100, homeassistant, moses, table, tmx
from ernie_m.corpora.streams import MONO, PAIR, write_blocks
from ernie_m.corpora.tables import write_table
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

Reader = Callable[[Path, str], Iterator[tuple[str, str, str]]]

# Format, and for a table its kind -> reader of (group, key, text).
READERS: dict[tuple[str, TableKind | None], Reader] = {
    ("homeassistant", None): homeassistant.read,
    **{("table", kind): partial(table.read, kind=kind) for kind in get_args(TableKind)},
}


# Reads the documents or pairs of some languages: (group, one text a language). An empty group means
# that the row stands alone.
StreamReader = Callable[[Path, Sequence[str]], Iterator[tuple[str, tuple[str, ...]]]]


def stream_reader(settings: ExtractSettings) -> StreamReader | None:
    """The reader of a format of documents or pairs, None for n-way parallel rows."""
    readers: dict[str, StreamReader] = {
        "cc100": cc100.read,
        "ccnet": cc100.read_json,
        "ccnet_text": cc100.read_text,
        "moses": moses.read,
        "tmx": tmx.read,
        "gettext": catalogue.read,
        "bitext": partial(bitext.read, order=settings.languages),
        "wikimatrix": partial(
            bitext.read_wikimatrix, order=settings.languages, least=settings.min_score
        ),
    }
    if settings.kind:
        readers["document_table"] = partial(table.read_documents, kind=settings.kind)
        readers["pair_table"] = partial(table.read_pairs, kind=settings.kind)
    return readers.get(settings.format)


def _stream(job: Job[ExtractSettings], read: StreamReader) -> None:
    dataset, name = job.instance.split("/")
    languages = name.split("-")

    def rows() -> Iterator[tuple[str, ...]]:
        found = read(job.input("file"), languages)
        for number, (group, texts) in enumerate(found):
            key = f"{dataset}:{number}"
            yield (key, f"{dataset}:{group}" if group else key, *map(_encodable, texts))

    columns = MONO if len(languages) == 1 else PAIR
    count = write_blocks(job.output("rows"), rows(), columns, languages)
    if not count:
        raise _nothing(dataset, name)
    logger.info("%s: %d rows", job.instance, count)


def _encodable(text: str) -> str:
    """``text`` without lone surrogates, which are valid in JSON and in no encoding."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _nothing(dataset: str, language: str) -> UserError:
    return UserError(
        f"Dataset `{dataset}` holds no text in language `{language}`.",
        "Take the language out of `corpora.languages` and of the dataset's registry row, "
        "or add a dataset that has it.",
    )


def run(job: Job[ExtractSettings]) -> None:
    """Write rows.parquet; instance ``{dataset}/{language}`` or, for pairs, ``{dataset}/en-de``."""
    stream = stream_reader(job.settings)
    if stream:
        _stream(job, stream)
    else:
        _rows(job)


def _rows(job: Job[ExtractSettings]) -> None:
    dataset, language = job.instance.split("/")
    rows: dict[str, tuple[str, str]] = {}
    read = READERS[job.settings.format, job.settings.kind]
    for group, key, text in read(job.input("file"), language):
        rows[f"{dataset}:{group}:{key}"] = (f"{dataset}:{group}", _encodable(text))
    if not rows:
        raise _nothing(dataset, language)
    ids = sorted(rows)
    columns = {
        "id": ids,
        "group": [rows[name][0] for name in ids],
        "text": [rows[name][1] for name in ids],
    }
    write_table(job.output("rows"), columns, [language])
    logger.info("%s: %d rows in %d groups", job.instance, len(ids), len(set(columns["group"])))


if __name__ == "__main__":
    main(run, ExtractSettings)
