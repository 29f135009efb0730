"""Live curves of a long job.

A separate thread does everything that blocks: MLflow's import, the first connection, one batch
every few seconds. The training loop only appends to a list, whatever the store does.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ernie_m.tracking import session as sessions
from ernie_m.tracking import store
from ernie_m.tracking.describe import job_name, job_tags

FLUSH_SECONDS = 5.0


class Live:
    """A child run that accepts metrics; made by :func:`attach`.

    ``run_id`` is MLflow's id once the store has answered (final after :meth:`close`), None if
    tracking is off or has failed.
    """

    def __init__(self, session: sessions.Session | None, stage: str, instance: str) -> None:
        self.run_id: str | None = None
        self._session = session
        self._name = (stage, instance)
        self._waiting: list[store.Point] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failed = threading.Event()
        self._thread: threading.Thread | None = None
        if session is not None:
            self._thread = threading.Thread(target=self._work, args=(session,), daemon=True)
            self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Queue the finite values of ``metrics`` at ``step``; returns immediately."""
        if self._thread is None or self._failed.is_set():
            return
        now = time.time_ns() // 1_000_000
        points = [(k, float(v), now, step) for k, v in metrics.items() if math.isfinite(v)]
        with self._lock:
            self._waiting.extend(points)

    def close(self, timeout: float = 30.0) -> None:
        """Write the rest, waiting at most ``timeout`` seconds. Logging the record ends the run."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            late = TimeoutError(
                f"no answer in {timeout:g} s, the rest of the curves follows at the end"
            )
            sessions.warn("closing a run", late)
        self._thread = None

    def _work(self, session: sessions.Session) -> None:
        with sessions.harmless("logging curves"):
            client = store.connect(session.uri)
            stage, instance = self._name
            child = client.create_run(
                session.experiment_id,
                tags=job_tags(session, stage, instance),
                run_name=job_name(stage, instance),
            )
            self.run_id = child.info.run_id
            with store.machine_watched(child.info.run_id):
                closing = False
                while not closing:
                    closing = self._closing.wait(FLUSH_SECONDS)
                    with self._lock:
                        points, self._waiting = self._waiting, []
                    store.log_points(client, child.info.run_id, points)
            return
        # Nobody writes any more, so nothing may be queued either.
        self._failed.set()


def attach(stage: str, instance: str) -> Live:
    """A child run of this invocation's parent; does nothing if tracking is off.

    Tracking is on if the environment variable ``ERNIE_M_TRACKING`` names an existing session file.
    """
    session = None
    with sessions.harmless("reading the session"):
        if named := os.environ.get(sessions.VARIABLE):
            session = sessions.read(Path(named))
    return Live(session, stage, instance)
