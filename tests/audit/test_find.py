"""list and find: the runs here, which of them meet a condition, and what two share."""

import json
import shutil
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.audit.find import of_run
from ernie_m.audit.numbers import Numbers
from ernie_m.errors import UserError
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import read_graph, result_with
from ernie_m.records.record import seal

from .conftest import CLEAN, WHEEL, copied, made_once
from .test_commands import MODEL, fill_scored, scores, shown, told

SCORE = "xtreme_score/standin_qa/ernie_m/btmlm/seed{}"
RUNS = ("again", "tiny")
FORMATS = ["homeassistant"] * 2  # of the download, and of what is extracted
TUNED = "xtreme_finetune/standin_qa/ernie_m/btmlm/seed1"


def rewrite(record, change):
    """A record changed and sealed anew."""
    data = json.loads(record.read_text())
    change(data)
    record.write_text(json.dumps(data | {"seal": seal(data)}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs: `again` is a copy whose first seed scored more, after a longer stage 2."""
    return made_once(tmp_path_factory.mktemp("two"), make_two)


@pytest.fixture
def two(made, tmp_path, monkeypatch):
    """A copy of them."""
    return copied(made, tmp_path, monkeypatch)


def make_two():
    fill_scored()
    shutil.copytree("results/tiny", "results/again")
    for record in Path("results/again").rglob("record.json"):
        record.write_text(record.read_text().replace("results/tiny", "results/again"))
        rewrite(record, lambda data: None)
    folder = Path("results/again", SCORE.format(1))
    (folder / "scores.json").write_text(scores(60.0))
    digest = file_sha256(folder / "scores.json")
    rewrite(
        folder / "record.json",
        lambda data: data["facts"]["outputs"]["scores"][0].update(sha256=digest),
    )
    rewrite(
        Path("results/again/pretrain_btmlm/ernie_m/record.json"),
        lambda data: data["facts"]["settings"].update(steps=7000),
    )


def found(capsys, *conditions):
    """What is found, by run: the values, by condition."""
    status, data = told(capsys, "find", *conditions)
    assert status == (0 if data["runs"] else 1)
    return {
        run: {text: [fact["value"] for fact in facts] for text, facts in own.items()}
        for run, own in data["runs"].items()
    }


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("xtreme/qa/de/f1>50", {"again": [60.0]}),
        ("xtreme/standin_qa/de >= 60", {"again": [60.0]}),
        ("xtreme/qa>42", {"again": [43.0, 60.0], "tiny": [43.0]}),
        ("xtreme/qa/transfer/exact_match=1", {"again": [1.0, 1.0], "tiny": [1.0, 1.0]}),
        ("xtreme/qa@seed=1<50", {"tiny": [40.0]}),
        ("xtreme/qa@run=tiny,stage=btmlm!=40", {"tiny": [43.0]}),
        ("xtreme/qa@variant=baseline>0", {}),
        ("xtreme/qa>99", {}),
        ("pretrain.btmlm.steps=7000", {"again": [7000]}),
        # It also decides which sentences are drawn for generation.
        ("pretrain.btmlm.steps<7000", {"again": [20], "tiny": [20] * 2}),
        ("corpora.registry.homeassistant.format=homeassistant", dict.fromkeys(RUNS, FORMATS)),
        ("xtreme.seeds=2", {"again": [2], "tiny": [2]}),
    ],
)
def test_runs_are_found_by_scores_and_settings(two, capsys, condition, values):
    assert {run: sorted(own[condition]) for run, own in found(capsys, condition).items()} == values


def test_runs_are_found_by_bytes_commit_and_code(two, capsys):
    record = json.loads(Path("results/tiny/pretrain_btmlm/ernie_m/record.json").read_text())
    code, commit = record["facts"]["code"], record["run"]["git"]["commit"]
    file, digest = next(iter(code["files"].items()))
    _, data = told(capsys, "find", f"sha256={file_sha256(Path(CLEAN))[:8]}")
    places = {
        run: [fact["place"] for fact in own.popitem()[1]] for run, own in data["runs"].items()
    }
    assert places == {"tiny": [CLEAN], "again": [CLEAN.replace("tiny", "again")]}
    for condition in (
        f"sha256={file_sha256(Path(WHEEL))}",  # shared by all runs
        f"code.pretrain_btmlm={code['digest'][:9]}",
        f"code.pretrain_btmlm={digest}",
        *([f"commit={commit[:7]}"] if commit else []),
    ):
        assert found(capsys, condition).keys() == {"again", "tiny"}
    assert f"{digest[:12]}  {file}" in shown(capsys, "find", f"code.pretrain_btmlm={digest}")
    for nothing in ("sha256=00000000", "commit=0000000", "code.pretrain_btmlm=00000000"):
        assert not found(capsys, nothing)


def test_what_holds_beside_a_score_must_hold_behind_it(two, capsys):
    """A setting of the other seed's fine-tuning is in the run, but not behind this score."""
    assert found(capsys, "xtreme/qa>50", "xtreme.seeds=1") == {
        "again": {"xtreme/qa>50": [60.0], "xtreme.seeds=1": [1]}
    }
    assert not found(capsys, "xtreme/qa>50", "xtreme.seeds=2")
    assert found(capsys, "pretrain.btmlm.steps=7000", "xtreme.seeds=2").keys() == {"again"}
    assert not found(capsys, "pretrain.btmlm.steps=7000", "xtreme/qa@run=tiny>0")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("xtreme/qa/de", "in quotes: 'xtreme/retrieval/de>60'"),
        ("xtreme/qa/de>high", "compares with no number"),
        ("corpora.filter.min_chars>", "compares with no number"),
        ("xtreme/qa@sed=1>5", "the names are run, variant, stage, seed"),
        ("xtreme/qa/fr>5", "Did you mean `xtreme/qa"),
        ("xtreme/ner>5", "is of no job here"),
        ("corpora.filter.min_char=5", "Did you mean `corpora.filter.min_chars`?"),
        ("code.pretrain_btml=1234567", "Did you mean `code.pretrain_btmlm`?"),
        ("sha256=123", "7 or more of the digits"),
        ("sha256>1234567", "7 or more of the digits"),
        ("commit=nothing", "There is no commit"),
    ],
)
def test_what_is_no_condition_is_told_with_what_is(two, capsys, condition, words):
    assert cli.main(["find", condition]) == 1
    assert words in capsys.readouterr().err


