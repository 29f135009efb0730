"""An invocation of the pipeline as tracking knows it, kept in files so that any process finds it.

``work/tracking/{run}.json`` is written before the store is asked and removed when everything is
entered. Beside it, in ``work/tracking/{run}/``, lie the curves that a training could not send.
"""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ernie_m.atomic import write_atomic
from ernie_m.outside import one_line

VARIABLE = "ERNIE_M_TRACKING"
FOLDER = Path("work") / "tracking"
STORE = FOLDER / "store"
POINTS = ".jsonl"

Point = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step


@dataclass(frozen=True)
class Session:
    """Where an invocation is logged, and what it is.

    ``run`` names the results folder, ``config`` is the whole configuration. ``started`` and
    ``ended`` are ISO 8601; ``host`` and ``pid`` are the workflow engine's. ``experiment_id`` and
    ``run_id`` (the parent run) are ids of the store, empty until it has answered. ``status`` is
    MLflow's, empty while the invocation goes on. ``earlier`` are parent runs of invocations that
    were not closed, with the status each ended with.
    """

    uri: str
    experiment: str
    run: str
    config: dict[str, Any]
    started: str
    commit: str | None = None
    dirty: bool = False
    host: str = ""
    pid: int = 0
    experiment_id: str = ""
    run_id: str = ""
    status: str = ""
    ended: str = ""
    earlier: dict[str, str] = field(default_factory=dict)


def session_file(run: str) -> Path:
    """Session file of the invocation that fills ``results/{run}``."""
    return FOLDER / f"{run}.json"


def read(path: Path) -> Session | None:
    """The session in ``path``; None if tracking is off (no such file) or it is of another form."""
    if not path.is_file():
        return None
    try:
        return Session(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        warn(f"reading {path}", error)
        return None


def write(session: Session) -> None:
    """Write ``session`` atomically to its file; raises ``OSError``."""
    path = session_file(session.run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(asdict(session), indent=1) + "\n")


@contextmanager
def alone(what: Path) -> Iterator[None]:
    """Lock against other processes that enter the same run, or create the store."""
    what.parent.mkdir(parents=True, exist_ok=True)
    with what.with_name(f"{what.name}.lock").open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def points_file(session: Path, stage: str, instance: str) -> Path:
    """Where a job keeps the points that the store does not take."""
    return session.with_suffix("") / stage / f"{instance}{POINTS}"


def keep(points: Iterable[Point], path: Path) -> None:
    """Add points to a file, one a line; raises ``OSError``."""
    lines = "".join(json.dumps(point) + "\n" for point in points)
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)


def kept(path: Path) -> Iterator[Point]:
    """The points in a file; says how many lines cannot be read, as the last of a killed job."""
    lost = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            name, value, when, step = json.loads(line)
            yield str(name), float(value), int(when), int(step)
        except (TypeError, ValueError):
            lost += 1
    if lost:
        warn_of(f"{path}: lines that are not whole were left out ({lost})")


def kept_files(run: str) -> dict[tuple[str, str], Path]:
    """The files with points of a run's jobs, by stage and instance."""
    folder = session_file(run).with_suffix("")
    found = {}
    for path in sorted(folder.rglob(f"*{POINTS}")):
        stage, *instance = path.relative_to(folder).parts
        found[stage, "/".join(instance).removesuffix(POINTS)] = path
    return found


def warn(doing: str, error: Exception, then: str = "") -> None:
    """Say on stderr in one line that tracking failed, that results are not affected, and what
    comes of it."""
    reason = one_line((str(error).strip().splitlines() or [""])[0])
    warn_of(f"tracking failed while {doing} ({type(error).__name__}: {reason[:300]})", then)


def warn_of(what: str, then: str = "") -> None:
    """Say ``what`` on stderr, that results are not affected, and what comes of it."""
    more = f"; {then}" if then else ""
    print(f"warning: {what}; results are not affected{more}", file=sys.stderr, flush=True)


@contextmanager
def harmless(doing: str, then: str = "") -> Iterator[None]:
    """Turn every failure inside into a warning: a tracking store must never fail a job."""
    try:
        yield
    except Exception as error:
        warn(doing, error, then)


def later(run: str) -> str:
    """What enters a run that the store did not take."""
    return f"once the store answers, `ernie-m track --run {run}` enters the run"
