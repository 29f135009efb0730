"""The code that ran from a working tree with changes: their patch, kept beside the record.

With it, and the commit that the record names, the same code can be had again. Files that git
ignores are never in it, and what is added is without secrets (:mod:`ernie_m.outside`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ernie_m.atomic import write_atomic
from ernie_m.errors import UserError
from ernie_m.outside import redacted

NAME = "uncommitted.patch"
# What decides a job: its code, its rule, its settings, its packages.
COUNTED = (
    *("Snakefile", "config", "envs", "pyproject.toml", "requirements.txt", "requirements-cuda.txt"),
    *("src", "workflow"),
)
LARGEST = 2_000_000  # bytes; a larger patch is not kept
# As plain git writes it, whatever a user has set.
DIFF = ("-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "diff", "--binary")
PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index")


def _git(*words: str, given: str = "", **variables: str) -> bytes | None:
    """What git prints, None if it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *words],
            input=given.encode(errors="surrogateescape"),
            capture_output=True,
            check=False,
            env={**os.environ, **variables},
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def changes() -> str | None:
    """The patch from the commit to the working tree, new files included; None if nothing that
    counts differs, there is no commit, or it is too large to be kept."""
    listed = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *COUNTED)
    index = _git("rev-parse", "--git-path", "index")
    if listed is None or index is None:
        return None
    new = listed.decode(errors="surrogateescape")
    if sum(os.lstat(name).st_size for name in new.split("\0") if os.path.lexists(name)) > LARGEST:
        return None
    with tempfile.TemporaryDirectory() as folder:
        # New files are announced in a copy of the index, so that git's own stays as it is, and
        # nothing of them enters its store of objects.
        copy = os.path.join(folder, "index")
        if os.path.isfile(own := os.fsdecode(index.rstrip(b"\n"))):
            shutil.copyfile(own, copy)
        if new:
            announce = ("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
            _git("--literal-pathspecs", *announce, given=new, GIT_INDEX_FILE=copy)
        found = _git(*DIFF, *PLAIN, "HEAD", "--", *COUNTED, GIT_INDEX_FILE=copy)
    if not found or len(found) > LARGEST:
        return None
    lines = found.decode(errors="surrogateescape").split("\n")
    added = iter(redacted("\n".join(filter(_is_added, lines))).split("\n"))
    return "\n".join(next(added) if _is_added(line) else line for line in lines)


def _is_added(line: str) -> bool:
    """Whether a patch adds a line; the others are in the commit."""
    return line.startswith("+")


def keep(patch: str | None, folder: Path) -> str | None:
    """Write a patch beside a record, or take away that of an earlier run; returns its SHA-256."""
    if patch is None:
        (folder / NAME).unlink(missing_ok=True)
        return None
    content = patch.encode(errors="surrogateescape")
    write_atomic(folder / NAME, content)
    return hashlib.sha256(content).hexdigest()


def apply(tree: Path, file: Path, sha256: str) -> None:
    """Bring ``tree``, the top folder of a clean checkout of the record's commit, to the code that
    ran, by the patch in ``file``.

    Raises :class:`UserError` if that is not the patch with this SHA-256, or does not fit.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"{file} is not the patch that the record beside it names.",
            "Take it back by `ernie-m restore`, or have the job made again by `snakemake`.",
        )
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(command, cwd=tree, input=content, capture_output=True, check=False)
    if done.returncode:
        raise UserError(
            f"{file} does not fit the commit: {done.stderr.decode(errors='replace').strip()}.",
            "Check that the folder is a clean checkout of the commit that the record names.",
        )
