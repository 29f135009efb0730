"""The parent run of an invocation, kept in a file so that any process can find it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ernie_m.atomic import write_atomic
from ernie_m.outside import one_line

VARIABLE = "ERNIE_M_TRACKING"
FOLDER = Path("work") / "tracking"


@dataclass(frozen=True)
class Session:
    """Where runs are logged: store, experiment, and the parent run of this invocation.

    ``run`` names the results folder; ``run_id`` and ``experiment_id`` are ids of the store.
    """

    uri: str
    experiment: str
    experiment_id: str
    run: str
    run_id: str


def session_file(run: str) -> Path:
    """Session file of the invocation that fills ``results/{run}``."""
    return FOLDER / f"{run}.json"


def read(path: Path) -> Session | None:
    """The session in ``path``, or None if tracking is off (no such file)."""
    if not path.is_file():
        return None
    return Session(**json.loads(path.read_text(encoding="utf-8")))


def write(session: Session, path: Path) -> None:
    """Write ``session`` atomically; raises ``OSError``."""
    write_atomic(path, json.dumps(asdict(session), indent=1) + "\n")


def warn(doing: str, error: Exception) -> None:
    """Say on stderr in one line that tracking failed and that results are not affected."""
    reason = one_line((str(error).strip().splitlines() or [""])[0])
    warn_of(f"tracking failed while {doing} ({type(error).__name__}: {reason[:300]})")


def warn_of(what: str) -> None:
    """Say ``what`` on stderr, and that results are not affected."""
    print(f"warning: {what}; results are not affected", file=sys.stderr, flush=True)


@contextmanager
def harmless(doing: str) -> Iterator[None]:
    """Turn every failure inside into a warning: a tracking store must never fail a job."""
    try:
        yield
    except Exception as error:
        warn(doing, error)
