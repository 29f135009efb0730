"""The record of a job, as types.

Schema 2 added to ``run``: the source files with uncommitted changes, the digest of the lock file,
the processor, and the processor time and memory that the job used. Records of schema 1 can still
be read; they only lack these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Required

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ernie_m.bounded import parse_json, read_text

SCHEMA = 2
READABLE = (1, 2)
RECORD = "record.json"
SUMS = "SHA256SUMS"
HISTORY = "history.jsonl"


def seal(data: dict[str, Any]) -> str:
    """Digest of everything in a record except its seal; reveals later edits."""
    sealed = {key: value for key, value in data.items() if key != "seal"}
    return hashlib.sha256(_canonical(sealed).encode()).hexdigest()


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# The form of a record in JSON, as far as anybody reads it: checked once, so that what is damaged is
# a fault of the record wherever it is read.
_Text = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Time = Annotated[str, AfterValidator(lambda text: datetime.fromisoformat(text) and text)]
_Seconds = Annotated[float, Field(ge=0, le=1e12)]


class _File(TypedDict):
    path: Annotated[_Text, StringConstraints(min_length=1)]
    sha256: _Sha256
    bytes: Annotated[int, Field(ge=0)]


class _FileFacts(TypedDict, total=False):
    sha256: str | None


class _Settings(TypedDict, total=False):
    """The settings that readers of records know: of registry rows, and a training's objectives."""

    id: str
    version: str
    licence: str
    home: str
    note: str
    package: str | None
    url: str | None
    hub: str | None
    path: str | None
    filename: str
    format: str
    sha256: str | None
    files: dict[str, _FileFacts | str | None]
    languages: list[str]
    objectives: dict[str, float]


class _Code(TypedDict):
    digest: str
    files: dict[str, str]


class _Facts(TypedDict):
    inputs: dict[str, list[_File]]
    outputs: dict[str, list[_File]]
    settings: _Settings
    seed: int
    code: _Code


# A whole digest: git would take other words for a branch, or for an option.
_Commit = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class _Git(TypedDict, total=False):
    commit: _Commit | None
    dirty: bool
    changed: list[str] | None


class _Machine(TypedDict, total=False):
    system: Required[str]
    cpu: Required[str]
    cores: Required[int | None]
    processor: str | None
    accelerators: list[str]
    cuda: str | None


class _Run(TypedDict, total=False):
    git: _Git | None
    python: str
    packages: dict[str, str]
    lock: str | None
    machine: _Machine
    threads: int
    started: _Time
    ended: _Time
    seconds: _Seconds
    cpu_seconds: _Seconds | None
    memory_mb: _Seconds | None
    mlflow_run: str | None
    resumed_from: int | None
    training_seconds: _Seconds | None


class _Stored(TypedDict, total=False):
    stage: Required[Annotated[_Text, StringConstraints(pattern=r"^\w+$")]]
    instance: Required[_Text]
    module: Required[Annotated[_Text, StringConstraints(pattern=r"^\w+(\.\w+)*$")]]
    facts: Required[_Facts]
    run: Required[_Run]
    seal: str


_STORED = TypeAdapter(_Stored)


@dataclass(frozen=True)
class File:
    """A file as a job read or wrote it; ``path`` is relative to the folder that holds results/."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Git:
    """The commit, whether the working tree differed from it, and which source files did (None if
    that was not recorded). ``patch`` is the SHA-256 of the patch with the differences, beside the
    record (:mod:`ernie_m.records.patch`), None if there is none."""

    commit: str | None = None
    dirty: bool = False
    changed: list[str] | None = None
    patch: str | None = None


@dataclass(frozen=True)
class Code:
    """Digests of the code that a job could run: one of all, and one of each source file."""

    digest: str = ""
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What varies from run to run: time, machine, software; the job itself adds ``notes``.

    Times are ISO 8601, ``memory_mb`` is peak memory in 10^6 bytes. Fields that an old record lacks
    have their defaults.
    """

    git: Git = Git()
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    lock: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    cpu_seconds: float | None = None
    memory_mb: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Run:
        """A run from JSON."""
        own = {one.name for one in fields(cls)} - {"notes", "git"}
        known = {key: value for key, value in data.items() if key in own}
        notes = {key: value for key, value in data.items() if key not in own | {"git"}}
        return cls(Git(**(data.get("git") or {})), **known, notes=notes)

    @property
    def host(self) -> str:
        """The machine in words, empty if not recorded."""
        about = self.machine
        return f"{about['system']} {about['cpu']}, {about['cores']} cores" if about else ""


Files = Mapping[str, list[File]]