def test_every_number_found_can_be_audited_by_its_name(two, capsys):
    """The names that are printed are those that the audit knows."""
    _, data = told(capsys, "find", "xtreme/qa>0")
    places = {
        fact["place"]: fact["value"] for own in data["runs"].values() for fact in own["xtreme/qa>0"]
    }
    assert len(places) == 4
    for place, value in places.items():
        assert told(capsys, "audit", place)[1]["claim"]["value"] == value


def test_a_changed_file_of_numbers_does_not_count_and_is_named(two, capsys):
    path = Path("results/again", SCORE.format(1), "scores.json")
    path.write_text(scores(99.9))
    assert not found(capsys, "xtreme/qa>50")
    assert f"left out: {path} is not what its record says" in shown(capsys, "find", "xtreme/qa>50")
    assert f"left out: {path} is not what its record says" in shown(capsys, "list")
    rewrite(
        path.with_name("record.json"),
        lambda data: data["facts"]["outputs"]["scores"][0].update(sha256=file_sha256(path)),
    )
    path.write_text("[1, 2]")
    assert not found(capsys, "xtreme/qa>50")


@pytest.mark.parametrize("content", ["[]", '{"languages": 3}', '{"average": {"f1": 50}}', "\0"])
def test_a_score_file_of_another_form_is_named(two, capsys, content):
    path = Path("results/again", SCORE.format(1), "scores.json")
    path.write_text(content)
    rewrite(
        path.with_name("record.json"),
        lambda data: data["facts"]["outputs"]["scores"][0].update(sha256=file_sha256(path)),
    )
    numbers = Numbers(read_graph(Path.cwd()))
    values = [fact.value for fact in numbers.of(of_run(numbers.graph, "again"))]
    assert 43.0 in values and 60.0 not in values
    assert numbers.odd == {f"{SCORE.format(1)}: its numbers cannot be read": None}


