"""status, verify, impact, trace, diff, and the ways to point at a number."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.audit import diff, words
from ernie_m.audit.chain import Finding, Verdict
from ernie_m.audit.locate import Cell, locate
from ernie_m.config.load import read
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import jobs
from ernie_m.records.digest import file_sha256
from ernie_m.records.writer import installed

from .conftest import CLEAN, ROWS, WHEEL, copied, finish, made_once

MODEL = "results/tiny/pretrain_btmlm/ernie_m/model.safetensors"
TEST = "results/tiny/xtreme_prepare/standin_qa/test-de.jsonl"
TRAIN = "results/tiny/xtreme_prepare/standin_qa/train-en.jsonl"
TINY = Cell(run="tiny")
RUN = ("--run", "tiny")


def told(capsys, *words):
    """Status of a command, and what it prints as JSON."""
    capsys.readouterr()
    status = cli.main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def shown(capsys, *words):
    """What a command prints for people."""
    capsys.readouterr()
    cli.main(list(words))
    return capsys.readouterr().out


def scores(f1):
    language = {"f1": f1, "exact_match": 1.0, "n": 200, "averaged": True}
    about = {"task": "standin_qa", "kind": "qa", "category": "qa", "metric": "f1", "standin": True}
    means = {"average": {"f1": f1, "exact_match": 1.0}, "transfer": {"f1": f1, "exact_match": 1.0}}
    return json.dumps({**about, "languages": {"de": language}, **means})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The run with a task that is scored after fine-tuning with two seeds."""
    return made_once(tmp_path_factory.mktemp("scored"), fill_scored)


@pytest.fixture
def scored(made, tmp_path, monkeypatch):
    """A copy of it."""
    return copied(made, tmp_path, monkeypatch)


def fill_scored():
    config = read("config/tiny.yaml")
    finish(config, "ernie_m.corpora.deal", "", {"rows": [CLEAN]}, {"rows": [split("mono")]})
    made = {stage: encoded(config, stage) for stage in ("corpora_select", "tokenizer_pack")}
    for job, path in made["corpora_select"].items():
        finish(config, "ernie_m.corpora.select", job, {"kept": [split("mono")]}, {"train": [path]})
    vocabulary = "results/tiny/tokenizer_train/spm.model"
    samples = encoded(config, "tokenizer_sample")
    for job, path in samples.items():
        inputs = {"train": [made["corpora_select"][job]]}
        finish(config, "ernie_m.tokenizer.sample", job, inputs, {"sample": [path]})
    inputs = {"samples": list(samples.values())}
    finish(config, "ernie_m.tokenizer.train", "", inputs, {"model": [vocabulary]})
    for job, path in made["tokenizer_pack"].items():
        inputs = {"train": [made["corpora_select"][job]], "tokenizer": [vocabulary]}
        finish(config, "ernie_m.tokenizer.pack", job, inputs, {"train": [path]})
    packed = list(made["tokenizer_pack"].values())
    mono = [path for path in packed if "mono-" in path]
    first, aligned = (MODEL.replace("btmlm", stage) for stage in ("initialise", "camlm"))
    inputs = {"tokenizer": [vocabulary]}
    finish(config, "ernie_m.pretrain.initialise", "ernie_m", inputs, {"model": [first]})
    inputs = {"init": [first], "train": packed}
    finish(config, "ernie_m.pretrain.camlm", "ernie_m", inputs, {"model": [aligned]})
    (drawn,) = encoded(config, "pretrain_draw").values()
    finish(config, "ernie_m.pretrain.draw", "ernie_m", {"train": mono}, {"sentences": [drawn]})
    pseudo = encoded(config, "pretrain_backtranslate")
    for job, path in pseudo.items():
        inputs = {"model": [aligned], "sentences": [drawn]}
        finish(config, "ernie_m.pretrain.backtranslate", job, inputs, {"pseudo": [path]})
    inputs = {"init": [aligned], "train": packed, "pseudo": list(pseudo.values())}
    finish(config, "ernie_m.pretrain.btmlm", "ernie_m", inputs, {"model": [MODEL]})
    outputs = {"train": [TRAIN], "test": [TEST]}
    finish(config, "ernie_m.xtreme.prepare", "standin_qa", {"rows": [split("mono")]}, outputs)
    for seed, f1 in ((1, 40.0), (2, 43.0)):
        job = f"standin_qa/ernie_m/btmlm/seed{seed}"
        tuned, found, score = (
            f"results/tiny/xtreme_{stage}/{job}/{name}"
            for stage, name in (
                ("finetune", "model.safetensors"),
                ("predict", "predictions-de.jsonl"),
                ("score", "scores.json"),
            )
        )
        inputs = {"model": [MODEL], "train": [TRAIN]}
        finish(config, "ernie_m.xtreme.finetune", job, inputs, {"model": [tuned]})
        inputs = {"model": [tuned], "test": [TEST]}
        finish(config, "ernie_m.xtreme.predict", job, inputs, {"predictions": [found]})
        Path(score).parent.mkdir(parents=True)
        Path(score).write_text(scores(f1))
        inputs = {"test": [TEST], "predictions": [found]}
        finish(config, "ernie_m.xtreme.score", job, inputs, {"scores": [score]})


