"""The DVC revision of a run: a commit whose `dvc.lock` names its results.

A run ends before its results are committed, so the tag comes when the store is told something of
the run after that. Compared is the record beside a result, which names all bytes of its job.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ernie_m.bounded import parse_yaml, read_json
from ernie_m.records.writer import git

LOCK = "dvc.lock"
REVISION = "dvc.rev"


def revision() -> tuple[str, dict[str, str]]:
    """The commit of the working tree, and the MD5 of each file that its `dvc.lock` names, by path;
    of the files in a folder as far as DVC's cache is here. Both empty without such a file."""
    commit, text = git("rev-parse", "HEAD"), git("show", f"HEAD:./{LOCK}")
    if not commit or not text:
        return "", {}
    try:
        stages = parse_yaml(text)["stages"].values()
        outs = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}
    except (ValueError, AttributeError, KeyError, TypeError):
        return "", {}
    return commit, dict(_files(outs))


def _files(outs: dict[str, str]) -> Iterator[tuple[str, str]]:
    cache = _cache() if any(md5.endswith(".dir") for md5 in outs.values()) else None
    for path, md5 in outs.items():
        if not md5.endswith(".dir"):
            yield path, md5
        elif cache:
            for file in _listed(cache / "files" / "md5" / md5[:2] / md5[2:]):
                yield f"{path}/{file['relpath']}", file["md5"]


def _cache() -> Path | None:
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _listed(folder: Path) -> Iterable[dict[str, Any]]:
    """The files of a folder, as DVC keeps their names."""
    try:
        listed = read_json(folder)
    except (OSError, ValueError):
        return []
    return listed if isinstance(listed, list) else []


def md5(path: Path) -> str:
    """MD5 of a file, by which DVC names bytes; raises ``OSError``."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
