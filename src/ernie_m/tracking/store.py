"""The only module that talks to MLflow: connecting, and writing in batches within its limits."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ernie_m import outside
from ernie_m.config.base import filled
from ernie_m.tracking.session import Point
from ernie_m.words import flatten, shortened

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
SQLITE = "sqlite:///"

# MLflow's limits per request, and lengths that are readable in its tables.
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
LONGEST_VALUE = 500
LONGEST_KEY = 250

# No telemetry, no progress bars among those of a job, and a timeout of seconds for the server.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; takes 3-4 s, almost all of it for importing MLflow.

    Creates the tables in a new SQLite file, which only one process may do at a time. The values of
    variables that ``uri`` names stay within this process.
    """
    _set_up()
    import mlflow

    mlflow.set_tracking_uri(address := filled(uri))
    return mlflow.MlflowClient(address)


def _set_up() -> None:
    """What has to be set before MLflow is imported, so that it is quiet and waits for seconds."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def migrate(uri: str) -> None:
    """Migrate the tables of an older SQLite store to the installed MLflow."""
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **ENVIRONMENT})


def sqlite_file(uri: str) -> Path | None:
    """The database file of a SQLite ``uri``, or None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size`` items, in order."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def _key(text: str) -> str:
    """``text`` with only the characters that MLflow allows in names."""
    return re.sub(r"[^\w\-. :/]", "_", text)[:LONGEST_KEY]


def shown(value: Any) -> str:
    """A parameter as text: lists of plain values with commas, the rest as JSON, cut if long."""
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        text = ", ".join(str(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(outside.shown(text), LONGEST_VALUE)


def numbers(value: Any) -> dict[str, float]:
    """The finite numbers in nested mappings, by path with slashes; lists are skipped."""
    return {
        path: float(leaf)
        for path, leaf in flatten(value, joint="/")
        if isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)
    }


def milliseconds(moment: str) -> int:
    """A time in ISO 8601 as MLflow counts it, since 1970."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


Names = set[tuple[str, int]]  # name and step of values


def seen(client: MlflowClient, run: Any) -> Names:
    """Name and step of every value that a run has."""
    run_id = run.info.run_id
    return {
        (key, metric.step)
        for key in run.data.metrics
        for metric in client.get_metric_history(run_id, key)
    }


def fresh(points: Iterable[Point], there: Names) -> Iterator[Point]:
    """The points whose name and step are not ``there`` yet; adds them."""
    for point in points:
        if (own := (_key(point[0]), point[3])) not in there:
            there.add(own)
            yield point


def log_points(client: MlflowClient, run_id: str, points: Iterable[Point]) -> None:
    """Write metric values in batches, about fifty times faster than one by one."""
    from mlflow.entities import Metric

    metrics = (Metric(_key(name), value, when, step) for name, value, when, step in points)
    for batch in batches(metrics, METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch)


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Write nested ``params`` flattened, with dots between the keys."""
    from mlflow.entities import Param

    flat = (Param(_key(path), shown(value)) for path, value in flatten(params))
    for batch in batches(flat, PARAMS_PER_BATCH):
        client.log_batch(run_id, params=batch)


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Write ``tags``."""
    from mlflow.entities import RunTag

    entities = (RunTag(_key(name), outside.shown(value)) for name, value in tags.items())
    for batch in batches(entities, PARAMS_PER_BATCH):
        client.log_batch(run_id, tags=batch)


class Machine:
    """The machine's processor, memory, disk, network and GPU, as MLflow's monitors read them."""

    def __init__(self) -> None:
        _set_up()
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
        from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

        self.monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        for kind in (GPUMonitor, ROCMMonitor):
            with suppress(Exception):  # each refuses in its own way where there is no such GPU
                self.monitors.append(kind())

    def figures(self) -> dict[str, float]:
        """Its use now, by MLflow's names."""
        found: dict[str, float] = {}
        for monitor in self.monitors:
            monitor.collect_metrics()
            found |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        return {f"system/{name}": value for name, value in found.items()}


def pages(search: Any, **query: Any) -> Iterator[Any]:
    """All results of one of the client's ``search_*`` methods, page by page."""
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
