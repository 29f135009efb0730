"""Real runs of the rules in a folder of their own, on text made for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LINKED = ("Snakefile", "workflow", "profiles", "src", "envs")


def finished(results: Path) -> Path:
    """The folder of a run whose text is ready; ends the benchmark where it is not."""
    if not (results / "tokenizer_train/spm.model").is_file():
        raise SystemExit(f"{results} has no text: run `snakemake --cores all tokenizer` first.")
    return results.resolve()


def prepare(folder: Path) -> None:
    """What the rules need of the repository."""
    for name in LINKED:
        (folder / name).symlink_to(Path(name).resolve())
    shutil.copytree("config", folder / "config")


def registry_row(
    name: str, path: Path, form: str, languages: Sequence[str], size: int
) -> dict[str, Any]:
    """The row of a file made here, of so many bytes of text."""
    return {
        "id": name,
        "path": str(path),
        "version": "1",
        "filename": path.name,
        "licence": "Apache-2.0",
        "format": form,
        "languages": list(languages),
        "text_bytes": size,
        "home": "https://www.home-assistant.io",
    }


def start(folder: Path, log: Path, *words: str) -> subprocess.Popen:
    """A command of the environment in the folder, in a process group of its own; what it says is
    added to ``log``."""
    with log.open("ab") as said:
        return subprocess.Popen(
            words,
            cwd=folder,
            env=os.environ
            | {
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": str(folder / "src"),
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def finish(process: subprocess.Popen, log: Path) -> None:
    """Wait for a command; one that fails ends the benchmark with what it said last."""
    if process.wait():
        raise SystemExit(log.read_text(encoding="utf-8")[-3000:])
