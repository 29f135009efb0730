"""Fetch the files of one source of evaluation data, or copy them from a folder.

Output: ``files``, under the names of the registry row. What has another SHA-256 than the row says
is refused; where upstream publishes none, the record keeps that of what came.
"""

from __future__ import annotations

import logging
import shutil
import time
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ernie_m.config.sources import PARQUET, SourceJob
from ernie_m.corpora.arrival import PAUSES, TIMEOUT
from ernie_m.corpora.transfer import TransferError, transfer
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.records.digest import file_sha256

logger = logging.getLogger(__name__)


def fetch_url(url: str, target: Path) -> None:
    """One file over HTTP(S)."""
    try:
        transfer(url, target, None, TIMEOUT, lambda done, total: None)
    finally:
        target.with_name(f"{target.name}.version").unlink(missing_ok=True)


def fetch_hub(row: SourceJob, name: str, target: Path) -> None:
    """One split of one configuration (`PAN-X.af.test.parquet`) of the hub's data set."""
    import datasets

    configuration, _, split = name.removesuffix(PARQUET).rpartition(".")
    try:
        table = datasets.load_dataset(row.hub, configuration, split=split, revision=row.version)
        table.to_parquet(target)
    except (datasets.exceptions.DatasetsError, ConnectionError, ValueError, OSError) as error:
        raise TransferError(" ".join(str(error).split())[:300]) from None


def copy(row: SourceJob, name: str, target: Path) -> None:
    """A file that is on this machine already; raises :class:`UserError` when it is not."""
    path = Path(str(row.folder), name)
    if not path.is_file():
        raise UserError(
            f"Source `{row.id}`: there is no file {path}.",
            f"Put it there, or correct the folder in `xtreme.local.{row.id}`.",
        )
    shutil.copyfile(path, target)


def persistently(way: Callable[[], None], what: str, pauses: tuple[float, ...] = PAUSES) -> None:
    """Fetch, and try again after growing pauses; raises :class:`UserError` in the end."""
    for pause in (*pauses, None):
        try:
            return way()
        except TransferError as error:
            if error.final or pause is None:
                raise UserError(
                    f"{what} could not be fetched: {error}.",
                    "Check the network and run the same command again, or fetch it by hand and "
                    "name its folder in `xtreme.local`.",
                ) from None
            logger.info("%s: %s; next try in %g s", what, error, pause)
            time.sleep(pause)


def bring(row: SourceJob, name: str, target: Path) -> None:
    """Bring one file to ``target`` and compare it with the registry."""
    what = f"{name} of source `{row.id}`"
    if row.folder:
        copy(row, name, target)
    elif row.hub:
        persistently(partial(fetch_hub, row, name, target), what)
    elif row.url:
        url = row.url.replace("{file}", urllib.parse.quote(name))
        persistently(partial(fetch_url, url, target), what)
    else:
        raise UserError(
            f"Source `{row.id}` cannot be fetched from here: {row.note}",
            f"Get {', '.join(row.files)} from {row.home} and name the folder in "
            f"`xtreme.local.{row.id}`.",
        )
    expected = row.files[name]
    if expected is not None and (digest := file_sha256(target)) != expected:
        raise UserError(
            f"{what} has SHA-256 {digest}, the registry says {expected}.",
            "Do not use the file; compare the registry row with what upstream publishes.",
        )


def run(job: Job[SourceJob]) -> None:
    """Bring every file of the source."""
    row = job.settings
    for path, target in zip(job.output_paths["files"], job.outputs("files"), strict=True):
        bring(row, path.name, target)
        logger.info("%s: %.1f MB", path.name, target.stat().st_size / 1e6)


if __name__ == "__main__":
    main(run, SourceJob)
