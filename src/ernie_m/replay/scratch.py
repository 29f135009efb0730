"""A scratch folder in which a job is done again: code as it ran, inputs by link, own outputs."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from ernie_m.errors import UserError
from ernie_m.locks import flat
from ernie_m.records.digest import SOURCE, bytes_digest, code_facts, file_sha256
from ernie_m.records.patch import NAME as PATCH
from ernie_m.records.patch import apply
from ernie_m.records.record import RECORD, File, Record
from ernie_m.records.writer import KERNELS

_OF_A_CALL = ("ERNIE_M_TRACKING", "ERNIE_M_INVOCATION")  # a replay is part of no other
LOGGED = 12  # lines of a failed job's output that are shown


@dataclass
class Scratch:
    """Each job has a folder of its own below ``folder``, which takes the place of ``base``: paths
    of records are relative to either. ``made`` are the files that came out, by recorded path.
    """

    base: Path
    folder: Path
    made: dict[str, Path] = field(default_factory=dict)
    _sources: dict[str, Path] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def replay(self, record: Record) -> dict[str, str]:
        """Do a job again; returns the digests of what came out by path.

        Raises :class:`UserError` when code or inputs cannot be had as they were, or the job fails.
        """
        if not record.module.startswith("ernie_m."):
            raise UserError(
                f"{record.path} names module `{record.module}`, which is none of the package.",
                "It is no record of this pipeline; make the result anew.",
            )
        with self._lock:
            source = self._source(record)
        own = self._own(record)
        shutil.rmtree(own, ignore_errors=True)
        read = {file.path: file for file in record.read_files}
        # A job that reads records compares its other inputs with them.
        fresh = {} if any(Path(path).name == RECORD for path in read) else self.made
        for file in read.values():
            origin = fresh.get(file.path) or self._original(record, file)
            link = own / _inside(file.path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(origin.resolve())
        _run(record, source, own)
        found = {file.path: own / _inside(file.path) for file in record.made_files}
        self.made |= found
        return {path: file_sha256(file) for path, file in found.items()}

    def account(self, record: Record) -> Record:
        """The record that the job left when it was done again."""
        return Record.read(self._own(record) / _inside(record.path), record.path)

    def _own(self, record: Record) -> Path:
        return self.folder / flat(Path(record.path).parent)

    def _original(self, record: Record, file: File) -> Path:
        original = self.base / file.path
        if not original.is_file():
            raise UserError(
                f"{record.job} read {file.path}, which is not here.",
                f"Fetch it by `ernie-m restore --for {file.path}`, or have it made again too, by a "
                "greater --depth.",
            )
        if file_sha256(original) != file.sha256:
            raise UserError(
                f"{record.job} read {file.path} when its SHA-256 began with {file.sha256[:12]}; it "
                "has changed since.",
                f"`ernie-m audit {file.path}` says what it is now; make it anew, or take the "
                "recorded bytes back by `ernie-m restore`.",
            )
        return original

    def _source(self, record: Record) -> Path:
        """The folder of the package as it was when the job ran: the one here if it counts as the
        same, otherwise that of the commit with the changes that were kept."""
        try:
            if code_facts(record.module) == record.code.files:
                return SOURCE
        except ModuleNotFoundError:
            pass
        about = record.run.git
        version = f"{about.commit}-{about.patch}"
        if version not in self._sources:
            folder = self.folder / "code" / str(len(self._sources))
            _check_out(about.commit or "", folder, record)
            if about.patch:
                apply(folder, (self.base / record.path).with_name(PATCH), about.patch)
            self._sources[version] = folder / "src"
        source = self._sources[version]
        odd = [path for path, sha in record.code.files.items() if _digest(source, path) != sha]
        if odd:
            raise UserError(
                f"{record.job} ran with changes in {odd[0]} that its commit has not.",
                "What was neither committed nor kept cannot be run again; make the result anew.",
            )
        return source


def _inside(path: str) -> str:
    """A recorded path as one below a folder; those that lead out of it are moved."""
    parts = [part for part in Path(path).parts if part not in ("..", "/")]
    inside = len(parts) == len(Path(path).parts)
    return str(Path(*parts) if inside else Path("outside", *parts))


def _run(record: Record, source: Path, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_CALL}
    kernels = record.run.machine.get("kernels") or {}
    environment |= {name: kernels[name] for name in KERNELS if name in kernels}
    done = subprocess.run(
        _words(record),
        cwd=folder,
        env=environment | {"PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        told = "\n".join(done.stdout.splitlines()[-LOGGED:])
        raise UserError(
            f"{record.job} failed when it was done again:\n{told}",
            "Its packages or its machine may not be those of the record: "
            f"`ernie-m audit {record.path} --full` names them.",
        )


def _words(record: Record) -> list[str]:
    """The job's command line, as its rule has it."""
    words = [sys.executable, "-m", record.module, "--seed", str(record.seed)]
    words += ["--threads", str(record.run.threads), "--settings", json.dumps(record.settings)]
    words += ["--instance", record.instance] if record.instance else []
    for option, named in (("--input", record.inputs), ("--output", record.outputs)):
        for name, files in named.items():
            words += [option, name, *(_inside(file.path) for file in files)]
    return [*words, "--record", _inside(record.path)]


def _digest(source: Path, path: str) -> str:
    file = source.parent / path
    return bytes_digest(file.name, file.read_bytes()) if file.is_file() else ""


def _check_out(commit: str, folder: Path, record: Record) -> None:
    """Unpack a commit into ``folder``."""
    top = SOURCE.parent
    done = subprocess.run(
        ["git", "-C", str(top), "archive", commit], capture_output=True, check=False
    )
    if not commit or done.returncode:
        raise UserError(
            f"{record.job} ran code that is not the one here, and commit "
            f"{commit[:12] or '(none)'} is not in this repository.",
            "Fetch the commit (`git fetch --unshallow` for a shallow clone), or make it anew.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
