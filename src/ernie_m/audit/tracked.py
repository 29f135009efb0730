"""The tags of an MLflow run."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ernie_m.errors import UserError
from ernie_m.tracking.store import connect, sqlite_file


def tags_of(uri: str, run_id: str) -> dict[str, str] | None:
    """Tags of a run in the store at ``uri``; None if there is no such run or no store.

    Raises :class:`UserError` for a damaged store.

    A SQLite store is read without MLflow, which takes seconds to load.
    """
    file = sqlite_file(uri)
    if file is None:
        return _asked(uri, run_id) if uri else None
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            known = store.execute("select 1 from runs where run_uuid = ?", (run_id,)).fetchone()
            rows = store.execute("select key, value from tags where run_uuid = ?", (run_id,))
            return dict(rows.fetchall()) if known else None
    except sqlite3.Error as error:
        raise UserError(
            f"MLflow's store {file} cannot be read: {error}.",
            "Name the result by its path or cell; moved away, the store is made anew.",
        ) from None


def _asked(uri: str, run_id: str) -> dict[str, str] | None:
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        return dict(client.get_run(run_id).data.tags)
    except MlflowException:
        return None
