"""Real runs of the rules in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LINKED = ("Snakefile", "workflow", "profiles", "src", "envs")


def prepare(folder: Path) -> None:
    """What the rules need of the repository."""
    for name in LINKED:
        (folder / name).symlink_to(Path(name).resolve())
    shutil.copytree("config", folder / "config")


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
