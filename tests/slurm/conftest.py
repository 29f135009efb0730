"""A Slurm for all tests here, and a checkout in which the text was made ready for a training.

They are run by `make test-slurm` alone, for they need root and Debian's packages.
"""

import subprocess
import sys
import time

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
        "camlm": {"steps": 120, "evaluate_every": 60, "checkpoint_every": 20},
        "btmlm": {"steps": 10, "evaluate_every": 10},
    },
    "tracking": {"uri": ""},
    "xtreme": {"tasks": ["standin_retrieval", "standin_classification"], "seeds": [1]},
}
CONFIGFILES = ("--configfile", "config/tiny.yaml")
SOON = ("--slurm-init-seconds-before-status-checks", "5")
PROFILE = ("--profile", "profiles/slurm", "--cores", "2", *SOON, *CONFIGFILES)


def pytest_collection_modifyitems(items):
    """Marked, so that other runs leave them out."""
    for item in items:
        if item.path.parent.name == "slurm":
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two nodes of two CPUs."""
    if lacks := missing():
        pytest.skip(lacks)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy in which nothing was run yet."""
    made = copy_of_repository(tmp_path_factory.mktemp("slurm") / "checkout")
    tiny = made.path / "config/tiny.yaml"
    base = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    del base["variants"]
    tiny.write_text(yaml.safe_dump(deep_merge(base, CONFIGURATION)), encoding="utf-8")
    if (ROOT / DOWNLOADS).is_dir():
        take_downloads(made)
    made.git("add", ".")
    made.git("commit", "-q", "-m", "checkout")
    return made


class Controller:
    """A `snakemake` in the background, and what it prints."""

    def __init__(self, checkout, *words, log="controller.log"):
        self.log = checkout.path / log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words],
            cwd=checkout.path,
            env=checkout.environment,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

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
