"""What may happen to a training on a cluster: nothing is lost, and it ends in the same bytes."""

import json
import os
import re
import shutil
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.slurm.conftest import CONFIGFILES, PROFILE, Controller, wait_until

FOLDER = "results/tiny/pretrain_camlm/ernie_m"
MODEL = f"{FOLDER}/model.safetensors"
LOG = "results/tiny/logs/pretrain_camlm/ernie_m.log"


@pytest.fixture(scope="module")
def undisturbed(checkout):
    """The training's bytes, made by a local run."""
    checkout.run("snakemake", MODEL, "--cores", "2", *CONFIGFILES)
    return (checkout.path / MODEL).read_bytes()


@pytest.fixture(scope="module")
def alone(checkout, undisturbed):
    """The losses of that run."""
    return losses(checkout)


@pytest.fixture
def training(cluster, checkout, undisturbed, alone):
    """A checkout in which nothing is left of the training."""
    for folder in (FOLDER, "work/state"):
        shutil.rmtree(checkout.path / folder, ignore_errors=True)
    (checkout.path / LOG).unlink(missing_ok=True)
    cluster.wait("idle")
    yield checkout
    for process in Controller.started:  # of a test that failed
        process.kill()
    Controller.started.clear()
    cluster.call("scancel", f"--partition={cluster.partition}")


def step(checkout):
    """The step that the training is known to have reached."""
    path = checkout.path / LOG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return max(map(int, re.findall(r"step (\d+)", text)), default=0)


def start(checkout, *words):
    """Start the training on the cluster; returns its controller once some steps are made."""
    controller = Controller(checkout, MODEL, *PROFILE, *words)
    wait_until(
        lambda: step(checkout) > 10 or controller.process.poll(), "the training is under way"
    )
    return controller


@contextmanager
def paused(cluster, checkout):
    """Meanwhile the training stands still, however fast the machine is."""
    found = cluster.call("pgrep", "--full", "^[^ ]*python .*ernie_m.pretrain.camlm").split()
    (pid,) = (pid for pid in found if Path(f"/proc/{pid}/cwd").readlink() == checkout.path)
    os.kill(int(pid), signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # Slurm has ended it
            os.kill(int(pid), signal.SIGCONT)


def job_of(controller):
    """Slurm's number of the only job."""
    (found,) = re.findall(r"submitted with SLURM jobid (\d+)", controller.said)
    return found


def log(checkout):
    return (checkout.path / LOG).read_text(encoding="utf-8")


def losses(checkout):
    """The numbers of the training's curves."""
    lines = (checkout.path / FOLDER / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    return [number for line in lines for number in json.loads(line).values()]


def go_on(checkout):
    """The same command again; returns what the training logged."""
    checkout.run("snakemake", MODEL, *PROFILE)
    return log(checkout)


def test_a_cancelled_training_is_saved_and_goes_on(cluster, training, undisturbed):
    controller = start(training)
    cluster.call("scancel", job_of(controller))
    assert controller.wait() == 1
    assert "CANCELLED" in controller.said
    assert "state saved after step" in log(training)
    assert "resuming after step" in go_on(training)
    assert (training.path / MODEL).read_bytes() == undisturbed


def start_now(cluster, controller):
    """Have the job start that waits again; Slurm would let it wait two minutes."""
    job = job_of(controller)
    why = ("squeue", "--noheader", "--format=%r", f"--jobs={job}")
    wait_until(lambda: cluster.call(*why) == "BeginTime", "the job is queued again")
    cluster.call("scontrol", "update", f"jobid={job}", "starttime=now")


@pytest.mark.parametrize(
    "words", [("scontrol", "requeue"), ("scancel", "--signal=TERM")], ids=["requeued", "warned"]
)
def test_a_training_whose_time_ends_is_started_again(cluster, training, undisturbed, words):
    controller = start(training)
    cluster.call(*words, job_of(controller))
    start_now(cluster, controller)
    assert controller.wait() == 0
    assert "resuming after step" in log(training)
    assert (training.path / MODEL).read_bytes() == undisturbed


def test_a_killed_controller_is_followed_by_one_that_takes_what_its_job_made(
    cluster, training, undisturbed
):
    controller = start(training)
    with paused(cluster, training):
        controller.process.kill()
        second = Controller(training, MODEL, *PROFILE, log="second.log")
        wait_until(lambda: "submitted" in second.said, "the second has a job")
    assert second.wait() == 0
    said = log(training)
    assert "already done by a job of an earlier call" in said
    assert "step" not in said.partition("already done")[0]  # nothing was trained twice
    assert (training.path / MODEL).read_bytes() == undisturbed


def test_a_second_controller_is_refused_and_the_first_is_not_disturbed(
    cluster, training, undisturbed
):
    controller = start(training)
    with paused(cluster, training):
        second = Controller(training, MODEL, *PROFILE, log="second.log")
        assert second.wait() == 1
    assert f"process {controller.process.pid} on " in second.said
    assert "submitted" not in second.said
    assert controller.wait() == 0
    assert (training.path / MODEL).read_bytes() == undisturbed


def test_a_training_without_enough_time_says_so_and_goes_on(cluster, training, undisturbed):
    resources = ("--set-resources", "pretrain_camlm:runtime=1", "pretrain_camlm:slurm_extra=''")
    controller = start(training, *resources)
    with paused(cluster, training):  # for longer than a minute, Slurm's shortest limit
        assert controller.wait() == 1
    assert "TIMEOUT" in controller.said
    assert "state saved after step" in log(training)
    assert "resuming after step" in go_on(training)
    assert (training.path / MODEL).read_bytes() == undisturbed


def test_a_training_without_enough_memory_says_so(training, undisturbed):
    little = ("--set-resources", "pretrain_camlm:mem_mb=400")
    controller = Controller(training, MODEL, *PROFILE, *little)
    assert controller.wait() == 1
    (slurm,) = re.findall(r"log: .*, (\S+) \(check log file", controller.said)
    assert "Out Of Memory" in log(training) + Path(slurm).read_text(encoding="utf-8")
    go_on(training)
    assert (training.path / MODEL).read_bytes() == undisturbed


def test_a_training_whose_node_fails_goes_on_elsewhere(cluster, training, undisturbed):
    controller = start(training)
    (node,) = cluster.call("squeue", "-h", f"--jobs={job_of(controller)}", "-o", "%N").split()
    cluster.fail(node)
    try:
        start_now(cluster, controller)
        assert controller.wait() == 0
    finally:
        cluster.start(node)
    assert (training.path / MODEL).read_bytes() == undisturbed


@pytest.mark.parametrize("each", [1, 2])
def test_two_nodes_train_as_one_process(training, alone, each):
    hardware = f"hardware={{nodes: 2, processes_per_node: {each}, num_threads: 1}}"
    controller = Controller(training, MODEL, *PROFILE, "--config", hardware)
    assert controller.wait() == 0
    assert losses(training) == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(
    "shape", ["", ", processes_per_node: 2", ", nodes: 2, processes_per_node: 2"]
)
def test_a_gpu_that_was_granted_and_cannot_be_used_is_named(training, shape):
    """Slurm takes the job, which asks for a GPU a process, and starts it."""
    hardware = f"hardware={{require_gpu: true, num_threads: 1{shape}}}"
    controller = Controller(training, MODEL, *PROFILE, "--config", hardware)
    assert controller.wait() == 1
    assert "`hardware.require_gpu`" in log(training)
