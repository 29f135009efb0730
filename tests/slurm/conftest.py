"""A Slurm for all tests here, and a checkout in which the text was made ready for a training.

They are run by `make test-slurm` alone, for they need root and Debian's packages. Most of their
time is Slurm's and its executor's waiting: they are run side by side, each of pytest's workers with
a partition of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from ernie_m.config.load import deep_merge
from tests.repository import ROOT, copy_of_repository
from tests.slurm.cluster import Cluster, missing
from tests.workflow.conftest import DOWNLOADS, take_downloads

# Over config/tiny.yaml: of each kind of stage a few jobs, and a training of half a minute.
CONFIGURATION = {
    "corpora": {"languages": ["en", "de"], "pairs": ["en-de"]},
    "hardware": {"num_threads": 1},
    "pretrain": {
        "camlm": {"steps": 200, "evaluate_every": 100},
        "btmlm": {"steps": 10, "evaluate_every": 10},
    },
    "saving": {"every_steps": 20},
    "tracking": {"uri": ""},
    "xtreme": {"tasks": ["standin_retrieval", "standin_classification"], "seeds": [1]},
}
CONFIGFILES = ("--configfile", "config/tiny.yaml")
SOON = ("--slurm-init-seconds-before-status-checks", "5")
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) + 1
PROFILE = ("--profile", "profiles/slurm", *SOON, *CONFIGFILES)
FOLDER = "ERNIE_M_TEST_CLUSTER"  # the variable that tells pytest's workers where the cluster is


def pytest_collection_modifyitems(items):
    """Marked, so that other runs leave them out."""
    for item in items:
        if item.path.parent.name == "slurm":
            item.add_marker(pytest.mark.slurm)


def pytest_sessionstart(session):
    """Start the cluster before the workers, which come after this."""
    if session.config.option.markexpr == "slurm" and FOLDER not in os.environ and not missing():
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="cluster-")
        session.cluster = Cluster(Path(os.environ[FOLDER]), session.config.option.numprocesses or 1)
        session.cluster.up()


def pytest_sessionfinish(session):
    """Stop it after them."""
    if hasattr(session, "cluster"):
        session.cluster.down()
        shutil.rmtree(session.cluster.folder)


@pytest.fixture(scope="session")
def cluster():
    """A partition of two nodes of two CPUs."""
    if lacks := FOLDER not in os.environ and missing():
        pytest.skip(lacks)
    return Cluster(Path(os.environ[FOLDER]), partition=WORKER)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy in which nothing was run yet."""
    made = copy_of_repository(tmp_path_factory.mktemp("slurm") / "checkout")
    tiny = made.path / "config/tiny.yaml"
    base = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    del base["variants"]
    tiny.write_text(yaml.safe_dump(deep_merge(base, CONFIGURATION)), encoding="utf-8")
    profile = made.path / "profiles/slurm/config.yaml"
    text, filled = re.subn(
        r"# (slurm_partition: ).*", rf"\1batch{WORKER}", profile.read_text(encoding="utf-8")
    )
    assert filled == 1
    profile.write_text(text, encoding="utf-8")
    if (ROOT / DOWNLOADS).is_dir():
        take_downloads(made)
    made.git("add", ".")
    made.git("commit", "-q", "-m", "checkout")
    return made


class Controller:
    """A `snakemake` in the background, and what it prints."""

    started: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, checkout, *words, log="controller.log"):
        self.log = checkout.path / log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words],
            cwd=checkout.path,
            env=checkout.environment,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self.started.append(self.process)

    @property
    def said(self):
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds=300):
        """Its exit status."""
        return self.process.wait(seconds)


def wait_until(happened, what, seconds=180):
    """Wait until a call returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.2)
    return found
