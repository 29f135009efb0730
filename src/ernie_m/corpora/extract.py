"""Read one language out of one downloaded file: rows of id, group and text.

The same id means the same meaning in every language; rows of one group come from one source
document and are never divided between training and evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from ernie_m.config.corpora import ExtractSettings
from ernie_m.corpora.readers import homeassistant
from ernie_m.corpora.tables import write_table
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Format -> reader of (group, key, text).
READERS: dict[str, Callable[[Path, str], Iterator[tuple[str, str, str]]]] = {
    "homeassistant": homeassistant.read,
}


def run(job: Job[ExtractSettings]) -> None:
    """Write rows.parquet, sorted by id; instance ``{dataset}/{language}``."""
    dataset, language = job.instance.split("/")
    rows: dict[str, tuple[str, str]] = {}
    for group, key, text in READERS[job.settings.format](job.input("file"), language):
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
