"""One writer, always: a lock holds while its process lives, and no longer."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ernie_m import locks
from ernie_m.errors import UserError

BEGIN = """
import subprocess, sys, time
from ernie_m import locks
locks.begin_invocation("mine")
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""
WAIT = """
import logging
from pathlib import Path
from ernie_m.locks import waited_for
logging.basicConfig()
with waited_for(Path("work/a.lock")):
    print("held", flush=True)
    input()
"""


def started(code: str, **environment: str) -> subprocess.Popen[str]:
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    words = [sys.executable, "-c", code]
    return subprocess.Popen(words, text=True, env={**os.environ, **environment}, **pipes)


def line(stream: object) -> str:
    return stream.readline().strip()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(locks.INVOCATION, raising=False)


def test_a_second_call_is_refused_and_told_of_the_first() -> None:
    first = started(BEGIN, SLURM_JOB_ID="71")
    try:
        child = int(line(first.stdout))
        for slurm in ("", "72"):
            second = started(BEGIN, SLURM_JOB_ID=slurm)
            _, said = second.communicate()
            assert second.returncode == 1
            assert f"process {first.pid} on {socket.gethostname()}, Slurm job 71" in said
            assert "`scancel 71`, or `kill" in said and "-c" in said
        other = started(BEGIN.replace("mine", "other"))
        assert int(line(other.stdout))
        other.kill()
        first.kill()
        first.wait()
        os.kill(child, 0)  # what the call started still lives, and holds nothing
        third = started(BEGIN)
        assert int(line(third.stdout)) != child
        third.kill()
    finally:
        first.kill()


def test_a_lock_is_waited_for_and_taken_when_its_holder_is_killed() -> None:
    holder = started(WAIT)
    assert line(holder.stdout) == "held"
    waiting = started(WAIT)
    told = line(waiting.stderr)
    assert f"waiting for process {holder.pid} on {socket.gethostname()} (`" in told
    assert f"stop it by `kill {holder.pid}` on" in told
    holder.kill()
    assert line(waiting.stdout) == "held"
    assert waiting.communicate("\n")[1] == "", "it tells of it once"
    assert holder.wait() == -signal.SIGKILL and waiting.returncode == 0


def test_who_waits_dies_of_signals_as_usual() -> None:
    holder = started(WAIT)
    assert line(holder.stdout) == "held"
    for which in (signal.SIGTERM, signal.SIGUSR1):
        waiting = started(WAIT)
        assert "waiting for" in line(waiting.stderr)
        waiting.send_signal(which)
        assert waiting.wait() == -which
    holder.communicate("\n")


def test_what_a_call_left_waiting_leaves_when_another_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locks.check_invocation()  # of no call: a stage run by hand
    gone = started(BEGIN)
    line(gone.stdout)
    first = locks.Holder.of(Path("work/locks/mine.lock"))
    assert first is not None and first.pid == gone.pid
    monkeypatch.setenv(locks.INVOCATION, f"mine:{first.name}")
    gone.kill()
    gone.wait()
    locks.check_invocation()  # nobody else does the job
    holder, waiting = started(WAIT), None
    try:
        assert line(holder.stdout) == "held"
        waiting = started(WAIT)
        assert "waiting for" in line(waiting.stderr)
        now = started(BEGIN)
        line(now.stdout)
        assert waiting.wait() == 1
        assert f"another of the run `mine` has begun: process {now.pid}" in waiting.stderr.read()
        with pytest.raises(UserError, match="it does this job itself"):
            locks.check_invocation()
        now.kill()
    finally:
        holder.kill()


def test_a_file_that_tells_nothing_is_no_trouble() -> None:
    holder = started(WAIT)
    assert line(holder.stdout) == "held"
    Path("work/a.lock").write_text("{")
    waiting = started(WAIT)
    assert "waiting for the lock work/a.lock" in line(waiting.stderr)
    holder.communicate("\n")
    assert line(waiting.stdout) == "held"
    waiting.communicate("\n")


def test_long_paths_have_names_that_file_systems_allow_and_differ():
    paths = [Path("results", "run" * 33, "stage", "variant" * 20, end) for end in "ab"]
    names = {locks.flat(path) for path in [*paths, Path("results/run/record.json")]}
    assert len(names) == 3 and "results+run+record.json" in names
    assert max(map(len, names)) < 240
