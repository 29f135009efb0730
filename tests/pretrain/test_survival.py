"""Killed at any moment, asked to leave, or started again on other hardware: the same model."""

import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ernie_m.callbacks.checkpointer import Checkpointer
from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.saving import SavingSettings
from ernie_m.job import Job
from ernie_m.training.stage import train_stage
from tests.pretrain.conftest import stage_job, write_corpus

KILLS = 20
# A server that has imported torch and nothing else, so that a run starts in milliseconds.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["ernie_m.callbacks", "tests.pretrain.conftest"])


def job(folder: Path, corpus: dict[str, list[Path]], model: Path) -> Job[Any]:
    settings = stage_job(
        steps=400,
        evaluate_every=100,
        hardware=HardwareSettings(num_threads=1),
    )
    folder.mkdir(exist_ok=True)
    return Job(
        module="ernie_m.pretrain.camlm",
        instance="ernie_m",
        settings=settings,
        seed=1,
        threads=1,
        input_paths={"init": [model], "train": corpus["train"], "valid": corpus["valid"]},
        output_paths={name: [folder / name] for name in ("model", "curves", "metrics")},
    )


def work(folder: Path, made: Job[Any]) -> None:
    os.chdir(folder)
    train_stage(made, [Checkpointer(SavingSettings(every_steps=4))])


def work_and_tell(folder: Path, made: Job[Any]) -> None:
    """The same to the end of the job, with a log and the step that it went on from."""
    told = made.output_paths["model"][0].parent
    logging.basicConfig(filename=told / "log")
    work(folder, made)
    for action in made.afterwards:
        action()
    (told / "resumed_from").write_text(str(made.notes["resumed_from"]))


def started(folder: Path, made: Job[Any], target: Callable[..., None] = work) -> Any:
    process = SERVER.Process(target=target, args=(folder, made))
    process.start()
    return process


def until(true: Callable[[], bool], process: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline and process.exitcode is None
        time.sleep(0.01)


def newest(folder: Path) -> str:
    return max((path.name for path in (folder / "work").rglob("step-*.pt")), default="")


def bytes_of(made: Job[Any]) -> list[bytes]:
    return [made.output(name).read_bytes() for name in ("model", "curves", "metrics")]


Undisturbed = tuple[Callable[[Path], Job[Any]], list[bytes]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Undisturbed:
    """What makes the job in a folder, and the bytes that it leaves."""
    own = tmp_path_factory.mktemp("undisturbed")
    corpus = write_corpus(own / "corpus", 1)

    def make(folder: Path) -> Job[Any]:
        return job(folder, corpus, model_file)

    made = make(own / "made")
    process = started(own / "made", made)
    process.join()
    assert process.exitcode == 0
    return make, bytes_of(made)


def test_twenty_kills_at_random_moments_change_no_bit(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    make, expected = undisturbed
    made, moments = make(tmp_path / "killed"), random.Random(1)
    for number in range(KILLS):
        before = newest(tmp_path / "killed")
        process = started(tmp_path / "killed", made)
        # Every other one gets somewhere first, or on a slow machine none ever would.
        while number % 2 and newest(tmp_path / "killed") == before and process.is_alive():
            time.sleep(0.001)
        process.join(moments.uniform(0, 0.03 if number % 2 else 1))
        assert process.exitcode is None, "it ended before it could be killed"
        process.kill()
        process.join()
    process = started(tmp_path / "killed", made)
    process.join()
    assert process.exitcode == 0 and bytes_of(made) == expected


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_may_ask_it_to_leave(
    tmp_path: Path,
    undisturbed: Undisturbed,
    which: signal.Signals,
) -> None:
    make, expected = undisturbed
    made = make(tmp_path / "asked")
    process = started(tmp_path / "asked", made)
    until(lambda: newest(tmp_path / "asked") != "", process)
    os.kill(process.pid, which)
    process.join()
    assert process.exitcode == 128 + which
    again = started(tmp_path / "asked", made)
    again.join()
    assert again.exitcode == 0 and bytes_of(made) == expected


def test_two_runs_with_one_training_take_turns(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Or one would go on from the state of the other, and lose it when that is cleared."""
    make, expected = undisturbed
    jobs = [make(tmp_path / name) for name in ("first", "second")]
    shared = tmp_path / "shared"
    shared.mkdir()
    first = started(shared, jobs[0], work_and_tell)
    until(lambda: newest(shared) != "", first)
    os.kill(first.pid, signal.SIGSTOP)
    second = started(shared, jobs[1], work_and_tell)
    log = tmp_path / "second/log"
    until(lambda: log.exists() and f"waiting for process {first.pid}" in log.read_text(), second)
    os.kill(first.pid, signal.SIGCONT)
    for process, made, name in zip((first, second), jobs, ("first", "second"), strict=True):
        process.join()
        assert process.exitcode == 0 and bytes_of(made) == expected
        assert (tmp_path / name / "resumed_from").read_text() == "0"
    assert newest(shared) == ""
