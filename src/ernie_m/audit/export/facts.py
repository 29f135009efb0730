"""What every export says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.audit.chain import Chain
from ernie_m.audit.keys import keys_of
from ernie_m.errors import UserError
from ernie_m.records.record import File, Files, Record

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
}


def media_type(path: str) -> str:
    """Media type of a file by its name; the same on every machine, unlike ``mimetypes``."""
    return MEDIA_TYPES.get(Path(path).suffix, "application/octet-stream")


def script(record: Record) -> str:
    """``src/ernie_m/xtreme/score.py``."""
    return f"src/{record.module.replace('.', '/')}.py"


def named(files: Files) -> Iterator[tuple[str, File]]:
    """Each file with the name that the job has for it."""
    for name, own in files.items():
        for file in own:
            yield name, file


@dataclass(frozen=True)
class Pedigree:
    """One file and every job behind it, makers before readers."""

    target: str
    jobs: list[Record]

    @classmethod
    def of(cls, chain: Chain) -> Pedigree:
        """The jobs of a chain; raises :class:`UserError` where a record is missing or cannot be
        read."""
        for node in chain.nodes:
            if not node.data:
                raise UserError(
                    f"{chain.target} has no whole lineage: {node.path} {node.fault}.",
                    f"See `ernie-m audit {chain.target}`, and make again what it names.",
                )
        return cls(chain.target, chain.nodes[::-1])

    @cached_property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The configuration keys that reached each job, with the values it was given, by name."""
        return {record.job: keys_of(record) for record in self.jobs}

    @cached_property
    def stages(self) -> list[str]:
        """Stages of the jobs, makers before readers."""
        return list(dict.fromkeys(job.stage for job in self.jobs))

    @cached_property
    def links(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Which output (stage, name) of one stage is which input of another, each once."""
        makers = {
            file.path: (job.stage, name) for job in self.jobs for name, file in named(job.outputs)
        }
        read = (
            (makers[file.path], (job.stage, name))
            for job in self.jobs
            for name, file in named(job.inputs)
            if file.path in makers
        )
        return list(dict.fromkeys(read))

    @property
    def started(self) -> str:
        """When the first job began, ISO 8601."""
        return min(job.run.started for job in self.jobs)

    @property
    def ended(self) -> str:
        """When the last job ended, ISO 8601."""
        return max(job.run.ended for job in self.jobs)

    @property
    def commit(self) -> str:
        """Commit of the code, as the last job that knows it saw it."""
        return self._last(job.run.git.commit for job in self.jobs)

    def version(self, package: str) -> str:
        """Version of a package, as the last job that knows it saw it."""
        return self._last(job.run.packages.get(package) for job in self.jobs)

    @staticmethod
    def _last(values: Iterator[str | None]) -> str:
        known = [value for value in values if value]
        return known[-1] if known else "unknown"

    @property
    def name(self) -> str:
        """Name of the run, from where the target is."""
        return Path(self.target).parts[1]
