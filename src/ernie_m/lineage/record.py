"""The record that each job leaves beside its outputs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ernie_m.lineage.digest import code_digest, code_facts, file_sha256

if TYPE_CHECKING:
    from ernie_m.job import Job

SCHEMA = 1
PACKAGES = (
    *("torch", "numpy", "scipy", "scikit-learn", "seqeval", "sentencepiece", "safetensors"),
    *("datasets", "pyarrow", "py3langid", "rensa", "pydantic", "snakemake", "mlflow"),
)


def file_facts(path: Path) -> dict[str, Any]:
    """Path from the working directory, SHA-256 and size in bytes of one file."""
    return {
        "path": Path(os.path.relpath(path)).as_posix(),
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
    }


def seal(record: dict[str, Any]) -> str:
    """Digest of everything in a record but its seal; shows whether it was edited afterwards."""
    sealed = {key: value for key, value in record.items() if key != "seal"}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _git() -> dict[str, Any]:
    def ask(*words: str) -> str | None:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _files(named: dict[str, list[Path]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [file_facts(file) for file in files] for name, files in named.items()}


@dataclass(frozen=True)
class Opening:
    """What is true when a job begins: an hour later, code and inputs may have been edited."""

    started: datetime
    inputs: dict[str, list[dict[str, Any]]]
    code: dict[str, Any]
    git: dict[str, Any]


def open_record(job: Job[Any]) -> Opening:
    """Note what a job is about to read and run; raises ``OSError`` for an unreadable input."""
    return Opening(
        started=datetime.now(UTC),
        inputs=_files(job.input_paths),
        code={"digest": code_digest(job.module), "files": code_facts(job.module)},
        git=_git(),
    )


def _run_facts(job: Job[Any], opening: Opening) -> dict[str, Any]:
    ended = datetime.now(UTC)
    machine = {"system": platform.system(), "cpu": platform.machine(), "cores": os.cpu_count()}
    return {
        "git": opening.git,
        "python": platform.python_version(),
        "packages": _versions(),
        "machine": machine,
        "threads": job.threads,
        "started": opening.started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round((ended - opening.started).total_seconds(), 2),
        **job.notes,
    }


def write_record(job: Job[Any], path: Path, opening: Opening) -> None:
    """Write the record of a finished job, beside and renamed.

    ``facts`` repeat from run to run with the same inputs, code, settings and seed; ``run`` holds
    what does not. Raises ``OSError`` when an output cannot be read back.
    """
    record = {
        "schema": SCHEMA,
        "stage": job.stage,
        "instance": job.instance,
        "module": job.module,
        "facts": {
            "inputs": opening.inputs,
            "outputs": _files(job.output_paths),
            "settings": job.settings.model_dump(mode="json"),
            "seed": job.seed,
            "code": opening.code,
        },
        "run": _run_facts(job, opening),
    }
    record["seal"] = seal(record)
    temporary = path.with_name(f".partial-{path.name}")
    temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