def encoded(config, stage):
    """A file of each job of a stage."""
    return {job: f"results/tiny/{stage}/{job}/train.safetensors" for job in jobs(config)[stage]}


def split(name):
    return f"results/tiny/corpora_deal/{name}-de-rows.arrow"


def test_the_lock_is_known(results, capsys):
    own = "# none\n" + "".join(f"{name}=={version}\n" for name, version in installed().items())
    Path("requirements.txt").write_text(own.replace("+cpu", ""))
    cli.main(["status", *RUN])
    assert "in the lock" not in capsys.readouterr().out
    torch = installed()["torch"]
    Path("requirements.txt").write_text("torch==0.1.2 \\\n    --hash=sha256:00\npyyaml==0.1\n")
    cli.main(["status", *RUN])
    shown = capsys.readouterr().out
    assert f"packages here are not those of requirements.txt: torch {torch} (0.1.2" in shown
    assert f"packages that jobs ran with are not those of requirements.txt: torch {torch}" in shown
    assert "3 jobs" in shown.splitlines()[-1]
    _, found = told(capsys, "status", *RUN)
    jobs = found.values()
    assert [job["packages"] for job in jobs if job["state"] != "missing"] == [
        [f"torch {torch} (0.1.2 in the lock)"]
    ] * 3
    _, found = told(capsys, "impact", "requirements.txt", *RUN)
    assert len(found["jobs"]) == 3


def test_status_tells_what_is_current_and_what_is_missing(results, capsys):
    status, found = told(capsys, "status", *RUN)
    states = {job["job"]: job["state"] for job in found.values()}
    assert status == Verdict.INCOMPLETE.value
    assert (
        states["corpora_filter/rows-de/0"] == states["corpora_download/homeassistant"] == "current"
    )
    assert states["corpora_filter/rows-ru/0"] == states["corpora_deal"] == "missing"
    assert states["report_build"] == "missing"


def test_what_comes_of_something_stale_is_stale_too(scored, capsys):
    overlay = Path("config/tiny.yaml")
    text = overlay.read_text()
    overlay.write_text(text.replace("corpora:\n", "corpora:\n  filter: {min_chars: 5}\n", 1))
    status, found = told(capsys, "status", *RUN)
    jobs = {job["job"]: job for job in found.values()}
    assert status == Verdict.STALE.value
    assert jobs["corpora_extract/homeassistant/de"]["state"] == "current"
    assert "`min_chars`" in jobs["corpora_filter/rows-de/0"]["why"][0]["what"]
    score = jobs["xtreme_score/standin_qa/ernie_m/btmlm/seed1"]
    assert score["state"] == "stale" and not score["why"] and score["upstream"]


@pytest.mark.parametrize("path", [CLEAN, WHEEL])
def test_verify_hashes_everything_and_names_the_file(results, capsys, path):
    assert cli.main(["verify"]) == Verdict.VERIFIED.value
    Path(path).write_bytes(Path(path).read_bytes()[:-1] + b"!")
    assert "TAMPERED" in shown(capsys, "verify", "--jobs", "1")
    assert cli.main(["verify"]) == Verdict.TAMPERED.value
    behind = cli.main(["verify", ROWS])
    assert behind == (Verdict.TAMPERED if path == WHEEL else Verdict.VERIFIED).value


