"""Starting the processes of a stage; what needs a Slurm is in tests/slurm."""

import os

import pytest

from ernie_m.errors import UserError
from ernie_m.launch import STEP, know_rank, launch, queue_again

ALONE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_JOB_ID", STEP)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ALONE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch):
    """What took the place of this process: program, words, environment."""
    calls = []
    monkeypatch.setattr("os.execv", lambda *call: calls.append(call))
    monkeypatch.setattr("os.execvpe", lambda *call: calls.append(call))
    return calls


def test_a_single_process_is_started_already(started):
    launch("ernie_m.pretrain.camlm", threads=2)
    assert not started


def test_several_nodes_need_something_that_starts_processes_on_them():
    with pytest.raises(UserError, match=r"`hardware[.]nodes` is 2"):
        launch("ernie_m.pretrain.camlm", threads=2, nodes=2)


def test_in_a_step_of_slurm_a_process_knows_its_rank(started, monkeypatch):
    for name, value in {
        STEP: "1",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "SLURM_NTASKS": "4",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ALONE[:3]:
        monkeypatch.setenv(name, "")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    know_rank()
    launch("ernie_m.pretrain.camlm", threads=1, nodes=2, processes_per_node=2)
    assert not started
    assert [os.environ[name] for name in ALONE[:3]] == ["3", "1", "4"]


def test_nothing_is_queued_again_outside_of_slurm():
    assert not queue_again()
