"""One file that a registry names: brought here persistently, and let in only when it is the one.

Transfers are resumed and tried again with growing pauses, because a long run should not die of a
short loss of the network. Where the registry names no SHA-256, what arrives first is trusted, and
the same is demanded from then on (:mod:`ernie_m.corpora.trust`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ernie_m.corpora.transfer import TransferError, transfer
from ernie_m.corpora.trust import trust, trusted_sha256
from ernie_m.errors import UserError
from ernie_m.records.digest import file_sha256

logger = logging.getLogger(__name__)

# Seconds before the second, third and fourth try after the last byte that came.
PAUSES = (2.0, 8.0, 30.0)
TIMEOUT = 60.0
# Parts of files outlive the job, so that the next one goes on where this one was killed.
PARTS = Path("work/downloads")
OFFLINE = "ERNIE_M_OFFLINE"


@dataclass(frozen=True)
class Wanted:
    """A file as its registry has it.

    ``row`` is the row in words (``Dataset `x` ``), ``label`` a name for the log and for its part,
    ``result`` the path under which a digest is trusted, ``instead`` what else can be done than to
    fetch it. Of a longer file than ``head_bytes`` only so much is wanted.
    """

    row: str
    label: str
    filename: str
    result: str
    home: str
    instead: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None
    about_bytes: int | None = None
    head_bytes: int | None = None


def by_url(wanted: Wanted, part: Path, timeout: float) -> Iterator[Callable[[], None]]:
    """The ways over HTTP(S) that bring all that is wanted to ``part``, from each address in turn,
    going on with what is here of it; with progress at every tenth."""
    told = 0

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if total and done * 10 // total > told:
            told = done * 10 // total
            logger.info("%s: %.0f of %.0f MB", wanted.label, done / 1e6, total / 1e6)

    for url in wanted.urls:
        yield partial(transfer, url, part, wanted.bytes, timeout, tell, wanted.head_bytes)


def part_of(wanted: Wanted, parts: Path) -> Path:
    """Where the file lies until it is whole; the folder is made."""
    parts.mkdir(parents=True, exist_ok=True)
    return parts / f"{wanted.label.replace('/', '+')}.part"


def drop_note(part: Path) -> None:
    """Remove what tells of which version a part is, once it is none any more."""
    part.with_name(f"{part.name}.version").unlink(missing_ok=True)


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


def obtain(
    wanted: Wanted, ways: Iterator[Callable[[], None]], pauses: tuple[float, ...] = PAUSES
) -> None:
    """Fetch in the first of ``ways`` that leads to the file; raises :class:`UserError` when none
    does, and where fetching is forbidden."""
    if os.environ.get(OFFLINE):
        raise UserError(
            f"{wanted.row}: {wanted.filename} is not here, and {OFFLINE} forbids to fetch it.",
            f"Unset {OFFLINE}, or get {wanted.filename} in another way ({wanted.home}) and "
            f"{wanted.instead}.",
        )
    failures = []
    for way in ways:
        failure = _tried(way, wanted.label, pauses)
        if failure is None:
            return
        failures.append(str(failure))
        logger.info("%s: %s", wanted.label, failure)
    raise UserError(
        f"{wanted.row}: {wanted.filename} could not be fetched: {'; '.join(failures)}.",
        "Check the network and pip's index, then run the same command again; "
        "what has arrived is kept.",
    )


def verify(wanted: Wanted, path: Path, trusted: Path) -> str:
    """Raise :class:`UserError` unless ``path`` is what the registry, or else the first download,
    says; returns where the digest it was compared with came from."""
    size = path.stat().st_size
    if wanted.bytes is not None and size != wanted.bytes:
        raise UserError(
            f"{wanted.row}: {wanted.filename} has {size:,} bytes, the registry says "
            f"{wanted.bytes:,}: it is cut off or another file.",
            "Run the command again; if that does not help, compare the registry row with upstream.",
        )
    digest = file_sha256(path)
    known = wanted.sha256 or trusted_sha256(wanted.result, trusted)
    if known is None:
        _check_plausible(wanted, size)
        trust(wanted.result, digest, trusted)
        return "first use"
    if digest != known:
        says, fix = "the registry says", ""
        if not wanted.sha256:
            says = f"when it was first fetched ({trusted}) it was"
            fix = f" If the first one was wrong, take its line out of {trusted}."
        raise UserError(
            f"{wanted.row}: {wanted.filename} has SHA-256 {digest}, {says} {known}.",
            "Do not use the file; compare the registry row with what upstream publishes." + fix,
        )
    return "registry" if wanted.sha256 else "earlier use"


def _check_plausible(wanted: Wanted, size: int) -> None:
    """An error page, or a beginning, is not to be trusted as what came first."""
    about = wanted.about_bytes
    if about and not about / 2 <= size <= about * 2:
        raise UserError(
            f"{wanted.row}: {wanted.filename} has {size:,} bytes, the registry says about "
            f"{about:,}: it is cut off or another file.",
            f"Look what {wanted.home} offers, and correct the registry row if it has changed.",
        )