def test_a_tree_shows_every_stage_behind_a_result_once(results, capsys):
    assert shown(capsys, "trace", CLEAN).splitlines() == [
        "corpora_filter/rows-de/0",
        "└── corpora_extract/homeassistant/de",
        "    └── corpora_download/homeassistant",
    ]
    assert (
        shown(capsys, "trace", WHEEL, "--ahead").splitlines()[-1]
        == "    └── corpora_filter/rows-de/0"
    )


def test_a_graph_can_be_had_as_mermaid_and_as_data(results, capsys):
    text = shown(capsys, "trace", CLEAN, "--mermaid")
    assert text.startswith("flowchart") and text.count("-->") == 2
    _, data = told(capsys, "trace", CLEAN)
    assert [node["stage"] for node in data["nodes"]] == [
        "corpora_download",
        "corpora_extract",
        "corpora_filter",
    ]
    assert [edge["files"] for edge in data["edges"]] == [[WHEEL], [ROWS]]


@pytest.mark.parametrize(
    ("what", "stages"),
    [
        ("corpora.filter.min_chars", {"corpora_filter"}),
        ("corpora.filter", {"corpora_filter"}),
        ("config/corpora.yaml", {"corpora_download", "corpora_extract", "corpora_filter"}),
        (WHEEL, {"corpora_extract", "corpora_filter"}),
        (ROWS, {"corpora_filter"}),
        ("src/ernie_m/corpora/filter.py", {"corpora_filter"}),
        ("tracking.uri", set()),
        ("saving.every_minutes", set()),
    ],
)
def test_impact_follows_files_and_keys(results, capsys, what, stages):
    status, found = told(capsys, "impact", what, *RUN)
    assert status == 0
    assert {job["stage"] for job in found["jobs"]} == stages


@pytest.mark.parametrize(
    ("what", "words"),
    [("corpora.filter.min_char", "corpora.filter.min_chars"), ("xtreme.tasks", "which jobs there")],
)
def test_impact_of_what_reaches_no_job_is_refused(results, capsys, what, words):
    assert cli.main(["impact", what, *RUN]) == 1
    assert words in capsys.readouterr().err


def test_a_score_is_claimed_with_what_it_can_be_judged_by(scored, capsys):
    _, found = told(capsys, "audit", "xtreme/qa/de@seed=2", *RUN)
    claim = found["claim"]
    assert (claim["value"], claim["n"], claim["seed"]) == (43.0, 200, "2")
    assert claim["seeds"] == {"1": 40.0, "2": 43.0}
    assert (claim["mean"], claim["deviation"]) == (41.5, 2.1213)
    assert claim["split"][0]["sha256"] == file_sha256(Path(TEST))
    assert "stand-in" in claim["published"]["remark"]
    keys = {key["key"] for key in found["keys"]}
    assert {"pretrain.btmlm.steps", "corpora.filter.min_chars", "xtreme.seeds"} <= keys
    assert not any(key.startswith(("report.", "claims.", "xtreme.align.")) for key in keys)
    assert found["seen_text"]["test_in_choice"] == []


def test_a_test_file_that_a_training_reads_is_reported(scored, capsys):
    config, job = read("config/tiny.yaml"), "standin_qa/ernie_m/btmlm/seed1"
    tuned = f"results/tiny/xtreme_finetune/{job}/model.safetensors"
    finish(
        config,
        "ernie_m.xtreme.finetune",
        job,
        {"model": [MODEL], "test": [TEST]},
        {"model": [tuned]},
    )
    status, found = told(capsys, "audit", "xtreme/qa/de", *RUN)
    assert status == Verdict.BROKEN.value and "is for tests only" in found["first"]["what"]
    assert found["seen_text"]["test_in_choice"] == [f"xtreme_finetune/{job}"]


