"""Trust on first use: digests of downloads for which upstream publishes none.

`config/corpora.sha256` has a line for each, as `sha256sum --check` reads it. It belongs into git
beside the registry: whoever fetches the same data set later gets the same bytes, or is told.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

TRUSTED = Path("config/corpora.sha256")


def _name(dataset: str) -> str:
    return f"results/corpora_download/{dataset}/original"


def trusted_sha256(dataset: str, path: Path = TRUSTED) -> str | None:
    """The digest that was recorded when ``dataset`` was first downloaded, None before that."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if name == _name(dataset):
                return digest
    return None


def trust(dataset: str, digest: str, path: Path = TRUSTED) -> None:
    """Record what arrived first; downloads that run side by side take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        if handle.read()[-1:] not in ("", "\n"):  # an editor has left the last line open
            handle.write("\n")
        handle.write(f"{digest}  {_name(dataset)}\n")
