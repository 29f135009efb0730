"""`ernie-m claims`, and the audit of its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ernie_m.cli import main
from tests.claims.made import BTMLM, COST, LITTLE, TASK, Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study([1.0, 1.2, -0.1], {"de": -1.0, "ru": 0.0, "bg": 1.0})
    study.recorded(BTMLM, COST, LITTLE)
    return study


def test_it_tells_effect_interval_and_verdict(study, capsys):
    assert main(["claims", "--run", "study"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("at 2 layers, 410 k tokens")
    assert "btmlm: BTMLM adds something. (paper: Table 6)" in told
    assert "  Retrieval        undecided (needs about " in told and "+0.7 (-1.04 to +2.44)" in told
    assert "  cost             holds here" in told


def test_a_damaged_file_is_named(study, capsys):
    path = study.inputs["claims"][0]
    for text in ("{", "[]", '{"order": [["btmlm", "x"]], "claims": {}}'):
        path.write_text(text)
        assert main(["claims", "--run", "study"]) == 1
        assert f"{path} is not the file of verdicts" in capsys.readouterr().err


def test_an_edited_file_is_refused(study, capsys):
    path = study.inputs["claims"][0]
    path.write_text(path.read_text().replace("undecided", "holds here"))
    for form in ([], ["--json"], ["--markdown", "claims.md"]):
        assert main(["claims", "--run", "study", *form]) == 1
        assert f"{path} is not as its job recorded it" in capsys.readouterr().err
    assert not Path("claims.md").exists()


def test_as_json_it_is_the_file(study, capsys):
    assert main(["claims", "--run", "study", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(study.inputs["claims"][0].read_text())


def test_the_document_has_numbers_machine_commit_and_limits(study, capsys):
    assert main(["claims", "--run", "study", "--markdown", "claims.md"]) == 0
    told = Path("claims.md").read_text()
    assert "| `btmlm` | Retrieval, points | " in told and "3f1c9a0be7d2" in told
    assert "Linux x86\\_64, 2 cores" in told
    assert "Without any effect 4 comparisons would have 0.2 decided by chance." in told
    by_language = "Retrieval, mean difference by language: de -0.3 (10 000 pairs), ru +0.7"
    assert by_language in told
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4 and len({line.count(" | ") for line in rows}) == 1
    assert main(["claims", "--run", "study", "--markdown", "claims.md"]) == 0
    assert Path("claims.md").read_text() == told


def test_a_run_without_claims_names_those_that_have_some(study, capsys):
    assert main(["claims"]) == 1
    told = capsys.readouterr().err
    assert "Run `default` has judged no claims" in told and "Name another by --run: study." in told


def test_a_number_of_a_claim_has_its_audit(study, capsys):
    place = f"{study.inputs['claims'][0]}#claims/btmlm/scores/{TASK}/mean"
    main(["audit", place, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["claim"]["value"] == pytest.approx(0.7)
    assert "claim of the paper" in told["claim"]["meaning"]
    behind = {job["job"] for job in told["jobs"]}
    assert {"claims_judge", f"xtreme_score/{TASK}/exp4-r3/btmlm/seed2"} <= behind
