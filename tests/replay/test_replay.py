"""Jobs done again from their records, with the code and inputs that they had, and compared."""

import difflib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ernie_m import cli
from ernie_m.errors import UserError
from ernie_m.records import patch
from ernie_m.records.digest import SOURCE, bytes_digest, file_sha256
from ernie_m.records.record import Code, Git, Record, seal
from ernie_m.records.replays import CLOSE, DIFFERENT, SAME, replays_of
from ernie_m.records.writer import git
from ernie_m.replay.command import circumstances, outcome
from ernie_m.replay.compare import difference
from ernie_m.replay.scratch import Scratch

TEXT = "results/corpora_download/toy/original"
ROWS = "results/default/corpora_extract/toy/de/rows.parquet"
FILTERED = "results/default/corpora_filter/mono-de/0"


def run(module, instance, settings, inputs, outputs):
    """A job by its command line."""
    words = ["--instance", instance, "--settings", json.dumps(settings)]
    for option, named in (("--input", inputs), ("--output", outputs)):
        words += [word for name, path in named.items() for word in (option, name, path)]
    record = str(Path(next(iter(outputs.values()))).with_name("record.json"))
    subprocess.run(
        [sys.executable, "-m", f"ernie_m.{module}", *words, "--record", record],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(SOURCE), "PATH": ""},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two jobs that were really run: text extracted, and filtered."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lines = [f"Im Haus {number} brennt heute noch ein helles Licht." for number in range(90)]
        Path("toy.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        Path("config").mkdir()
        row = {
            "id": "toy",
            "format": "cc100",
            "languages": ["de"],
            "path": "toy.txt",
            "filename": "toy.txt",
        }
        row |= {"version": "1", "licence": "CC0-1.0", "home": "https://example.org"}
        run("corpora.download", "toy", row, {}, {"file": TEXT})
        settings = {"format": "cc100", "languages": ["de"]}
        run("corpora.extract", "toy/de", settings, {"file": TEXT}, {"rows": ROWS})
        names = {"rows": "rows.arrow", "lines": "lines.arrow", "documents": "documents.arrow"}
        outputs = {name: f"{FILTERED}/{file}" for name, file in names.items()}
        outputs |= {"stats": f"{FILTERED}/stats.json"}
        run("corpora.filter", "mono-de/0", {"shards": 1}, {"corpus": ROWS}, outputs)
    return folder


@pytest.fixture
def results(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")


def record(path):
    return Record.read(
        Path(path).with_name("record.json"), str(Path(path).with_name("record.json"))
    )


def forge(path, content):
    """Other bytes, and a record that says so, sealed anew."""
    Path(path).write_text(content)
    file = Path(path).with_name("record.json")
    data = json.loads(file.read_text())
    for about in (file for files in data["facts"]["outputs"].values() for file in files):
        if about["path"] == path:
            about |= {"sha256": file_sha256(Path(path)), "bytes": len(content)}
    data["seal"] = seal(data)
    file.write_text(json.dumps(data))


def test_what_is_done_again_gives_the_same_bytes_and_is_recorded(results, capsys):
    before = file_sha256(Path(ROWS))
    assert cli.main(["replay", f"{FILTERED}/stats.json", "--depth", "all"]) == 0
    assert "REPEATED: 2 jobs" in capsys.readouterr().out
    (extracted,), (filtered,) = (
        replays_of(Path(), record(path)) for path in (ROWS, f"{FILTERED}/x")
    )
    assert extracted.outcome == filtered.outcome == SAME and extracted.circumstances == {}
    assert extracted.outputs == {ROWS: {"sha256": before}} and file_sha256(Path(ROWS)) == before


def test_a_forgery_that_every_record_confirms_does_not_repeat(results, capsys):
    stats = f"{FILTERED}/stats.json"
    content = json.loads(Path(stats).read_text())
    key = next(key for key, value in content.items() if isinstance(value, int))
    forge(stats, json.dumps(content | {key: content[key] + 1}, indent=1, sort_keys=True))
    assert cli.main(["replay", stats]) == 6
    said = capsys.readouterr().out
    assert "NOT REPEATED" in said and f"at {key}" in said
    assert replays_of(Path(), record(stats))[-1].outcome == DIFFERENT


def test_all_jobs_of_a_stage(results, capsys):
    assert cli.main(["replay", "corpora_extract"]) == 0
    assert "REPEATED: 1 job " in capsys.readouterr().out


def test_an_input_that_has_changed_is_no_input(results, capsys):
    Path(TEXT).write_text("Etwas anderes.\n")
    assert cli.main(["replay", ROWS]) == 1
    assert TEXT in capsys.readouterr().err
    Path(TEXT).unlink()
    assert cli.main(["replay", ROWS]) == 1
    assert "which is not here" in capsys.readouterr().err


def test_code_that_is_not_here_any_more_is_that_of_its_commit(tmp_path):
    path = "src/ernie_m/errors.py"
    content = git("-C", str(SOURCE.parent), "show", f"HEAD:{path}")
    then = {path: bytes_digest(path, (content + "\n").encode())}
    head = git("-C", str(SOURCE.parent), "rev-parse", "HEAD")
    own = Record("x", module="ernie_m.corpora.extract", code=Code("", then))
    scratch = Scratch(tmp_path, tmp_path)
    at_head = replace(own, run=replace(own.run, git=Git(head)))
    assert (scratch._source(at_head) / "ernie_m/errors.py").is_file()
    other = replace(at_head, code=Code("", {path: "0" * 64}))
    with pytest.raises(UserError, match="ran with changes in"):
        scratch._source(other)
    with pytest.raises(UserError, match="is not in this repository"):
        scratch._source(replace(own, run=replace(own.run, git=Git("0" * 40))))


def test_changes_that_were_not_committed_are_those_of_the_patch(tmp_path):
    path = "src/ernie_m/errors.py"
    before = git("-C", str(SOURCE.parent), "show", f"HEAD:{path}").splitlines(keepends=True)
    before[-1] += "\n"
    after = [*before, "CHANGED = 1\n"]
    text = "".join(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"))
    file = tmp_path / "results/default/corpora_extract" / patch.NAME
    file.parent.mkdir(parents=True)
    ran = Git(git("-C", str(SOURCE.parent), "rev-parse", "HEAD"), True, [path])
    ran = replace(ran, patch=patch.keep(text, file.parent))
    then = {path: bytes_digest(path, "".join(after).encode())}
    own = Record(
        "results/default/corpora_extract/record.json",
        module="ernie_m.corpora.extract",
        code=Code("", then),
    )
    own = replace(own, run=replace(own.run, git=ran))
    source = Scratch(tmp_path, tmp_path / "scratch")._source(own)
    assert (source / "ernie_m/errors.py").read_text().endswith("CHANGED = 1\n")
    file.write_text("")
    with pytest.raises(UserError, match="is not the patch that the record beside it names"):
        Scratch(tmp_path, tmp_path / "another")._source(own)


def test_a_record_runs_nothing_but_stages(tmp_path):
    with pytest.raises(UserError, match="which is none of the package"):
        Scratch(tmp_path, tmp_path).replay(Record("x", module="this"))


numbers = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20)


@given(numbers, st.integers(0, 19), st.floats(0.5, 2))
def test_the_largest_difference_of_tensors(tmp_path_factory, values, place, factor):
    folder = tmp_path_factory.mktemp("tensors")
    before = torch.tensor(values)
    after = before.clone()
    after[place % len(values)] += factor
    for name, tensor in (("before", before), ("after", after)):
        save_file({"w": tensor, "same": torch.ones(3)}, folder / f"{name}.safetensors")
    found = difference(folder / "before.safetensors", folder / "after.safetensors")
    gap = (after.double() - before.double()).abs().max().item()
    assert math.isclose(found["largest"], gap / max(before.abs().max().item(), 1e-12))
    assert found["differing"] == 1 and list(found["tensors"]) == ["w"]


def test_what_computes_nothing_is_no_circumstance(results):
    run = record(ROWS).run
    other = replace(run, packages=run.packages | {"mlflow": "0", "snakemake": "0", "torch": "0"})
    assert list(circumstances(run, other)) == ["torch"]


def test_the_largest_difference_of_numbers_and_what_is_no_number(tmp_path):
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(json.dumps({"a": [1.0, 2.0], "b": "x"}))
    after.write_text(json.dumps({"a": [1.0, 2.5], "b": "x"}))
    found = difference(before, after)
    assert (found["largest"], found["at"], found["then"], found["now"]) == (0.2, "a/1", 2.0, 2.5)
    after.write_text(json.dumps({"a": [1.0, 2.0], "b": "y"}))
    assert difference(before, after)["largest"] == math.inf
    after.write_text(json.dumps({"a": [1.0], "b": "x"}))
    assert difference(before, after)["largest"] == math.inf


def test_only_another_machine_may_differ_and_only_within_the_tolerance():
    small, large = {"x": {"sha256": "", "largest": 1e-6}}, {"x": {"sha256": "", "largest": 0.1}}
    assert outcome({"x": {"sha256": ""}}, others=False, tolerance=1e-3) == SAME
    assert outcome(small, others=True, tolerance=1e-3) == CLOSE
    assert outcome(large, others=True, tolerance=1e-3) == DIFFERENT
    assert outcome(small, others=False, tolerance=1e-3) == DIFFERENT
