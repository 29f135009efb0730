"""Fetch the files of one checkpoint of the registry, and let them in when all are the right ones.

Output: ``files``, under the names of the row. Each is fetched over HTTP(S), with its mirrors, and
compared with the row; where that names no SHA-256, what arrives first is trusted
(:mod:`ernie_m.corpora.arrival`). A file that is whole waits among the parts until the others are,
so that a killed job fetches nothing twice.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ernie_m.config.checkpoints import CheckpointRow
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
from ernie_m.corpora.trust import TRUSTED
from ernie_m.errors import UserError
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)
STAGE = "checkpoints_download"


def wanted_of(row: CheckpointRow, name: str) -> Wanted:
    """A file of a row."""
    return Wanted(
        row=f"Checkpoint `{row.id}`",
        label=f"{row.id}/{name}",
        filename=name,
        result=f"results/{STAGE}/{row.id}/{name}",
        home=row.home,
        instead="name the folder that has all files in `init`",
        urls=row.addresses(name),
        **row.files[name].model_dump(),
    )


def arrive(
    wanted: Wanted,
    pauses: tuple[float, ...] = PAUSES,
    timeout: float = TIMEOUT,
    parts: Path = PARTS,
    trusted: Path = TRUSTED[STAGE],
) -> tuple[Path, str]:
    """Bring a file to where parts are; returns its place there and what its digest was compared
    with. Raises :class:`UserError` for one that cannot be had or is not the one, and removes it."""
    part = part_of(wanted, parts)
    obtain(wanted, by_url(wanted, part, timeout), pauses)
    try:
        return part, verify(wanted, part, trusted)
    except UserError:
        part.unlink()
        drop_note(part)
        raise


def run(job: Job[CheckpointRow]) -> None:
    """Fetch the registry row given as settings."""
    names = [path.name for path in job.output_paths["files"]]
    arrived = [arrive(wanted_of(job.settings, name)) for name in names]
    for (part, source), target in zip(arrived, job.outputs("files"), strict=True):
        shutil.move(part, target)  # the parts may lie on another disk
        drop_note(part)
        logger.info("%s: %.1f MB, as of: %s", part.name, target.stat().st_size / 1e6, source)
    job.note(sha256_from=dict(zip(names, (source for _, source in arrived), strict=True)))


if __name__ == "__main__":
    main(run, CheckpointRow)
