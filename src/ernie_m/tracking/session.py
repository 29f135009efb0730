"""The parent run of one invocation, kept in a file so that any process can find it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ernie_m.atomic import write_atomic

VARIABLE = "ERNIE_M_TRACKING"
FOLDER = Path("work") / "tracking"


@dataclass(frozen=True)
class Session:
    """Where runs are logged: store, experiment, and the parent run of this invocation.

    ``run`` names the results folder; ``run_id`` and ``experiment_id`` are the store's own.
    """

    uri: str
    experiment: str
    experiment_id: str
    run: str
    run_id: str


def session_file(run: str) -> Path:
    """File of the invocation that fills ``results/{run}``."""
    return FOLDER / f"{run}.json"


def read(path: Path) -> Session | None:
    """The session in ``path``, or None when tracking is off (no such file)."""
    if not path.is_file():
        return None
    return Session(**json.loads(path.read_text(encoding="utf-8")))


def write(session: Session, path: Path) -> None:
    """Write ``session`` whole or not at all; raises ``OSError``."""
    write_atomic(path, json.dumps(asdict(session), indent=1) + "\n")


def warn(doing: str, error: Exception) -> None:
    """Say on stderr that tracking failed, in one line, and that results are not touched by it."""
    reason = str(error).strip().splitlines() or [""]
    print(
        f"warning: tracking failed while {doing} ({type(error).__name__}: {reason[0][:300]}); "
        "results are not affected",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def harmless(doing: str) -> Iterator[None]:
    """Turn every failure inside into a warning: a tracking store never decides over a job."""
    try:
        yield
    except Exception as error:
        warn(doing, error)
