"""Parquet files between the corpora stages: string columns, and what they hold as metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ernie_m.errors import UserError


def write_table(path: Path, columns: Mapping[str, Sequence[str]], languages: Sequence[str]) -> None:
    """Write string ``columns`` of equal length; ``languages`` says what the texts are in."""
    fields = [pa.field(name, pa.large_string(), nullable=False) for name in columns]
    schema = pa.schema(fields, metadata={"languages": ",".join(languages)})
    arrays = [pa.array(values, pa.large_string()) for values in columns.values()]
    pq.write_table(pa.table(arrays, schema=schema), path, compression="zstd")


def _open(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a whole Parquet file ({error}).",
            "Delete it and run the stage that makes it again.",
        ) from None


def read_table(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """The named string columns of a file; raises :class:`UserError` for a damaged one."""
    table = _open(path)
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.column_names)}.",
            "Give the stage the file it asks for.",
        )
    return [table.column(name).to_pylist() for name in columns]


def table_languages(path: Path) -> list[str]:
    """Languages of a file's texts, in column order: one, or the two sides of a pair."""
    metadata = _open(path).schema.metadata or {}
    names = metadata.get(b"languages", b"").decode()
    if not names:
        raise UserError(
            f"{path} does not say which language it holds.", "Make it with corpora.split."
        )
    return names.split(",")
