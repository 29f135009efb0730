"""Read one language out of one downloaded file: rows of id, group and text.

The same id means the same meaning in every language; rows of one group come from one source
document and are never divided between training and evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from ernie_m.config.corpora import ExtractSettings, TableKind
from ernie_m.corpora.readers import homeassistant, table
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


def run(job: Job[ExtractSettings]) -> None:
    """Write rows.parquet, sorted by id; instance ``{dataset}/{language}``."""
    dataset, language = job.instance.split("/")
    rows: dict[str, tuple[str, str]] = {}
    read = READERS[job.settings.format, job.settings.kind]
    for group, key, text in read(job.input("file"), language):
        # Lone surrogates are valid in JSON and in no encoding.
        whole = text.encode("utf-8", errors="replace").decode("utf-8")
        rows[f"{dataset}:{group}:{key}"] = (f"{dataset}:{group}", whole)
    if not rows:
        raise UserError(
            f"Dataset `{dataset}` holds no text in language `{language}`.",
            "Take the language out of `corpora.languages` and of the dataset's registry row, "
            "or add a dataset that has it.",
        )
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