def test_two_seeds_differ_in_their_fine_tuning_and_nothing_else(scored, capsys):
    _, found = told(capsys, "diff", "xtreme/qa/de@run=tiny,seed=1", "xtreme/qa/de@run=tiny,seed=2")
    assert found["numbers"]["value"] == [40.0, 43.0]
    roles = {step["job"].split("/")[0]: step["role"] for step in found["steps"]}
    assert roles == {
        "xtreme_finetune": "explains",
        "xtreme_predict": "follows",
        "xtreme_score": "follows",
    }
    assert found["configuration"] == {"xtreme.seeds": [1, 2]}
    assert found["code"] == [] and found["data"] == {} and found["same"] == 33
    lines = shown(capsys, "diff", "xtreme/qa/de@run=tiny,seed=1", "xtreme/qa/de@run=tiny,seed=2")
    said = " ".join(lines.split())
    assert (
        "explains xtreme.seeds 1 -> 2: xtreme_finetune/standin_qa/ernie_m/btmlm/seed1 -> " in said
    )


def test_same_job_with_other_bytes_is_called_unrepeatable(scored, tmp_path):
    """Two runs of one configuration on two machines: the first job that differs is at fault."""
    shutil.copytree("results/tiny", "results/again")
    for file in Path("results/again").rglob("record.json"):
        file.write_text(file.read_text().replace("results/tiny", "results/again"))
    one, other = diff.side("tiny"), diff.side("again")
    node = next(node for node in other.nodes if node.stage == "corpora_filter")
    node.outputs["rows"][0] = replace(node.outputs["rows"][0], sha256="0" * 64)
    node.run.machine["processor"] = "another"
    found = diff.difference(one, other)
    (step,) = (step for step in found["steps"] if step["role"] == "unrepeatable")
    assert step["job"] == "corpora_filter/rows-de/0" and "processor" in step["circumstances"]


