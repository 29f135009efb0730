"""String columns of Parquet files that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ernie_m.arrow import pa, pq
from ernie_m.errors import UserError


def _open(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
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
