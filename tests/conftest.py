"""How the suite is spread over processes (`pytest -n auto --no-loadscope-reorder`), and a copy of
the repository for planning."""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.repository import copy_of_repository

# Those that take the longest begin, so that no process is left alone with one in the end.
LONGEST = ("workflow", "rules", "training", "rehearse", "audit", "checkpoints", "pretrain", "tests")
OWN_RUN = (
    "tests/checkpoints/test_mixed.py",
    "tests/workflow/test_module.py",
    "tests/workflow/test_remotes.py",
)


class ByFolder(LoadScopeScheduling):
    """A folder's tests stay in one process, for they share costly fixtures; those that wait most of
    their time, or have a run of their own, do not."""

    def _split_scope(self, nodeid):
        if "tests/slurm/test_faults.py" in nodeid:
            return nodeid
        file = nodeid.partition("::")[0]
        return file if file.endswith(OWN_RUN) else file.rpartition("/")[0]


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores, for some tests wait for another process or a server."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config, log):
    """Instead of one of the schedulers that `--dist` names."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items):
    """The folders of ``LONGEST``, then the others."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


@pytest.fixture(scope="session")
def blank(tmp_path_factory):
    """A copy in which nothing was run; only for planning."""
    return copy_of_repository(tmp_path_factory.mktemp("blank") / "repository")
