"""Check that the files that a job is about to read are those that their makers recorded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ernie_m.errors import UserError
from ernie_m.records.record import RECORD, File, Record


def check_inputs(files: Iterable[File]) -> None:
    """Compare digests with the records beside or above the files; raises :class:`UserError`,
    naming the file and its maker, where they differ.

    A file that no record claims, such as an external checkpoint, is not checked.
    """
    record = cache(_record)
    for file in files:
        folders = Path(file.path).parents
        makers = (record(folder) for folder in folders)
        maker = next((own for own in makers if own and file.path in own.recorded), None)
        if maker and maker.recorded[file.path] != file.sha256:
            raise UserError(
                f"{file.path} is not what {maker.job} wrote: its SHA-256 begins with "
                f"{file.sha256[:12]}, recorded is {maker.recorded[file.path][:12]}.",
                f"Take the recorded bytes back by `ernie-m restore --for {file.path}`, or have "
                f"them made again by `snakemake --cores all --forcerun {file.path}`. Bytes of your "
                f"own belong into a registry or `init`; to use these here, remove the job's "
                f"{RECORD}.",
            )


def _record(folder: Path) -> Record | None:
    """The record in a folder; None if it is missing or unreadable, which the audit reports."""
    path = folder / RECORD
    return Record.read(path, path.as_posix()) if path.is_file() else None