def test_a_result_is_known_by_its_digest_and_by_a_copy(scored):
    digest = file_sha256(Path(CLEAN))
    for what in (digest, digest[:10]):
        assert locate(what, TINY).path == CLEAN
    shutil.copy(CLEAN, "elsewhere.parquet")
    place = locate("elsewhere.parquet", TINY)
    assert place.path == CLEAN and "a copy" in place.remark
    assert locate(str(Path(CLEAN).parent), TINY).path.endswith("record.json")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nonsense", "no file, no number"),
        ("deadbeef", "no file, no number"),
        ("xtreme/ner/de", "no scores of `ner`"),
        ("xtreme/qa/de@seed=9", "seed 9"),
        ("xtreme/qa/de@sed=9", "the names are"),
        ("pretrain/btmlm/valid", "metrics.json"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_can(scored, what, words):
    with pytest.raises(UserError) as raised:
        locate(what, TINY)
    assert words in str(raised.value)


def test_a_number_that_is_not_in_the_file_is_told_with_those_that_are(scored, capsys):
    assert cli.main(["audit", "xtreme/qa/fr", *RUN]) == 1
    assert "Choose among de" in capsys.readouterr().err


def test_a_run_that_is_not_here_is_told_with_those_that_are(results, capsys):
    for given in (["status", "--run", "tyni"], ["verify", "--run", "tyni"]):
        assert cli.main(given) == 1
        assert "results/tyni.\n  -> Name a run that has some, by --run: `tiny`" in (
            capsys.readouterr().err
        )
    for other, hint in {
        "tyni": "-> Name one that is here (tiny)",
        "ablation": "-> Make it by `snakemake --cores all --configfile config/ablation.yaml`",
        "default": "-> Make it by `snakemake --cores all`",
    }.items():
        assert cli.main(["diff", "tiny", other]) == 1
        told = capsys.readouterr().err
        assert f"`{other}` is no run with results" in told and hint in told


def test_a_commit_is_compared_with_commits_only(results, capsys, monkeypatch):
    monkeypatch.setattr(diff.commits, "commit_of", {"main": "0" * 40}.get)
    assert cli.main(["diff", "tiny", "main"]) == 1
    assert "`main` is a commit, but" in capsys.readouterr().err


def test_restore_says_what_is_missing(results, capsys):
    for given, hint in (
        (["--run", "tiny"], "There is no dvc.lock here"),
        (["--no-pull", "--run", "ablation"], "There are no results of run `ablation`"),
        (["--no-pull", "--run", "tiny", "--for", "nothing"], "No record tells of"),
        (["--run", "absent"], "No file in config/ is of run `absent`"),
    ):
        assert cli.main(["restore", *given]) == 1
        assert hint in capsys.readouterr().err


def test_findings_of_several_agree_in_number():
    one = Finding(Verdict.STALE, "corpora_filter/rows-de/0", "a.py", "has changed since")
    two = replace(one, path="b.py")
    assert words.alike([one]) == ["STALE corpora_filter/rows-de/0: a.py has changed since"]
    assert words.alike([one, two]) == [
        "STALE corpora_filter/rows-de/0: a.py, b.py have changed since"
    ]
    jobs = [replace(one, job=job, path="", what="is no longer asked for") for job in "ab"]
    assert words.alike(jobs) == ["STALE 2 jobs: are no longer asked for"]


def test_an_audit_needs_no_data_where_the_records_are_collected(scored, capsys):
    """A clone: scores, and every record in one file, from git; nothing else."""
    before = told(capsys, "audit", "xtreme/qa/de", *RUN)[1]
    records = sorted(Path("results").rglob("record.json"))
    lines = [json.dumps(json.loads(path.read_text())) + "\n" for path in records]
    shutil.rmtree("results")
    folder = Path("results/tiny/report_build")
    folder.mkdir(parents=True)
    (folder / "lineage.jsonl").write_text("".join(lines))
    (folder / "scores.csv").write_text(
        "task,variant,stage,seed,language,metric,value\nstandin_qa,ernie_m,btmlm,1,de,f1,40.0\n"
    )
    status, found = told(capsys, "audit", "xtreme/qa/de/f1", *RUN)
    assert status == Verdict.INCOMPLETE.value and found["claim"]["value"] == 40.0
    assert {job["mark"] for job in found["jobs"]} == {"recorded"}
    assert [job["job"] for job in found["jobs"]] == [job["job"] for job in before["jobs"]]
    assert found["next"][0]["command"].startswith("ernie-m restore --for ")
    Path(CLEAN).parent.mkdir(parents=True)
    Path(CLEAN).write_text("data without its record\n")
    assert told(capsys, "audit", "xtreme/qa/de/f1", *RUN)[0] == Verdict.BROKEN.value


@pytest.mark.parametrize("content", ["", '{"schema": 2, "sta', '{"schema": 2}', "[]", "\0"])
def test_a_damaged_record_is_named_and_nothing_falls_over_it(scored, capsys, content):
    record = Path("results/tiny/xtreme_score/standin_qa/ernie_m/btmlm/seed1/record.json")
    record.write_text(content)
    for given in (["audit", str(record.with_name("scores.json"))], ["audit", "xtreme/qa@seed=1"]):
        assert cli.main([*given, *RUN]) == 1
        assert f"{record} is not a whole record" in capsys.readouterr().err
    for verb in ("status", "verify"):
        assert cli.main([verb, *RUN]) == Verdict.BROKEN.value
        assert f"{record} is not a whole record" in capsys.readouterr().out
    assert cli.main(["impact", "seed", *RUN]) == 0


def test_a_damaged_store_of_mlflow_is_named(results, capsys):
    Path("mlflow.db").write_bytes(b"SQLite format 3\0" + b"x" * 2000)
    assert cli.main(["audit", "0123456789abcdef" * 2, *RUN]) == 1
    assert "MLflow's store mlflow.db cannot be read" in capsys.readouterr().err


def test_damaged_files_of_json_are_named(scored, capsys):
    folder = Path("results/tiny/xtreme_score/standin_qa/ernie_m/btmlm/seed1")
    number = f"{folder}/scores.json#average/f1"
    for name in ("history.jsonl", "scores.json"):
        path = folder / name
        path.write_text(path.read_text()[:40])
        assert cli.main(["audit", number, *RUN]) == 1
        assert f"{path} is not" in capsys.readouterr().err
    collected = Path("results/tiny/report_build/lineage.jsonl")
    collected.parent.mkdir()
    collected.write_text('{"schema": 2, "sta\n')
    assert cli.main(["verify", *RUN]) == Verdict.TAMPERED.value
