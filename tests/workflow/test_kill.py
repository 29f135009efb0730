"""kill -9 in the middle of training, then the same command: the same bytes in the end."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.repository import Repository

MODEL = "results/default/pretrain_btmlm/ernie_m/model.safetensors"
COMMAND = ("snakemake", "--cores", "2", MODEL)
LONGEST = 900  # seconds; slow machines are no fault


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(repository, log=subprocess.DEVNULL):
    """The command, in a process group of its own."""
    return subprocess.Popen(
        COMMAND,
        cwd=repository.path,
        env=repository.environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(condition, process):
    deadline = time.monotonic() + LONGEST
    while not (found := condition()):
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def in_training(repository):
    """The command and its training, which has saved a state."""
    process = started(repository)
    states = repository.path / "work/state/pretrain_btmlm"
    wait_for(lambda: list(states.glob("*/step-*.pt")), process)
    (training,) = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"ernie_m.pretrain.btmlm" in words(path)[2:3]
        and os.path.samefile(path.parent / "cwd", repository.path)
    )
    return process, training


def words(path):
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tiny, tmp_path):
    shutil.copytree(tiny.path, tmp_path / "copy", symlinks=True)
    repository = Repository(tmp_path / "copy")
    longer = {"pretrain": {"btmlm": {"steps": 100}}, "saving": {"every_steps": 10}}
    with repository.configured(**longer, tracking={"uri": ""}):
        process, _ = in_training(repository)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (repository.path / MODEL).exists()
        log = repository.run(*COMMAND)
        assert "resuming after step" in log.stdout + log.stderr
        resumed = sha256(repository.path / MODEL)
        shutil.rmtree(repository.path / "results/default/pretrain_btmlm/ernie_m")
        # Snakemake alone; the training lives on undisturbed, while the next call waits for it.
        process, training = in_training(repository)
        os.kill(training, signal.SIGSTOP)
        process.kill()
        process.wait()
        log = tmp_path / "log"
        with log.open("wb") as file:
            process = started(repository, file)
        wait_for(lambda: "waiting for process" in log.read_text(), process)
        os.kill(training, signal.SIGCONT)
        assert process.wait(LONGEST) == 0
        said = log.read_text()
        assert "already done by a job of an earlier" in said
        assert "resuming after step" not in said and " step 100: validation" not in said
        assert sha256(repository.path / MODEL) == resumed
        assert not list((repository.path / "work").glob("finished/*/*"))
