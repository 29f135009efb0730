"""Which record a file belongs to: beside it, above it, or packed with all others of a run."""

import json
import shutil
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.config.load import read
from ernie_m.records.graph import Reader, read_graph

from ..audit.conftest import CLEAN, finish, results  # noqa: F401

PAGE = "results/tiny/report_build/report.html"
FIGURE = "results/tiny/report_build/figures/pipeline.svg"
MODEL = "results/tiny/tokenizer_train/spm.model"
RECORD = "results/tiny/report_build/record.json"


@pytest.fixture
def reported(results):  # noqa: F811
    """A run with a report, whose figures lie in a folder of their own, and a job that reads one."""
    config = read("config/tiny.yaml")
    outputs = {"report": [PAGE], "figures": [FIGURE]}
    finish(config, "ernie_m.report.build", "", {"stats": [CLEAN]}, outputs)
    finish(config, "ernie_m.tokenizer.train", "", {"text": [FIGURE]}, {"model": [MODEL]})
    return results


def test_a_file_in_a_folder_of_its_own_has_a_record(reported, capsys):
    assert Reader(Path()).record_of(FIGURE) == RECORD
    for verb in (["verify"], ["trace"], ["audit", "--json"]):
        assert cli.main([*verb, FIGURE, "--run", "tiny"]) in (0, 4, 5), capsys.readouterr().err
        told = capsys.readouterr().out
    found = json.loads(told)
    assert found["target"] == FIGURE
    assert [job["stage"] for job in found["jobs"]] == [
        *("report_build", "corpora_filter", "corpora_extract", "corpora_download"),
    ]


def test_what_reads_such_a_file_comes_behind_its_maker(reported):
    graph = read_graph(Path(), "tiny")
    (reader,) = (node for node in graph.nodes.values() if node.stage == "tokenizer_train")
    assert graph.sources(reader) == (RECORD,)
    assert [node.stage for node in graph.behind(reader.path)][:2] == [
        "tokenizer_train",
        "report_build",
    ]


def test_a_changed_figure_is_found(reported, capsys):
    Path(FIGURE).write_text("another\n")
    assert cli.main(["verify", FIGURE, "--run", "tiny"]) == 6
    assert f"TAMPERED report_build: {FIGURE} is" in capsys.readouterr().out


def test_a_file_that_the_record_above_does_not_claim_is_refused(reported, capsys):
    Path(FIGURE).with_name("other.svg").touch()
    assert cli.main(["audit", str(Path(FIGURE).with_name("other.svg"))]) == 1
    assert f"is not among the outputs in {RECORD}" in capsys.readouterr().err


def test_packed_records_are_found_by_their_files(reported):
    """As a clone without data has them: only the report's folder is there."""
    records = [json.loads(path.read_text()) for path in sorted(Path().rglob("record.json"))]
    packed = Path("results/tiny/report_build/lineage.jsonl")
    lines = [*(json.dumps(record) for record in records), "{", "{}"]
    packed.write_text("".join(f"{line}\n" for line in lines))
    places = {place: record for place, record in read_graph(Path(), "tiny").nodes.items()}
    for folder in ("tiny/corpora_extract", "tiny/corpora_filter", "corpora_download"):
        shutil.rmtree(f"results/{folder}")
    graph = read_graph(Path(), "tiny")
    assert graph.nodes.keys() == places.keys()
    gone = [node.path for node in graph.nodes.values() if node.packed]
    assert len(gone) == 3 and all(graph.nodes[path].data == places[path].data for path in gone)
    shutil.rmtree(Path(FIGURE).parent)
    Path(PAGE).unlink()
    Path(RECORD).unlink()
    assert Reader(Path()).record_of(FIGURE) == RECORD
    assert Reader(Path()).record(RECORD).packed