def test_a_damaged_record_is_named_and_the_rest_is_found(two, capsys):
    record = Path("results/again/tokenizer_quotas/record.json")
    record.parent.mkdir()
    record.write_text('{"schema": 2}')
    assert found(capsys, "xtreme/qa>50").keys() == {"again"}
    assert f"left out: {record} is not a whole record" in shown(capsys, "find", "xtreme/qa>50")
    assert "1 broken" in shown(capsys, "list")


def test_a_clone_is_searched_by_its_table_and_collected_records(two, capsys):
    """Scores and every record in one file, from git; nothing else."""
    records = sorted(Path("results").rglob("record.json"))
    kept = [path.read_text() for path in records if "again" not in path.parts]
    shutil.rmtree("results")
    folder = Path("results/tiny/report_build")
    folder.mkdir(parents=True)
    lines = [json.dumps(json.loads(text)) + "\n" for text in kept]
    (folder / "lineage.jsonl").write_text("".join(lines))
    (folder / "scores.csv").write_text(
        "task,variant,stage,seed,language,metric,value\n"
        "standin_qa,ernie_m,btmlm,1,average,f1,40.0\nstandin_qa,ernie_m,btmlm,2,average,f1,43.0\n"
    )
    assert found(capsys, "xtreme/qa>42") == {"tiny": {"xtreme/qa>42": [43.0]}}
    _, (run,) = told(capsys, "list")
    assert run["averages"][0]["scores"] == {"standin_qa": 41.5}
    assert "not here" in run["states"]


def test_runs_are_listed_with_state_time_and_averages(two, capsys):
    (Path("results/tiny") / TUNED / "model.safetensors").unlink()
    _, listed = told(capsys, "list")
    again, tiny = listed
    assert (again["run"], tiny["run"]) == ("again", "tiny")
    assert tiny["averages"] == [
        {"variant": "ernie_m", "stage": "btmlm", "scores": {"standin_qa": 41.5}}
    ]
    assert again["averages"][0]["scores"] == {"standin_qa": 51.5}
    assert tiny["jobs"] == len(list(Path("results/tiny").rglob("record.json")))
    own = [json.loads(path.read_text()) for path in Path("results/tiny").rglob("record.json")]
    made = [
        file for record in own for files in record["facts"]["outputs"].values() for file in files
    ]
    assert tiny["bytes"] == sum(file["bytes"] for file in made)
    assert tiny["ended"] == max(record["run"]["ended"] for record in own)
    assert tiny["states"]["not here"] == 1 and tiny["states"]["missing"]
    text = shown(capsys, "list")
    assert "ernie_m after btmlm: standin_qa 41.5" in text and "1 not here" in text


def test_what_two_runs_share_is_summed_by_stage(two, capsys):
    _, data = told(capsys, "list", "--shared", "tiny", "again")
    score = data["xtreme_score"]
    assert score == {
        "both": [f"results/tiny/{SCORE.format(2)}/record.json"],
        "first": [f"results/tiny/{SCORE.format(1)}/record.json"],
        "second": [f"results/again/{SCORE.format(1)}/record.json"],
    }
    assert data["corpora_download"]["both"] == [
        "results/corpora_download/homeassistant/record.json"
    ]
    text = shown(capsys, "list", "--shared", "tiny", "again", "--full")
    line = next(line for line in text.splitlines() if line.startswith("xtreme_score"))
    assert line.split()[1::3] == ["1", "1", "1"]
    assert f"  > {SCORE.format(1)}" in text
    assert cli.main(["list", "--shared", "tiny", "agian"]) == 1
    assert "no run `agian` here" in capsys.readouterr().err


def test_a_result_is_named_by_its_digest_and_by_nothing_that_fits_several(two):
    digest = file_sha256(Path(MODEL))
    again = MODEL.replace("tiny", "again")
    assert result_with(Path(), digest[:8]) == again  # the first of those with the same bytes
    assert result_with(Path(), digest, but="again") == MODEL
    with pytest.raises(UserError, match="No results"):
        result_with(Path(), "0" * 8)
    with pytest.raises(UserError, match=r"\d+ results .+ begins with"):
        result_with(Path(), "")
