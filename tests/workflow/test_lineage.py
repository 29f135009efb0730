"""The lineage commands on a real run: quick, in agreement with each other, without an engine."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ernie_m.audit.claim import claim
from ernie_m.audit.facts import chain_at
from ernie_m.audit.impact import impact
from ernie_m.audit.keys import keys_of, layers_of
from ernie_m.audit.locate import Cell, Place, locate
from ernie_m.records.graph import read_graph

CELL = "xtreme/retrieval/de/accuracy"
# Runs a command, and tells what it loaded, and what it opened beside modules.
ANSWER = """
import json, sys
opened = []
def hook(event, given):
    if event == "open" and isinstance(given[0], str) and not given[0].endswith(".pyc"):
        opened.append(given[0])
sys.addaudithook(hook)
from ernie_m.cli import main
status = main(sys.argv[1:])
print(json.dumps({"modules": list(sys.modules), "opened": opened}), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def graph(tiny, monkeypatch):
    monkeypatch.chdir(tiny.path)
    return read_graph(Path(), "default")


def behind(graph, node, chosen):
    """All that an audit names behind a job: keys, source files, files that were read."""
    found = set()
    for other in graph.behind(node.path):
        found.update(keys_of(other, chosen), other.code.files)
        found.update(file.path for file in other.read_files)
    return found


def test_impact_is_the_inverse_of_audit(graph):
    """A thing reaches a job if and only if the job's audit names the thing."""
    layers = layers_of("default")
    named = {path: behind(graph, node, layers.chosen) for path, node in graph.nodes.items()}
    things = sorted(set().union(*named.values()))
    assert len(things) > 200
    for thing in things:
        reached = {node.path for node in impact(graph, thing, layers)}
        assert reached == {path for path, own in named.items() if thing in own}, thing


def test_every_number_has_an_audit_and_every_audit_ends_at_the_download(graph):
    for path in (path for path in graph.makers if path.endswith(("scores.json", "metrics.json"))):
        chain = chain_at(locate(path, Cell()))
        assert chain.nodes[-1].stage == "corpora_download", path


def test_every_number_has_a_meaning(graph):
    told = 0
    for path in (path for path in graph.makers if path.endswith(("scores.json", "metrics.json"))):
        for keys in numbers(json.loads(Path(path).read_text(encoding="utf-8"))):
            found = claim(graph, Place(Path(), path, keys))
            assert " " in found["meaning"], (path, keys)
            told += 1
    assert told > 300


def numbers(document, above=()):
    """Keys of every number; how many examples a score is of, is said with the score."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from numbers(value, (*above, key))
        elif isinstance(value, int | float) and key not in ("n", "averaged", "standin"):
            yield (*above, key)


def test_an_mlflow_run_leads_to_what_its_job_made(tiny):
    with sqlite3.connect(tiny.path / "mlflow.db") as store:
        query = "select run_uuid from tags where key = 'stage' and value = 'pretrain_btmlm'"
        (run_id, *_) = (row[0] for row in store.execute(query))
    found = json.loads(tiny.run("ernie-m", "audit", run_id, "--json").stdout)
    assert found["jobs"][0]["stage"] == "pretrain_btmlm" and run_id in found["remark"]


@pytest.mark.parametrize(
    "words",
    [
        ("audit", CELL),
        ("status",),
        ("impact", "model.width"),
        ("trace", CELL),
        ("diff", f"{CELL}@stage=initialise", CELL),
    ],
    ids=lambda words: words[0],
)
def test_a_question_is_answered_without_an_engine_and_opens_each_file_a_few_times(tiny, words):
    """Which is why it takes about a second (`python -m benchmarks.answers`)."""
    command = [sys.executable, "-c", ANSWER, *words]
    done = subprocess.run(command, cwd=tiny.path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr
    work = json.loads(done.stderr.splitlines()[-1])
    assert {"snakemake", "dvc", "mlflow", "torch", "numpy"}.isdisjoint(work["modules"])
    assert len(work["modules"]) < 400
    files = ((tiny.path / path).resolve() for path in work["opened"])
    opened = Counter(str(file) for file in files if file.is_file())
    records = {path for path in opened if path.endswith("record.json")}
    # A difference is of two numbers, and looks into the past of both.
    assert 0 < len(records) <= 250 and max(opened[path] for path in records) <= 4
    assert max(opened.values()) <= 8  # the registry of tasks, by the settings of each variant
