"""What jobs have finished and no call of the workflow has seen whole.

After ``kill -9`` of Snakemake its jobs live on. Of one that ends then, the next call knows nothing:
it deletes the outputs and starts the job again, a training at its first step. So each job of a call
leaves its outputs and its record under ``work/finished/<run>/`` too, as further names of the same
files, and a job that finds there what it would make takes that. A call that ends takes away what
was left by the jobs that it has seen whole, so what is there is of a call that was killed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ernie_m.atomic import complete, partial, write_atomic
from ernie_m.locks import flat, run_of_invocation
from ernie_m.records.digest import file_sha256
from ernie_m.records.record import RECORD, Record
from ernie_m.records.writer import Account, Opening, record_text, relative, write_record

logger = logging.getLogger(__name__)
FOLDER = Path("work") / "finished"


def keep(job: Account, record: Path, made: dict[str, Any]) -> None:
    """Leave a job's complete outputs, which do not have their names yet, and the record that was
    made of them there, whole or not at all; a disk without room is a warning. Does nothing for a
    job that no call of the workflow started."""
    run = run_of_invocation()
    if run is None:
        return
    place = FOLDER / run / flat(record)
    new = partial(place)
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for number, path in enumerate(_outputs(job)):
            _link(partial(path), new / str(number))
        write_atomic(new / RECORD, record_text(made))
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        logger.warning("not kept for a later call of the workflow: %s", error)


def left(record: Path) -> bool:
    """Whether something was left of the job that writes this record."""
    run = run_of_invocation()
    return run is not None and (FOLDER / run / flat(record)).is_dir()


def take(job: Account, opening: Opening, record: Path) -> bool:
    """Put what was left of the same job in place and return True; False if there is nothing, or
    not the same: by module, instance, inputs, settings, seed, code, and names and bytes of outputs.

    It stays there until the call has seen this job end, which may be killed as well.
    """
    if not left(record):
        return False
    place = FOLDER / (run_of_invocation() or "") / flat(record)
    kept = Record.read(place / RECORD, str(record))
    if not _same(kept, job, opening):
        logger.info("an earlier call left other results of this job; they are not used")
        return False
    outputs = _outputs(job)
    if not _linked(place, outputs, list(kept.recorded.values())):
        for path in outputs:  # or what is written to it now would be written to both names
            partial(path).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        logger.warning("what an earlier call left of this job is damaged, and is not used")
        return False
    for path in outputs:
        complete(path)
        partial(path).unlink(missing_ok=True)  # two names of one file: the renaming did nothing
    write_record(json.loads((place / RECORD).read_text(encoding="utf-8")), record)
    logger.info("already done by a job of an earlier call, from %s on", kept.run.started)
    return True


def forget(run: str, records: Iterable[str]) -> None:
    """Take away what was left of a run's jobs, by their records."""
    for record in records:
        shutil.rmtree(FOLDER / run / flat(Path(record)), ignore_errors=True)


def _linked(place: Path, outputs: list[Path], digests: list[str]) -> bool:
    """Give outputs that were kept their unfinished names; whether all are there with their bytes,
    as they are not where a removal was interrupted."""
    try:
        for number, path in enumerate(outputs):
            _link(place / str(number), partial(path))
    except FileNotFoundError:
        return False
    return [file_sha256(partial(path)) for path in outputs] == digests


def _outputs(job: Account) -> list[Path]:
    return [path for paths in job.outputs.values() for path in paths]


def _same(kept: Record, job: Account, opening: Opening) -> bool:
    """Whether a record is whole and tells of this job, as far as that decides the bytes."""
    return (
        not kept.fault
        and (kept.module, kept.instance) == (job.module, job.instance)
        and (kept.settings, kept.seed) == (job.settings, job.seed)
        and (kept.inputs, kept.code.digest) == (opening.inputs, opening.code["digest"])
        and {name: [file.path for file in files] for name, files in kept.outputs.items()}
        == {name: [relative(path) for path in paths] for name, paths in job.outputs.items()}
    )


def _link(source: Path, target: Path) -> None:
    """Another name for a file; a copy on file systems that have one name a file."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
