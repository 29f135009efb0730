"""The sources of the report: the records, and the files that they claim."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.errors import UserError, parsed
from ernie_m.pipeline.stages import STAGES, parts_of
from ernie_m.records.graph import SHARED
from ernie_m.records.record import File, Record
from ernie_m.replicates import MARK

TRAINED = ("pretrain_camlm", "pretrain_btmlm")


@dataclass(frozen=True)
class Artifact:
    """An output file, with the job that made it and its output name there."""

    path: str
    name: str
    record: Record

    @property
    def parts(self) -> dict[str, str]:
        """The parts of the job's instance by name: task, variant, checkpoint, seed."""
        return parts_of(self.record.stage, self.record.instance)

    def json(self) -> Any:
        """The file's content; raises :class:`UserError` if it is not JSON."""
        return parsed(Path(self.path), Path(self.path).read_text(encoding="utf-8"))

    def lines(self) -> list[Any]:
        """The file's content, one JSON value a line."""
        text = Path(self.path).read_text(encoding="utf-8")
        return [parsed(Path(self.path), line) for line in text.splitlines()]


def normal(path: Path) -> str:
    """A path as records write it: relative to the working directory, with slashes."""
    return Path(os.path.relpath(path)).as_posix()


class Evidence:
    """Records sorted by stage and instance, and the files to show, by the job that made them."""

    def __init__(self, records: Iterable[Record], paths: Iterable[str]) -> None:
        self.records = sorted(records, key=lambda record: (record.stage, record.instance))
        self.makers = {
            file.path: Artifact(file.path, name, record)
            for record in self.records
            for name, files in record.outputs.items()
            for file in files
        }
        self._shown: dict[tuple[str, str], list[Artifact]] = {}
        for path in sorted(set(paths)):
            if path not in self.makers:
                raise UserError(
                    f"No record claims {path}.",
                    "Give the `record.json` beside it to the report too, or make the file anew.",
                )
            artifact = self.makers[path]
            self._shown.setdefault((artifact.record.stage, artifact.name), []).append(artifact)

    @classmethod
    def read(cls, records: Iterable[Path], files: Iterable[Path]) -> Evidence:
        """Evidence from disk; raises :class:`UserError` for an unreadable record, and for a file
        that no record claims."""
        read = [Record.read(path, normal(path)) for path in records]
        for record in read:
            if not record.data:
                raise UserError(f"{record.path} {record.fault}.", "Run the job that left it again.")
        return cls(read, (normal(path) for path in files))

    def shown(self, stage: str, name: str) -> list[Artifact]:
        """The files of a stage and output name that were given to the report."""
        return self._shown.get((stage, name), [])

    def only(self, stage: str, name: str) -> Any:
        """Content of the only JSON file of a stage, None if it was not given."""
        found = self.shown(stage, name)
        return found[0].json() if found else None

    def paths(self, stage: str, name: str, instance: str | None = None) -> list[str]:
        """Paths of the shown files of a stage, or of one of its jobs (``instance``)."""
        return [
            artifact.path
            for artifact in self.shown(stage, name)
            if instance in (None, artifact.record.instance)
        ]

    def jobs(self, stage: str) -> list[Record]:
        """Records of one stage."""
        return [record for record in self.records if record.stage == stage]

    def settings(self, stage: str, instance: str | None = None) -> dict[str, Any]:
        """Settings of a job, by default of the stage's first; ``{}`` if there is none."""
        for record in self.jobs(stage):
            if instance in (None, record.instance):
                return record.settings
        return {}

    def inputs_of(self, record: Record) -> Iterator[Artifact]:
        """The files that a job read, as far as their makers' records are here."""
        for file in record.read_files:
            if file.path in self.makers:
                yield self.makers[file.path]

    def behind(self, last: Record, stages: str = "pretrain_") -> list[Record]:
        """The jobs behind a model, the last first: those of pre-training, or of the stages whose
        names begin as said. Variants may share some."""
        found = {last.path: last}
        waiting = [last]
        for record in waiting:  # grows
            for maker in (artifact.record for artifact in self.inputs_of(record)):
                if maker.stage.startswith(stages) and maker.path not in found:
                    found[maker.path] = maker
                    waiting.append(maker)
        return waiting

    @cached_property
    def run(self) -> str:
        """Name of the run, from the paths of its records."""
        own = (record.path for record in self.records if record.stage not in SHARED)
        return next((Path(path).parts[1] for path in own), "")

    @cached_property
    def seed(self) -> int:
        """The run's seed, by the jobs that have it and no replicate's (1 without any)."""
        own = (job for stage in STAGES if STAGES[stage].seed == "run" for job in self.jobs(stage))
        names = ((job, parts_of(job.stage, job.instance).get("variant", "")) for job in own)
        return next((job.seed for job, variant in names if MARK not in variant), 1)

    @cached_property
    def replicated(self) -> bool:
        """Whether a training was done with another seed than the run's, too."""
        jobs = (*self.jobs("pretrain_camlm"), *self.jobs("pretrain_btmlm"))
        return any(MARK in job.instance for job in jobs)

    @cached_property
    def start(self) -> File | None:
        """The external weights that pre-training starts from, as recorded by their reader."""
        makers = self.jobs("pretrain_adopt")
        return next((file for job in makers for file in job.inputs.get("source", [])), None)

    @cached_property
    def edges(self) -> set[tuple[str, str]]:
        """Pairs of stages (maker, reader) of which the second reads files of the first."""
        return {
            (artifact.record.stage, record.stage)
            for record in self.records
            for artifact in self.inputs_of(record)
        }
