"""The seam of every stage: nothing half-written is taken for whole, errors say what to do."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ernie_m

STAGE = '''
"""A stage for the test."""
import os, sys, time
from pathlib import Path
import ernie_m.job
from ernie_m.config.base import Section
from ernie_m.errors import UserError
from ernie_m.job import Job, main

class Settings(Section):
    mode: str = "good"
    times: int = 1

def run(job: Job[Settings]) -> None:
    with open("computed", "a") as count:
        count.write("x")
    job.output("copy").write_text(job.input("text").read_text() * job.settings.times)
    mode = job.settings.mode
    if mode == "die":
        os.kill(os.getpid(), 9)
    if mode == "refuse":
        raise UserError("The text is bad.", "Mend it.")
    if mode == "full":
        Path("/dev/full").write_text("x" * 10000)
    if mode == "open":
        kept = [open(os.devnull) for _ in range(300)]
    if mode == "wait":
        print("started", flush=True)
        time.sleep(30)
    if mode == "deleted":  # as the Snakemake of a later call does, in the last moments of this job
        complete = ernie_m.job.complete
        ernie_m.job.complete = lambda path: (complete(path), path.unlink())
    if mode == "die late":
        job.after(lambda: os.kill(os.getpid(), 9))
    if mode != "forget":
        job.write_json("stats", {"b": 1, "a": 2})

if __name__ == "__main__":
    main(run, Settings)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(ernie_m.__file__).parent, tmp_path / "src/ernie_m", ignore=ignore)
    (tmp_path / "src/ernie_m/stage.py").write_text(STAGE)
    (tmp_path / "text.txt").write_text("hello")
    return tmp_path


def command(**settings: object) -> list[str]:
    files = ["--input", "text", "text.txt", "--output", "copy", "out/copy.txt"]
    files += ["--output", "stats", "out/stats.json", "--record", "out/record.json"]
    return [sys.executable, "-m", "ernie_m.stage", "--settings", json.dumps(settings), *files]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / "src")}


def run(folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(**settings), cwd=folder, env=environment(folder), capture_output=True, text=True
    )


def test_outputs_appear_together_with_their_record(folder: Path) -> None:
    assert run(folder, times=2).returncode == 0
    assert (folder / "out/copy.txt").read_text() == "hellohello"
    assert (folder / "out/stats.json").read_text() == '{\n "a": 2,\n "b": 1\n}\n'
    record = json.loads((folder / "out/record.json").read_text())
    assert record["facts"]["settings"] == {"mode": "good", "times": 2}
    assert record["facts"]["outputs"]["copy"][0]["path"] == "out/copy.txt"


@pytest.mark.parametrize("mode", ["die", "refuse", "full", "forget"])
def test_a_failed_job_leaves_earlier_results_as_they_were(folder: Path, mode: str) -> None:
    run(folder)
    before = {path: path.read_bytes() for path in (folder / "out").glob("[!.]*")}
    done = run(folder, mode=mode, times=5)
    assert done.returncode != 0
    assert {path: path.read_bytes() for path in (folder / "out").glob("[!.]*")} == before
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "refuse"}, ["The text is bad.", "Mend it."]),
        ({"mode": "full"}, ["No space left on device", "disk has room"]),
        ({"times": "many"}, ["`times`", "integer"]),
        ({"tmes": 1}, ["`tmes`"]),
    ],
)
def test_messages_say_what_is_wrong_and_what_to_do(
    folder: Path, settings: dict[str, object], words: list[str]
) -> None:
    done = run(folder, **settings)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr


def test_a_missing_input_and_a_file_in_the_way_are_named(folder: Path) -> None:
    (folder / "text.txt").unlink()
    assert "text.txt does not exist" in run(folder).stderr
    (folder / "text.txt").write_text("hello")
    (folder / "out").write_text("in the way")
    done = run(folder)
    assert done.returncode == 1 and "out" in done.stderr and "Traceback" not in done.stderr


def test_a_stage_may_open_as_many_files_as_the_system_allows(folder: Path) -> None:
    def limited(most: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(mode="open"),
            cwd=folder,
            env=environment(folder),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, most)),
            capture_output=True,
            text=True,
        )

    done = limited(400)
    assert done.returncode == 0, done.stderr
    done = limited(200)
    assert done.returncode == 1 and "Too many open files" in done.stderr
    assert "ulimit -n" in done.stderr


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        (["--input", "txt", "text.txt"], "needs `--input text`, which is not given"),
        (["--input", "text", "text.txt", "text.txt"], "`text` is 2 files"),
        (["--input", "text", "src"], "Input src is no file"),
    ],
)
def test_files_that_are_named_wrongly_are_told(
    folder: Path, instead: list[str], sentence: str
) -> None:
    given = command()
    place = given.index("--input")
    given[place : place + 3] = instead
    done = subprocess.run(
        given, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert sentence in done.stderr and not (folder / "out/record.json").exists()


def test_ctrl_c_leaves_nothing_half_written(folder: Path) -> None:
    job = subprocess.Popen(
        command(mode="wait"),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Also where the tests run in the background, which ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert job.stdout is not None and job.stdout.readline() == "started\n"
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("", "stopped by Ctrl-C\n") and job.returncode == 130
    assert list((folder / "out").iterdir()) == []


def begun(folder: Path, **settings: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(**settings),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_orphan_of_a_killed_run_is_waited_for(folder: Path) -> None:
    orphan = begun(folder, mode="wait")
    assert orphan.stdout is not None and orphan.stdout.readline() == "started\n"
    after = begun(folder, times=2)
    assert after.stderr is not None
    told = after.stderr.readline()
    assert f"waiting for process {orphan.pid}" in told and f"`kill {orphan.pid}`" in told
    assert not (folder / "out/copy.txt").exists()
    (folder / "text.txt").write_text("jello")  # what it reads when its turn comes
    orphan.kill()
    orphan.wait()
    assert after.wait() == 0 and (folder / "out/copy.txt").read_text() == "jellojello"
    record = json.loads((folder / "out/record.json").read_text())
    assert record["facts"]["inputs"]["text"][0]["sha256"] == hashlib.sha256(b"jello").hexdigest()


def reads(folder: Path, source: str, into: str) -> subprocess.CompletedProcess[str]:
    """The stage on a file of ours, into another folder, the copy one deeper than the record."""
    files = ["--input", "text", source, "--output", "copy", f"{into}/deep/copy.txt"]
    files += ["--output", "stats", f"{into}/stats.json", "--record", f"{into}/record.json"]
    words = [sys.executable, "-m", "ernie_m.stage", *files]
    return subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


def test_no_job_reads_what_its_maker_did_not_write(folder: Path) -> None:
    """Nor where the maker's record lies above it; what no record claims is taken as it is."""
    assert run(folder).returncode == 0
    assert reads(folder, "out/copy.txt", "next").returncode == 0
    assert reads(folder, "next/deep/copy.txt", "last").returncode == 0
    for name in ("out/copy.txt", "next/deep/copy.txt"):
        (folder / name).write_text("jello")
        done = reads(folder, name, "last")
        said = done.stderr + done.stdout
        assert done.returncode == 1 and "Traceback" not in said
        assert f"{name} is not what stage wrote" in said and "ernie-m restore --for" in said
        assert (folder / "last/deep/copy.txt").read_text() == "hello"
    (folder / "out/record.json").unlink()
    assert reads(folder, "out/copy.txt", "last").returncode == 0
