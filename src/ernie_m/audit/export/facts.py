"""What every export says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.audit.keys import keys_of
from ernie_m.errors import UserError
from ernie_m.records.graph import Graph, Node

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


@dataclass(frozen=True)
class Job:
    """One job, as its record tells it."""

    node: Node

    @property
    def name(self) -> str:
        """``xtreme_score/standin_qa/ernie_m/btmlm/seed1``."""
        return self.node.job

    @property
    def stage(self) -> str:
        """``xtreme_score``."""
        return self.node.stage

    @property
    def module(self) -> str:
        """``ernie_m.xtreme.score``."""
        return self.node.record["module"]

    @property
    def script(self) -> str:
        """``src/ernie_m/xtreme/score.py``."""
        return f"src/{self.module.replace('.', '/')}.py"

    @property
    def code(self) -> str:
        """Digest of the code that ran."""
        return self.node.record["facts"]["code"]["digest"]

    @property
    def seal(self) -> str:
        """Digest of the record."""
        return self.node.record["seal"]

    @property
    def run(self) -> dict[str, Any]:
        """What does not repeat: times, versions, commit."""
        return self.node.record["run"]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The configuration keys that reached the job, with the values it was given."""
        return keys_of(self.node)

    @property
    def source(self) -> dict[str, Any] | None:
        """The published thing that a download was made from: its row of the registry."""
        return self.node.settings if "licence" in self.node.settings else None

    def files(self, side: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and facts (path, sha256, bytes) of each file on ``inputs`` or ``outputs``."""
        for name, files in self.node.record["facts"][side].items():
            for file in files:
                yield name, file


@dataclass(frozen=True)
class Pedigree:
    """One file and every job behind it, makers before readers."""

    target: str
    jobs: list[Job]

    @classmethod
    def of(cls, graph: Graph, record: str, target: str) -> Pedigree:
        """The jobs behind the one with ``record``.

        Raises :class:`UserError` where a record is missing or cannot be read.
        """
        nodes = graph.behind(record)
        for node in nodes:
            if not node.record:
                raise UserError(
                    f"{target} has no whole lineage: {node.path} {node.fault}.",
                    f"See `ernie-m audit {target}`, and make again what it names.",
                )
        return cls(target, [Job(node) for node in reversed(nodes)])

    @cached_property
    def stages(self) -> list[str]:
        """Stages of the jobs, makers before readers."""
        return list(dict.fromkeys(job.stage for job in self.jobs))

    @cached_property
    def links(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Which output (stage, name) of one stage is which input of another, each once."""
        makers = {
            file["path"]: (job.stage, name)
            for job in self.jobs
            for name, file in job.files("outputs")
        }
        read = (
            (makers[file["path"]], (job.stage, name))
            for job in self.jobs
            for name, file in job.files("inputs")
            if file["path"] in makers
        )
        return list(dict.fromkeys(read))

    @property
    def started(self) -> str:
        """When the first job began, ISO 8601."""
        return min(job.run["started"] for job in self.jobs)

    @property
    def ended(self) -> str:
        """When the last job ended, ISO 8601."""
        return max(job.run["ended"] for job in self.jobs)

    @property
    def commit(self) -> str:
        """Commit of the code, as the last job that knows it saw it."""
        return self._last(job.run["git"].get("commit") for job in self.jobs)

    def version(self, package: str) -> str:
        """Version of a package, as the last job that knows it saw it."""
        return self._last(job.run["packages"].get(package) for job in self.jobs)

    @staticmethod
    def _last(values: Iterator[str | None]) -> str:
        known = [value for value in values if value]
        return known[-1] if known else "unknown"

    @property
    def name(self) -> str:
        """Name of the run, from where the target is."""
        return Path(self.target).parts[1]
