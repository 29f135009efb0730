"""Live curves of a long job.

A separate thread does everything that blocks: MLflow's import, the first connection, one batch
every few seconds. The training loop only appends to a list, whatever the store does.

What the store does not take is added to a file beside the session, from where
:mod:`ernie_m.tracking.finish` enters it: on a machine that cannot reach the store, while a server
is away, and always where the store is a SQLite file of another machine, which network file systems
do not lock well enough for two writers.
"""

from __future__ import annotations

import math
import os
import platform
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ernie_m.tracking import session as sessions
from ernie_m.tracking import store
from ernie_m.tracking.describe import job_name, job_query, job_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLUSH_SECONDS = 5.0
WATCH_SECONDS = 10.0  # between two looks at the machine
RETRY_SECONDS = 300.0  # after the store has failed


class Live:
    """A child run that accepts metrics; made by :func:`attach`.

    ``run_id`` is MLflow's id once the store has answered (final after :meth:`close`), None if
    tracking is off or the store has not been reached.
    """

    def __init__(self, named: Path | None, stage: str, instance: str, resumed: bool) -> None:
        self.run_id: str | None = None
        session = sessions.read(named) if named else None
        if named is None or session is None:
            self._thread = None
            return
        self._session = session
        self._name = (stage, instance)
        self._resumed = resumed
        self._file = sessions.points_file(named, stage, instance)
        self._began = store.milliseconds(session.started)
        self._client: MlflowClient | None = None
        self._seen: store.Names = set()
        self._ask = 0.0 if _may_write(session) else math.inf  # when to ask the store next
        self._warned = self._given_up = False
        self._waiting: list[sessions.Point] = []
        self._sending: list[sessions.Point] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Queue the finite values of ``metrics`` at ``step``; returns immediately."""
        if self._thread is None:
            return
        now = time.time_ns() // 1_000_000
        points = [(k, float(v), now, step) for k, v in metrics.items() if math.isfinite(v)]
        with self._lock:
            self._waiting.extend(points)

    def close(self, timeout: float = 30.0) -> None:
        """Send the rest, waiting at most ``timeout`` seconds. Logging the record ends the run."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._lock:
                self._given_up = True
                rest = self._sending + self._waiting
            self._keep(rest)
            self._warn(TimeoutError(f"no answer in {timeout:g} s"))
        self._thread = None

    def _work(self) -> None:
        with sessions.harmless("keeping curves"):
            if not self._resumed:  # what is there is of a training with other settings or code
                self._file.unlink(missing_ok=True)
            machine, closing, watched = _machine(), False, -math.inf
            while not closing:
                closing = self._closing.wait(FLUSH_SECONDS)
                if machine and time.monotonic() - watched >= WATCH_SECONDS:
                    watched = time.monotonic()
                    seconds = (time.time_ns() // 1_000_000 - self._began) // 1000
                    self.log(machine.figures(), seconds)
                self._flush()

    def _flush(self) -> None:
        with self._lock:
            points = self._sending = self._sending + self._waiting
            self._waiting = []
        taken = self._tell(points)
        with self._lock:
            if self._given_up:  # by `close`, which has kept them
                return
            self._sending = []
        if not taken:
            self._keep(points)

    def _tell(self, points: list[sessions.Point]) -> bool:
        """Whether the store has taken the points."""
        if time.monotonic() < self._ask:
            return False
        try:
            client = self._client = self._client or self._attached()
            assert self.run_id
            store.log_points(client, self.run_id, store.fresh(points, set(self._seen)))
        except Exception as error:  # a tracking store must never fail a job
            self._warn(error)
            self._ask = time.monotonic() + RETRY_SECONDS
            return False
        return True

    def _attached(self) -> MlflowClient:
        """A client, once there is a child run; that of a resumed training goes on."""
        session = self._session
        client = store.connect(session.uri)
        if self._resumed:
            query = job_query(session, *self._name)
            found = client.search_runs([session.experiment_id], query, max_results=1)
            for run in found:
                self._seen, self.run_id = store.seen(client, run), run.info.run_id
        if self.run_id is None:
            child = client.create_run(
                session.experiment_id,
                tags=job_tags(session, *self._name),
                run_name=job_name(*self._name),
            )
            self.run_id = child.info.run_id
        return client

    def _keep(self, points: list[sessions.Point]) -> None:
        with sessions.harmless("keeping curves"):
            sessions.keep(points, self._file)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            sessions.warn(
                "logging curves", error, f"{self._file} keeps them until they are entered"
            )


def _may_write(session: sessions.Session) -> bool:
    """Whether the store has the parent run and takes writers on this machine."""
    own = session.host == platform.node()
    return bool(session.run_id) and (own or store.sqlite_file(session.uri) is None)


def _machine() -> store.Machine | None:
    try:
        return store.Machine()
    except ImportError:  # there are no such curves then
        return None


def attach(stage: str, instance: str, resumed: bool = False) -> Live:
    """A child run of this invocation's parent; does nothing if tracking is off.

    Tracking is on if the environment variable ``ERNIE_M_TRACKING`` names an existing session file.
    A ``resumed`` job goes on with the curves that its earlier attempt left.
    """
    named = os.environ.get(sessions.VARIABLE)
    try:
        return Live(Path(named) if named else None, stage, instance, resumed)
    except Exception as error:
        sessions.warn("reading the session", error)
        return Live(None, stage, instance, resumed)
