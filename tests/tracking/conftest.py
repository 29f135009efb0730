"""A store made once, and a small results folder with records."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import requests

from ernie_m.records.digest import file_sha256
from ernie_m.records.writer import file_facts
from ernie_m.tracking import store


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A SQLite file with MLflow's tables; creating them takes seconds, copying does not."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def uri(prepared, tmp_path, monkeypatch) -> str:
    """An empty store of the test's own, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(prepared, tmp_path / "mlflow.db")
    # Absolute, because MLflow keeps one engine a URI and process.
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


class Results:
    """Writes jobs' outputs and records below ``results/``."""

    def job(self, stage, instance, outputs, inputs=None, settings=None, run="default") -> Path:
        """Write ``outputs`` (name -> file name -> content) and the record that claims them."""
        root = Path("results") / ("" if stage == "corpora_download" else run)
        folder = root / stage / instance
        folder.mkdir(parents=True, exist_ok=True)
        claimed = {}
        for name, files in outputs.items():
            for file, content in files.items():
                (folder / file).write_text(content)
            claimed[name] = [asdict(file_facts(folder / file)) for file in files]
        record = {
            "schema": 1,
            "stage": stage,
            "instance": instance,
            "module": "ernie_m." + stage.replace("_", ".", 1),
            "facts": {
                "inputs": {
                    name: [asdict(file_facts(path)) for path in paths]
                    for name, paths in (inputs or {}).items()
                },
                "outputs": claimed,
                "settings": settings or {},
                "seed": 1,
                "code": {"digest": "0123456789abcdef", "files": {}},
            },
            "run": {
                "git": {"commit": "c" * 40, "dirty": False},
                "started": "2026-01-02T03:04:05+00:00",
                "ended": "2026-01-02T03:05:05+00:00",
                "seconds": 60.0,
            },
        }
        path = folder / "record.json"
        path.write_text(json.dumps(record))
        return path

    def small_run(self) -> tuple[Path, Path]:
        """A download and a training on it; returns the two records."""
        first = self.job("corpora_download", "wheel", {"file": {"a.whl": "wheel"}})
        curves = [
            {"step": step, "seconds": step, "train/camlm": 6.0 - step} for step in range(1, 4)
        ]
        lines = "".join(json.dumps(line) + "\n" for line in curves)
        second = self.job(
            "pretrain_camlm",
            "ernie_m",
            {
                "model": {"model.safetensors": "weights"},
                "curves": {"curves.jsonl": lines},
                "metrics": {"metrics.json": '{"steps": 3, "valid": {"camlm": {"en-de": 2.5}}}'},
            },
            inputs={"shards": [Path("results/corpora_download/wheel/a.whl")]},
            settings={"steps": 3, "objectives": {"camlm": 1.0}, "languages": ["en", "de"]},
        )
        return first, second


@pytest.fixture
def results(tmp_path, monkeypatch) -> Results:
    """The writer of results, in the test's working directory."""
    monkeypatch.chdir(tmp_path)
    return Results()


@pytest.fixture
def weights_digest(results):
    """Digest of the trained model of :meth:`Results.small_run`."""
    return lambda: file_sha256(Path("results/default/pretrain_camlm/ernie_m/model.safetensors"))


@contextmanager
def serving(folder, port):
    """An MLflow server that keeps everything in a folder; its address once it answers."""
    words = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            words,
            env=os.environ | store.ENVIRONMENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def wait_for(address, process, seconds=300):
    """Until the server answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    raise AssertionError(f"no answer from {address}")


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A folder and a port for a server, of the test's own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(prepared, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return folder, free.getsockname()[1]
