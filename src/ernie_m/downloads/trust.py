"""Trust on first use: digests of downloads for which upstream publishes none.

Beside a registry lies a file with a line for each, as `sha256sum --check` reads it, such as
`config/corpora.sha256`. It belongs into git: whoever fetches the same row later gets the same
bytes, or an error.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from ernie_m.records.graph import SHARED

# By download stage.
TRUSTED = {stage: Path(f"config/{stage.partition('_')[0]}.sha256") for stage in SHARED}


def trusted_sha256(result: str, path: Path) -> str | None:
    """The digest recorded at the first download of ``result``, a file's path; None before that."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if name == result:
                return digest
    return None


def trust(result: str, digest: str, path: Path) -> None:
    """Record the digest of a first download; parallel downloads take turns (file lock)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        if handle.read()[-1:] not in ("", "\n"):  # an editor dropped the final newline
            handle.write("\n")
        handle.write(f"{digest}  {result}\n")
