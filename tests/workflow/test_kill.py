"""kill -9 in the middle of training, then the same command: the same bytes in the end."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

from tests.repository import Repository

MODEL = "results/default/pretrain_btmlm/ernie_m/model.safetensors"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def killed_in_training(repository, kill):
    """Start the command in a process group of its own; kill it, or the group, once a state is
    saved."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(os.path.dirname(sys.executable)), os.environ["PATH"]]),
        "PYTHONPATH": str(repository.path / "src"),
    }
    process = subprocess.Popen(
        ["snakemake", "--cores", "2", MODEL],
        cwd=repository.path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    states = repository.path / "work/state/pretrain_btmlm"
    deadline = time.monotonic() + 900  # slow machines are no fault
    while not list(states.glob("*/step-*.pt")):
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tiny, tmp_path):
    shutil.copytree(tiny.path, tmp_path / "copy", symlinks=True)
    repository = Repository(tmp_path / "copy")
    longer = {"pretrain": {"btmlm": {"steps": 240}}, "saving": {"every_steps": 20}}
    with repository.configured(**longer):
        killed_in_training(repository, os.killpg)
        assert not (repository.path / MODEL).exists()
        log = repository.run("snakemake", "--cores", "2", MODEL)
        assert "resuming after step" in log.stdout + log.stderr
        resumed = sha256(repository.path / MODEL)
        shutil.rmtree(repository.path / "results/default/pretrain_btmlm/ernie_m")
        again = repository.run("snakemake", "--cores", "2", MODEL)
        assert "resuming after step" not in again.stdout + again.stderr
        assert sha256(repository.path / MODEL) == resumed
        shutil.rmtree(repository.path / "results/default/pretrain_btmlm/ernie_m")
        killed_in_training(repository, os.kill)  # Snakemake alone; the training lives on
        log = repository.run("snakemake", "--cores", "2", MODEL)
        said = log.stdout + log.stderr
        assert "waiting for process" in said and "already done by a job of an earlier" in said
        assert "resuming after step" not in said and " step 240: validation" not in said
        assert sha256(repository.path / MODEL) == resumed
        assert not list((repository.path / "work").glob("finished/*/*"))
