"""Records as types: what is read of each schema, and what is said of one that is damaged."""

import copy
import json
from dataclasses import asdict

import pytest

from ernie_m.records.record import Code, File, Git, Record, seal

FILE = {
    "path": "results/tiny/corpora_filter/mono-de/0/text.parquet",
    "sha256": "a" * 64,
    "bytes": 7,
}
OLD = {
    "schema": 1,
    "stage": "corpora_filter",
    "instance": "mono-de/0",
    "module": "ernie_m.corpora.filter",
    "facts": {
        "inputs": {"rows": []},
        "outputs": {"text": [FILE]},
        "settings": {"shards": 1},
        "seed": 3,
        "code": {"digest": "0123456789abcdef", "files": {"src/ernie_m/words.py": "b" * 64}},
    },
    "run": {
        "git": {"commit": "c" * 40, "dirty": True},
        "python": "3.11.7",
        "packages": {"numpy": "2.4.0"},
        "machine": {"system": "Linux", "cpu": "x86_64", "cores": 2},
        "threads": 2,
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:05:05+00:00",
        "seconds": 60.0,
        "resumed_from": 40,
        "training_seconds": 90.5,
    },
}
OLD["seal"] = seal(OLD)
WHERE = "is not a whole record (facts.outputs.text.0.{})"
PATH = "results/tiny/corpora_filter/mono-de/0/record.json"


def changed(**keys):
    """The record with other values; those of ``facts`` or ``run`` as a mapping."""
    data = copy.deepcopy(OLD)
    for key, value in keys.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    return data


def test_an_old_record_is_read_and_only_says_less():
    record = Record.parse(OLD, PATH)
    assert (record.job, record.seed, record.fault) == ("corpora_filter/mono-de/0", 3, None)
    assert record.made_files == [File(**FILE)] and record.read_files == []
    assert record.code == Code(**OLD["facts"]["code"])
    assert record.run.git == Git("c" * 40, True, None) and record.run.lock is None
    assert record.run.host == "Linux x86_64, 2 cores"
    assert record.run.notes == {"resumed_from": 40, "training_seconds": 90.5}
    assert record.seconds == 90.5  # of the attempts before, too
    assert asdict(record.made_files[0]) == FILE and record.data == OLD


def test_a_training_that_no_store_knows_has_a_whole_record():
    run = changed(run={"mlflow_run": None})
    assert Record.parse(run | {"seal": seal(run)}, PATH).fault is None


def test_a_record_of_today_says_more():
    git = {"commit": None, "dirty": False, "changed": ["src/ernie_m/words.py"]}
    run = {"git": git, "lock": "d" * 64, "cpu_seconds": 1.5, "memory_mb": 20.0}
    data = changed(schema=2, run=run)
    record = Record.parse(data | {"seal": seal(data)}, PATH)
    assert record.fault is None and record.run.git == Git(None, False, git["changed"])
    assert (record.run.cpu_seconds, record.run.memory_mb) == (1.5, 20.0)


def test_a_record_that_comes_without_its_place_knows_it():
    assert Record.parse(OLD).path == PATH
    nested = FILE | {"path": FILE["path"].replace("text.parquet", "parts/de/text.parquet")}
    assert Record.parse(changed(facts={"outputs": {"text": [nested]}})).path == PATH
    alone = changed(stage="corpora_download", instance="wheel", facts={"outputs": {"file": []}})
    alone["facts"]["outputs"]["file"] = [FILE | {"path": "results/corpora_download/wheel/a.whl"}]
    assert Record.parse(alone).path == "results/corpora_download/wheel/record.json"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (changed(facts={"seed": 4}), "was edited"),
        (OLD | {"more": 1}, "was edited"),
        (changed(schema=9), "is not of a known schema (2 is today's)"),
        ({key: OLD[key] for key in OLD if key != "run"}, "is not a whole record (run)"),
        (OLD | {"facts": []}, "is not a whole record (facts)"),
        (changed(facts={"outputs": {"text": [FILE | {"more": 1}]}}), "is not a whole record"),
        (changed(facts={"outputs": {"text": [FILE | {"bytes": "7"}]}}), WHERE.format("bytes")),
        (changed(facts={"outputs": {"text": [FILE | {"path": "a\0"}]}}), WHERE.format("path")),
        (changed(facts={"settings": {"url": 1}}), "is not a whole record (facts.settings.url)"),
        (changed(run={"started": "noon"}), "is not a whole record (run.started)"),
        (changed(run={"seconds": True}), "is not a whole record (run.seconds)"),
        (changed(run={"machine": {"system": "Linux"}}), "is not a whole record (run.machine.cpu)"),
        (changed(run={"git": []}), "is not a whole record (run.git)"),
        (changed(module="os; x"), "is not a whole record (module)"),
        ([OLD], "is not a whole record"),
        (None, "is not a whole record"),
    ],
)
def test_what_is_the_matter_with_a_record_is_said(data, fault):
    record = Record.parse(data, PATH)
    assert record.fault == fault
    # What was edited is read all the same, so that what is behind it can be told.
    assert record.data == (data if fault == "was edited" else {})
    assert record.job == ("corpora_filter/mono-de/0" if record.data else PATH.rpartition("/")[0])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is missing"),
        (b"{", "is not a whole record"),
        (b"[" * 20_000, "is not a whole record"),
        (json.dumps(OLD).encode().replace(b": 7", b": " + b"7" * 5000), "is not a whole record"),
        (b"\xff", "cannot be read"),
        (json.dumps(OLD).encode(), None),
    ],
)
def test_a_file_that_is_no_record_is_no_error(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "record.json").write_bytes(content)
    assert Record.read(tmp_path / "record.json", PATH).fault == fault
