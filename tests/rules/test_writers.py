"""Calls of Snakemake that meet: two at a time, and one after another that was killed."""

import hashlib
import json
import lzma
import os
import random
import subprocess
import sys
import time

import pytest
import yaml

from ernie_m.locks import Holder, lock_of
from tests.repository import copy_of_repository
from tests.rules.test_shards import CONFIG, row, sentence

FOLDER = "results/shards/corpora_extract/web-en/en"
FILES = ("rows.parquet", "stats.json", "bad_lines.jsonl", "SHA256SUMS", "record.json")
# Each computation is counted, and lasts while there is a file `hold`.
SLOW = """
def run(job: Job[ExtractSettings]) -> None:
    import time
    with open("computed", "a") as count:
        count.write("x")
    while Path("hold").exists():
        time.sleep(0.01)
    _run(job)


def _run("""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy in which a job of text lasts as long as a test wants."""
    repository = copy_of_repository(tmp_path_factory.mktemp("writers") / "repository")
    draw = random.Random(1)
    rows = [row("opus", repository.path / "en-de.txt.zip", "moses", ["en", "de"], 60_001)]
    for language in ("en", "de"):
        path = repository.path / f"{language}.txt.xz"
        text = "\n\n".join(sentence(draw, language) for _ in range(30)) + "\n"
        path.write_bytes(lzma.compress(text.encode()))
        rows.append(row(f"web-{language}", path, "cc100", [language], len(text)))
    (repository.path / "own.yaml").write_text(yaml.safe_dump(rows))
    configure(repository, "shards")
    code = repository.path / "src/ernie_m/corpora/extract.py"
    code.write_text(code.read_text().replace("\ndef run(", SLOW, 1))
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "writers")
    return repository


def configure(repository, run, **extract):
    config = {
        **CONFIG,
        "run": run,
        "tracking": {"uri": ""},
        "corpora": {**CONFIG["corpora"], **extract},
    }
    (repository.path / f"config/{run}.yaml").write_text(yaml.safe_dump(config))


def call(copy, *words):
    """The exit status of a call, and all that it said."""
    options = ("--cores", "2", "--configfile", "config/shards.yaml")
    done = copy.run("snakemake", f"{FOLDER}/rows.parquet", *words, *options, check=False)
    return done.returncode, done.stdout + done.stderr


class Call:
    """A call in the background."""

    def __init__(self, copy, *words, run="shards", **variables):
        self.copy = copy
        environment = os.environ | {
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONPATH": str(copy.path / "src"),
            **variables,
        }
        target = FOLDER.replace("shards", run) + "/rows.parquet"
        self.log = copy.path / f"{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["snakemake", target, *words, "--cores", "2", "--configfile", f"config/{run}.yaml"],
                cwd=copy.path,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def said(self, words):
        """Wait until it says so."""
        until(lambda: words in self.log.read_text(), self.log)

    def ended(self):
        """Its exit status and all that it said."""
        return self.process.wait(), self.log.read_text()

    def killed(self):
        self.process.kill()
        self.process.wait()


def until(true, what):
    for _ in range(6000):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(what if isinstance(what, str) else what.read_text())


def computed(copy):
    """How often the job was computed."""
    path = copy.path / "computed"
    return len(path.read_text()) if path.exists() else 0


def digests(copy):
    return {
        name: hashlib.sha256((copy.path / FOLDER / name).read_bytes()).hexdigest() for name in FILES
    }


def left(copy):
    """What is kept for a later call."""
    return [path.name for path in (copy.path / "work/finished").glob("*/*")]


@pytest.fixture
def held(copy):
    """The job has not been computed, and will not end before :meth:`unlink`."""
    hold = copy.path / "hold"
    hold.touch()
    for name in FILES:
        (copy.path / FOLDER / name).unlink(missing_ok=True)
    (copy.path / "computed").unlink(missing_ok=True)
    yield hold
    hold.unlink(missing_ok=True)


def orphaned(copy, *words):
    """A job whose controller was killed while it computed."""
    before = computed(copy)
    call = Call(copy, *words)
    until(lambda: computed(copy) > before, call.log)
    call.killed()


def orphan(copy):
    holder = Holder.of(copy.path / lock_of(f"{FOLDER}/record.json"))
    assert holder is not None
    return holder


def gone(copy):
    pid = orphan(copy).pid
    until(lambda: not os.path.exists(f"/proc/{pid}"), f"process {pid} does not end")


def test_a_second_call_is_refused_and_disturbs_nothing(copy, held):
    first = Call(copy)
    until(lambda: computed(copy) == 1, first.log)
    status, said = call(copy)
    assert status == 1 and "Another call is at work on the run `shards`" in said
    assert f"process {first.process.pid} on" in said and f"`kill {first.process.pid}`" in said
    assert "Removing output files" not in said
    assert call(copy, "--touch")[0] == 1
    assert call(copy, "--dry-run")[0] == 0, "to look is always allowed"
    configure(copy, "beside")
    beside = Call(copy, run="beside")
    until(lambda: computed(copy) == 2, beside.log)
    held.unlink()
    assert first.ended()[0] == 0 and beside.ended()[0] == 0
    assert left(copy) == []


def test_an_orphan_is_waited_for_and_its_results_are_taken(copy, held):
    orphaned(copy)
    first = Call(copy)
    first.said(f"waiting for process {orphan(copy).pid} on")
    first.killed()  # it may happen again
    second = Call(copy)
    second.said("waiting for process")
    held.unlink()
    status, said = second.ended()
    assert status == 0 and "already done by a job of an earlier call" in said
    assert computed(copy) == 1 and left(copy) == []
    before = digests(copy)
    assert copy.planned(f"{FOLDER}/rows.parquet", "--configfile", "config/shards.yaml") == {}
    status, said = call(copy, "--forcerun", "corpora_extract")
    assert status == 0 and computed(copy) == 2 and "already done" not in said
    after = digests(copy)
    assert before.pop("record.json") != after.pop("record.json") and before == after


def test_what_an_orphan_finished_in_between_is_taken(copy, held):
    orphaned(copy)
    held.unlink()
    gone(copy)
    before = digests(copy)
    # A call that ends before it comes to the job takes nothing away.
    other = "results/corpora_download/web-en/original"
    copy.run("snakemake", other, "-f", "--cores", "2", "--configfile", "config/shards.yaml")
    assert left(copy) == [f"{FOLDER}/record.json".replace("/", "+")]
    status, said = call(copy)
    assert status == 0 and "already done by a job of an earlier call" in said
    assert digests(copy) == before and computed(copy) == 1 and left(copy) == []
    record = json.loads((copy.path / FOLDER / "record.json").read_text())
    history = (copy.path / FOLDER / "history.jsonl").read_text().splitlines()
    assert json.loads(history[-1]) == record


def test_results_by_other_settings_are_not_taken(copy, held):
    orphaned(copy)
    held.unlink()
    gone(copy)
    configure(copy, "shards", max_bad_lines=0.5)
    status, said = call(copy)
    configure(copy, "shards")
    assert status == 0 and "left other results of this job" in said and computed(copy) == 2
    record = json.loads((copy.path / FOLDER / "record.json").read_text())
    assert record["facts"]["settings"]["max_bad_lines"] == 0.5 and left(copy) == []


def test_damaged_results_are_not_taken(copy, held):
    orphaned(copy)
    held.unlink()
    gone(copy)
    before = digests(copy)
    (place,) = (copy.path / "work/finished/shards").iterdir()
    (place / "0").write_bytes(b"damaged")  # and with it the other name of the file
    status, said = call(copy)
    assert status == 0 and "is damaged, and is not used" in said and computed(copy) == 2
    after = digests(copy)
    assert before.pop("record.json") != after.pop("record.json") and before == after


def test_a_job_that_starts_late_removes_nothing(copy, held):
    """A scheduler started it when its call was dead and another had done its work."""
    held.unlink()
    assert call(copy)[0] == 0
    before = digests(copy)
    inner = ("--mode", "remote", "--force", "--no-hooks")
    late = Call(copy, *inner, ERNIE_M_INVOCATION="shards:host:1:then")
    status, said = late.ended()
    assert status == 1 and "another of the run `shards` has begun" in said
    assert digests(copy) == before and computed(copy) == 1
    late = Call(copy, *inner, ERNIE_M_INVOCATION="")
    assert late.ended()[0] == 0 and computed(copy) == 2
