"""Files that are whole or not there: written beside their place, and renamed once complete."""

from __future__ import annotations

import os
from pathlib import Path


def partial(path: Path) -> Path:
    """Where a file is written until it is complete; same folder, so the rename is atomic."""
    return path.with_name(f".partial-{path.name}")


def complete(path: Path) -> None:
    """Call the file that was written to ``partial(path)`` complete; raises ``OSError``.

    Its bytes are on the disk before its name is, or a power cut could leave a name without bytes.
    """
    with partial(path).open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial(path), path)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write bytes, or text as UTF-8, whole or not at all; raises ``OSError``."""
    try:
        partial(path).write_bytes(content.encode() if isinstance(content, str) else content)
        complete(path)
    finally:
        partial(path).unlink(missing_ok=True)