@dataclass(frozen=True)
class Record:
    """One job's record; empty except for ``path`` and ``fault`` if the record cannot be used.

    ``path`` is where the record lies, ``data`` its unchanged JSON, ``fault`` what is wrong with it
    (``was edited``). ``packed``: it was read from the file with all records of its run, because
    the job's folder is missing.
    """

    path: str
    stage: str = ""
    instance: str = ""
    module: str = ""
    inputs: Files = field(default_factory=dict)
    outputs: Files = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    code: Code = Code()
    run: Run = Run()
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    fault: str | None = None
    packed: bool = False

    @classmethod
    def parse(cls, data: Any, path: str = "") -> Record:
        """A record from JSON, with its fault if it has one; without ``path`` its place follows
        from the layout of results."""
        if isinstance(data, dict) and data.get("schema") not in READABLE:
            return cls(path, fault=f"is not of a known schema ({SCHEMA} is today's)")
        try:
            # As JSON, for there strict types have the forms that JSON has.
            _STORED.validate_json(_canonical(data), strict=True)
            facts, stage, instance = data["facts"], data["stage"], data["instance"]
            outputs = _files(facts["outputs"])
            return cls(
                path or _place(stage, instance, outputs),
                stage,
                instance,
                data["module"],
                _files(facts["inputs"]),
                outputs,
                facts["settings"],
                facts["seed"],
                Code(**facts["code"]),
                Run.parse(data["run"]),
                data,
                None if data.get("seal") == seal(data) else "was edited",
            )
        except (ValueError, TypeError) as error:  # TypeError: another key where there may be none
            return cls(path, fault=f"is not a whole record{_place_of(error)}")

    @classmethod
    def parse_text(cls, text: str, path: str = "") -> Record:
        """The same from the text of a record."""
        try:
            return cls.parse(parse_json(text), path)
        except ValueError:
            return cls(path, fault="is not a whole record")

    @classmethod
    def read(cls, file: Path, path: str) -> Record:
        """The record in a file."""
        try:
            return cls.parse_text(read_text(file), path)
        except FileNotFoundError:
            return cls(path, fault="is missing")
        except (OSError, ValueError):
            return cls(path, fault="cannot be read")

    @property
    def job(self) -> str:
        """Name of the job: ``corpora_dedup/mono-de``."""
        if not self.data:
            return str(Path(self.path).parent)
        return "/".join(filter(None, (self.stage, self.instance)))

    @property
    def run_name(self) -> str:
        """The folder below results/ that the job's results are in: the run's, as a rule."""
        parts = Path(self.path).parts
        return parts[1] if len(parts) > 1 else ""

    @property
    def seal(self) -> str:
        """Digest of the record, as stated in it."""
        return self.data.get("seal", "")

    @property
    def seconds(self) -> float:
        """Time that the job took, including the killed attempts that it resumed."""
        return max(self.run.seconds, self.run.notes.get("training_seconds") or 0.0)

    @cached_property
    def read_files(self) -> list[File]:
        """Every file that the job read."""
        return [file for files in self.inputs.values() for file in files]

    @cached_property
    def made_files(self) -> list[File]:
        """Every file that the job wrote; the first stands for the job."""
        return [file for files in self.outputs.values() for file in files]

    @cached_property
    def recorded(self) -> dict[str, str]:
        """SHA-256 of each output by path, as recorded."""
        return {file.path: file.sha256 for file in self.made_files}

    @property
    def row(self) -> dict[str, Any] | None:
        """The registry row that was downloaded; None if the job is not a download."""
        return self.settings if "licence" in self.settings else None

    @property
    def published(self) -> dict[str, str | None] | None:
        """SHA-256 of each output as published, None for outputs without a published one.

        None altogether if the job is not a download. A download has a registry row, with the
        ``sha256`` of its single file, or one for each of its ``files``.
        """
        return self.published_by(self.settings)

    def published_by(self, row: dict[str, Any]) -> dict[str, str | None] | None:
        """The same according to another version of the registry row."""
        if "sha256" in row:
            return dict.fromkeys(self.recorded, row["sha256"])
        if "files" not in row:
            return None
        found = {path: row["files"].get(Path(path).name) for path in self.recorded}
        return {
            path: about.get("sha256") if isinstance(about, dict) else about
            for path, about in found.items()
        }


def _place_of(error: Exception) -> str:
    """Where in a record the first fault is, in brackets; empty if it is the whole."""
    path = error.errors()[0]["loc"] if isinstance(error, ValidationError) else ()
    return f" ({'.'.join(map(str, path))})" if path else ""


def _files(data: dict[str, list[dict[str, Any]]]) -> Files:
    return {name: [File(**file) for file in files] for name, files in data.items()}


def _place(stage: str, instance: str, outputs: Files) -> str:
    """Path of a job's record: in the folder of its stage and instance, which holds its outputs
    too."""
    made = next((file.path for files in outputs.values() for file in files), "")
    root, _, _ = made.partition(f"/{stage}/")
    return "/".join(filter(None, (root, stage, instance, RECORD)))
