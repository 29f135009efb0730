"""Forgeries: what somebody may do who can write wherever results lie, and what an audit says.

Each is done on results of its own, and the records that it touches are sealed again, as anybody
can. docs/audit.md has the same table for readers.
"""

import hashlib
import json
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.audit.chain import Verdict
from ernie_m.config.load import read
from ernie_m.records.digest import file_sha256
from ernie_m.records.record import seal
from ernie_m.records.replays import REPLAYS, SAME, Replay, add_replay
from ernie_m.tracking.finish import LOGGED
from ernie_m.tracking.store import connect, numbers

from .conftest import CLEAN, ROOT, ROWS, WHEEL, finish, run_jobs
from .test_commands import MODEL, TEST, fill_scored

RUN = ("--run", "tiny")
JOB = "standin_qa/ernie_m/btmlm/seed1"
SCORES = f"results/tiny/xtreme_score/{JOB}/scores.json"
FOUND = f"results/tiny/xtreme_predict/{JOB}/predictions-de.jsonl"
TUNED = f"results/tiny/xtreme_finetune/{JOB}/model.safetensors"
FOLDER = "results/tiny/report_build"
TABLE, LINEAGE = f"{FOLDER}/scores.csv", f"{FOLDER}/lineage.jsonl"
OK, INCOMPLETE, STALE, BROKEN, TAMPERED = Verdict


def beside(path):
    return Path(path).with_name("record.json")


def edited(path, edit, sealed=True):
    """Edit the record beside a file, and seal it again."""
    content = json.loads(beside(path).read_text())
    edit(content)
    content["seal"] = seal(content) if sealed else content["seal"]
    beside(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def swapped(path, text):
    """Other bytes, and a record that says so."""
    Path(path).write_text(text)

    def edit(content):
        for files in content["facts"]["outputs"].values():
            for file in files:
                if file["path"] == path:
                    file |= {"sha256": file_sha256(Path(path)), "bytes": len(text.encode())}

    edited(path, edit)


def read_as(reader, path):
    """Have a reader's record name a file as it is now."""

    def edit(content):
        for files in content["facts"]["inputs"].values():
            for file in files:
                if file["path"] == path:
                    file["sha256"] = file_sha256(Path(path))

    edited(reader, edit)


def better():
    return json.dumps(json.loads(Path(SCORES).read_text()) | {"average": {"f1": 99.9}})


def run_facts(path, **facts):
    edited(path, lambda content: content["run"].update(facts))


def hour(path, name, hours):
    """The time of a record, some hours later."""
    at = datetime.fromisoformat(json.loads(beside(path).read_text())["run"][name])
    return (at + timedelta(hours=hours)).isoformat()


def with_input(path, name, file):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).exists() or Path(file).write_text("other\n")
    about = {"path": file, "sha256": file_sha256(Path(file)), "bytes": Path(file).stat().st_size}
    edited(path, lambda content: content["facts"]["inputs"].setdefault(name, []).append(about))


def collect():
    """What the report would read and write, were it made now."""
    records = sorted(p for p in Path("results").rglob("record.json") if FOLDER not in str(p))
    lines = [json.dumps(json.loads(path.read_text())) + "\n" for path in records]
    Path(FOLDER).mkdir(exist_ok=True)
    Path(LINEAGE).write_text("".join(lines))
    value = json.loads(Path(SCORES).read_text())["average"]["f1"]
    head = "task,variant,stage,seed,language,metric,value\n"
    Path(TABLE).write_text(f"{head}standin_qa,ernie_m,btmlm,1,average,f1,{value}\n")
    inputs = {"scores": [SCORES], "records": list(map(str, records))}
    outputs = {"table": [TABLE], "lineage": [LINEAGE]}
    finish(read("config/tiny.yaml"), "ernie_m.report.build", "", inputs, outputs)


def everything():
    """Scores, all that tells of them, and what tells of that: as a run would have made them."""
    swapped(SCORES, better())
    collect()


def of_another_run():
    shutil.copytree("results/tiny/xtreme_finetune", "results/other/xtreme_finetune")
    other = TUNED.replace("tiny", "other")
    edited(other, lambda content: content["facts"]["outputs"]["model"][0].update(path=other))

    def edit(content):
        content["facts"]["inputs"]["model"][0]["path"] = other

    edited(FOUND, edit)


def another_lineage():
    """A clone without data, in which another run's lineage tells of this one."""
    records = [json.loads(line) for line in Path(LINEAGE).read_text().splitlines()]
    for record in records:
        if record["stage"] == "xtreme_score":
            record["facts"]["outputs"]["scores"][0]["sha256"] = "9" * 64
            record["seal"] = seal(record)
    clone()
    Path("results/zzz/report_build").mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    Path("results/zzz/report_build/lineage.jsonl").write_text(lines)


def clone():
    for folder in Path("results/tiny").iterdir():
        if folder.is_dir() and folder.name != "report_build":
            shutil.rmtree(folder)
    shutil.rmtree("results/corpora_download")


def edited_table():
    clone()
    Path(TABLE).write_text(Path(TABLE).read_text().replace(",40.0", ",99.9"))


def no_record(content):
    content["facts"]["inputs"]["train"] = content["facts"]["inputs"]["train"][:1]


# name: what is done, the verdict without a signature, and with one
FORGERIES = {
    "a score": (lambda: Path(SCORES).write_text(better()), TAMPERED, TAMPERED),
    "a record, its seal left as it was": (
        lambda: edited(SCORES, lambda content: content["facts"].update(seed=7), sealed=False),
        *(BROKEN, BROKEN),
    ),
    "a score and its record": (lambda: swapped(SCORES, better()), BROKEN, BROKEN),
    "predictions, scores and their records": (
        lambda: (swapped(FOUND, "{}\n"), swapped(SCORES, better()), read_as(SCORES, FOUND)),
        *(BROKEN, BROKEN),
    ),
    "scores, records, report and lineage": (everything, OK, BROKEN),
    "a model and its record": (lambda: swapped(MODEL, "weights\n"), BROKEN, BROKEN),
    "an input from outside the results": (
        lambda: with_input(FOUND, "model", "elsewhere/model.bin"),
        *(BROKEN, BROKEN),
    ),
    "an input of another run": (of_another_run, BROKEN, BROKEN),
    "most of a training's text left out": (lambda: edited(MODEL, no_record), BROKEN, BROKEN),
    "test files among a training's": (lambda: with_input(MODEL, "train", TEST), BROKEN, BROKEN),
    "test files read by the fine-tuning": (
        lambda: with_input(TUNED, "test", TEST),
        *(BROKEN, BROKEN),
    ),
    "a commit that does not exist": (
        lambda: edited(MODEL, lambda content: content["run"]["git"].update(commit="0" * 40)),
        *(BROKEN, BROKEN),
    ),
    "packages that the lock does not have": (
        lambda: edited(MODEL, lambda content: content["run"]["packages"].update(torch="0.1")),
        *(BROKEN, BROKEN),
    ),
    "an end before the beginning": (
        lambda: run_facts(MODEL, ended="1999-01-01T00:00:00+00:00"),
        *(BROKEN, BROKEN),
    ),
    "an end in the future": (
        lambda: run_facts(MODEL, ended="2931-01-01T00:00:00+00:00"),
        *(BROKEN, BROKEN),
    ),
    "a reader before its maker": (
        lambda: run_facts(SCORES, started=hour(FOUND, "started", -5)),
        *(BROKEN, BROKEN),
    ),
    "other settings": (
        lambda: edited(CLEAN, lambda content: content["facts"]["settings"].update(min_chars=1)),
        *(BROKEN, BROKEN),
    ),
    "another seed": (
        lambda: edited(MODEL, lambda content: content["facts"].update(seed=99)),
        *(BROKEN, BROKEN),
    ),
    "another code": (
        lambda: edited(MODEL, lambda content: content["facts"]["code"]["files"].popitem()),
        *(BROKEN, BROKEN),
    ),
    "another module": (
        lambda: edited(MODEL, lambda content: content.update(module="ernie_m.report.build")),
        *(BROKEN, BROKEN),
    ),
    "the record of another job": (
        lambda: shutil.copy(beside(SCORES.replace("seed1", "seed2")), beside(SCORES)),
        *(None, None),
    ),
    "an output outside the job's folder": (
        lambda: edited(
            FOUND,
            lambda content: content["facts"]["outputs"].update(
                more=[{"path": TEST, "sha256": file_sha256(Path(TEST)), "bytes": 1}]
            ),
        ),
        *(BROKEN, BROKEN),
    ),
    "a record taken away": (lambda: beside(ROWS).unlink(), BROKEN, BROKEN),
    "a download and its record": (lambda: swapped(WHEEL, "other text\n"), TAMPERED, TAMPERED),
    "a chain that begins at a job that reads nothing": (
        lambda: edited(ROWS, lambda content: content["facts"].update(inputs={})),
        *(BROKEN, BROKEN),
    ),
    "another run's lineage, in a clone without data": (another_lineage, INCOMPLETE, INCOMPLETE),
    "the table of scores, in a clone without data": (edited_table, TAMPERED, TAMPERED),
    "a replay that is said to have given something else": (
        lambda: add_replay(
            beside(SCORES).parent,
            Replay(json.loads(beside(SCORES).read_text())["seal"], "different", {}, "x", "", 1.0),
        ),
        *(BROKEN, BROKEN),
    ),
    "the seals that were signed": (
        lambda: (
            Path("results/tiny/SEALS").exists()
            and Path("results/tiny/SEALS").write_text("# results/tiny, 2026\n")
        ),
        *(OK, INCOMPLETE),
    ),
    "a signature by another key": (
        lambda: Path("results/tiny/SEALS").exists() and signed("other", "results/tiny/SEALS"),
        *(OK, INCOMPLETE),
    ),
}


# What must be said of some of them, beside that readers and lineage name something else.
SAID = {
    "a score and its record": "was read by report_build as",
    "an input from outside the results": "was made by no job and is in no registry",
    "an input of another run": "is of run `other`, outside this one",
    "most of a training's text left out": "than the configuration has it read",
    "test files among a training's": "which no job of pretrain_btmlm reads",
    "test files read by the fine-tuning": "is for tests only",
    "a commit that does not exist": "which is not in this repository",
    "packages that the lock does not have": "but it had torch 0.1",
    "an end before the beginning": "and ended before",
    "an end in the future": "says that it ends in 2931",
    "a reader before its maker": f"before xtreme_predict/{JOB} ended",
    "other settings": "setting `min_chars` has changed since",
    "another seed": "setting `seed` has changed since",
    "another code": "has changed since",
    "another module": "says that `ernie_m.report.build` ran",
    "the record of another job": "has no scores of `qa` for",
    "an output outside the job's folder": "outside the job's folder",
    "a download and its record": "the registry names",
    "a chain that begins at a job that reads nothing": "reads nothing and is no download",
    "another run's lineage, in a clone without data": "is not here; recorded, not checked",
    "a replay that is said to have given something else": "something else came out",
}
SIGNATURES = {
    "the seals that were signed": "is not what its signature was made for",
    "a signature by another key": "signed by nobody whom config/allowed_signers names",
}


def git(*words):
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *names, *words], check=True, capture_output=True)


def signed(name, file):
    subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "ernie-m", "-f", name, file],
        check=True,
        capture_output=True,
        input=b"y\n",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that is scored and reported, in a git repository; a key, and one of somebody else."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        run_jobs(folder, patch)
        shutil.copy(ROOT / "requirements.txt", folder)
        fill_scored()
        collect()
        for name in ("mine", "other"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name]
            subprocess.run(words, check=True)
        public = " ".join(Path("mine.pub").read_text().split()[:2])
        Path("config/allowed_signers").write_text(f"me@example.org {public}\n")
        git("init", "--quiet")
        git("add", "config")
        git("commit", "--quiet", "-m", "Configuration")
    return folder


@pytest.fixture
def forged(made, tmp_path, monkeypatch):
    """Results of one's own to do something to."""
    folder = tmp_path / "made"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)


def verdict(capsys, what="xtreme/qa"):
    capsys.readouterr()
    status = cli.main(["audit", what, *RUN, "--seed", "1", "--json"])
    if status == 1:
        return None, {"findings": capsys.readouterr().err}
    told = json.loads(capsys.readouterr().out)
    assert Verdict(status).name == told["verdict"]
    return Verdict(status), told


def test_before_anything_is_forged_it_is_verified(forged, capsys):
    found, told = verdict(capsys)
    assert found == OK, told["findings"]
    assert cli.main(["sign", *RUN, "--key", "mine"]) == 0
    found, told = verdict(capsys)
    assert found == OK and "me@example.org" in told["anchors"][0]
    assert cli.main(["verify", *RUN]) == 0
    assert "me@example.org" in capsys.readouterr().out


@pytest.mark.parametrize("signature", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_gets_its_verdict(forged, capsys, name, signature):
    forge, unsigned, with_signature = FORGERIES[name]
    if signature:
        assert cli.main(["sign", *RUN, "--key", "mine"]) == 0
    forge()
    found, told = verdict(capsys)
    assert found == (with_signature if signature else unsigned), told["findings"]
    wanted = SAID.get(name, "") or (SIGNATURES.get(name, "") if signature else "")
    assert wanted in str(told["findings"])


def test_the_documentation_has_the_table():
    def word(verdict):
        return verdict.name if verdict else "no such number"

    rows = [f"| {name} | {word(a)} | {word(b)} |" for name, (_, a, b) in FORGERIES.items()]
    assert "\n".join(rows) in (ROOT / "docs/audit.md").read_text(encoding="utf-8")


def test_who_makes_everything_anew_is_found_by_a_signature_or_by_nothing(forged, capsys):
    """What no check can find: all records, the report and the lineage agree."""
    everything()
    found, told = verdict(capsys)
    assert found == OK and told["claim"]["value"] == 99.9 and told["anchors"] == []
    cli.main(["audit", "xtreme/qa", *RUN, "--seed", "1"])
    said = " ".join(capsys.readouterr().out.split())
    assert "anchored by nothing but its own records" in said


def test_the_list_of_signers_is_itself_asked_of_git(forged, capsys):
    signers = Path("config/allowed_signers")
    public = " ".join(Path("other.pub").read_text().split()[:2])
    signers.write_text(f"{signers.read_text()}them@example.org {public}\n")
    everything()
    assert cli.main(["sign", *RUN, "--key", "other"]) == 0
    found, told = verdict(capsys)
    assert found == OK
    assert "them@example.org" in told["anchors"][0] and "is not as committed" in told["anchors"][0]
    mine = Path("auditor")
    mine.write_text(signers.read_text().splitlines()[0] + "\n")
    assert cli.main(["audit", "xtreme/qa", *RUN, "--seed", "1", "--signers", str(mine)]) == 3


def committed(*files):
    git("add", "--force", *files)
    git("commit", "--quiet", "-m", "Results")


def test_what_is_committed_speaks_against_a_forgery(forged, capsys):
    committed(LINEAGE, str(beside(TABLE)))
    found, told = verdict(capsys)
    assert found == OK and told["anchors"][0].startswith("commit ")
    everything()
    found, told = verdict(capsys)
    assert found == BROKEN and "names: made anew since, or forged" in str(told["findings"])


def test_what_was_run_again_since_it_was_committed_is_stale(forged, capsys, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
    committed(LINEAGE)
    swapped(SCORES, better())
    run_facts(SCORES, ended=hour(SCORES, "ended", 0.01))
    found, told = verdict(capsys)
    assert found == STALE and "made anew since, or forged" in str(told["findings"])


def test_dvc_s_lock_file_speaks_against_a_forgery(forged, capsys):
    lines = [
        f"  - path: {SCORES}",
        f"    md5: {hashlib.md5(Path(SCORES).read_bytes()).hexdigest()}",
    ]
    Path("dvc.lock").write_text("\n".join(["stages:", " xtreme:", "  outs:", *lines]) + "\n")
    found, told = verdict(capsys)
    assert found == OK and told["anchors"] == ["dvc.lock (1 file)"]
    everything()
    found, told = verdict(capsys)
    assert found == STALE and "is not what dvc.lock names" in str(told["findings"])


def logged():
    """The score in MLflow's store, as tracking logs it; returns the id of its run."""
    client = connect(read("config/tiny.yaml").tracking.uri)
    stage, instance = "xtreme_score", JOB
    tags = {"stage": stage, "instance": instance, "results": "results/tiny", "superseded": "no"}
    experiment = client.create_experiment("forged")
    run = client.create_run(experiment, tags=tags | {LOGGED: file_sha256(beside(SCORES))})
    for key, value in numbers(json.loads(Path(SCORES).read_text())).items():
        client.log_metric(run.info.run_id, f"scores/{key}", value)
    return client, run.info.run_id


def test_mlflow_speaks_against_a_forgery_and_is_not_believed_alone(forged, capsys):
    client, run = logged()
    found, told = verdict(capsys)
    assert found == OK and told["anchors"][-1].startswith("MLflow's store (1 of ")
    assert verdict(capsys, run)[0] == OK
    client.log_metric(run, "scores/average/f1", 99.9)
    found, told = verdict(capsys, run)
    assert found == TAMPERED and "MLflow's run" in str(told["findings"])
    client.log_metric(run, "scores/average/f1", 40.0)
    everything()
    assert not [anchor for anchor in verdict(capsys)[1]["anchors"] if "MLflow" in anchor]


def test_a_forged_line_of_a_history_is_an_earlier_result_of_nobody(forged, capsys):
    line = json.loads(beside(SCORES).read_text())
    line["facts"]["outputs"]["scores"][0]["sha256"] = "9" * 64
    history = beside(SCORES).with_name("history.jsonl")
    history.write_text(history.read_text() + json.dumps(line) + "\n")
    assert cli.main(["audit", "9" * 12, *RUN]) == 1
    history.write_text(history.read_text() + json.dumps(line | {"seal": seal(line)}) + "\n")
    capsys.readouterr()
    assert cli.main(["audit", "9" * 12, *RUN]) == STALE.value
    assert "which nothing else confirms" in " ".join(capsys.readouterr().out.split())


def test_a_replay_is_told_of_with_who_says_so(forged, capsys):
    replay = Replay(
        json.loads(beside(SCORES).read_text())["seal"],
        *(SAME, {SCORES: {"sha256": file_sha256(Path(SCORES))}}, "Jane", "2026-11-29", 1.0),
    )
    add_replay(beside(SCORES).parent, replay)
    assert "by Jane, 2026-11-29" in verdict(capsys)[1]["anchors"][0]
    file = beside(SCORES).with_name(REPLAYS)
    file.write_text(file.read_text().replace("Jane", "John"))
    assert verdict(capsys)[1]["anchors"] == []


def test_a_replay_that_says_the_same_of_other_bytes_counts_for_nothing(forged, capsys):
    sealed = json.loads(beside(SCORES).read_text())["seal"]
    outputs = {SCORES: {"sha256": "9" * 64}}
    add_replay(beside(SCORES).parent, Replay(sealed, SAME, outputs, "Jane", "2026-11-29", 1.0))
    assert verdict(capsys)[1]["anchors"] == []


def test_a_signature_that_was_committed_cannot_be_taken_away(forged, capsys):
    assert cli.main(["sign", *RUN, "--key", "mine"]) == 0
    seals, signature = Path("results/tiny/SEALS"), Path("results/tiny/SEALS.sig")
    committed(str(seals), str(signature))
    seals.unlink(), signature.unlink()
    found, told = verdict(capsys)
    assert found == INCOMPLETE and "not here with its signature" in str(told["findings"])
    everything()
    assert verdict(capsys)[0] == BROKEN


def test_verify_asks_the_witnesses_of_every_run(forged, capsys):
    assert cli.main(["sign", *RUN, "--key", "mine"]) == 0
    assert cli.main(["verify"]) == 0
    assert "me@example.org" in capsys.readouterr().out
    everything()
    assert cli.main(["verify"]) == BROKEN.value


def test_a_commit_that_is_an_option_of_git_is_no_commit(forged, capsys):
    edited(MODEL, lambda content: content["run"]["git"].update(commit="--output=written"))
    assert verdict(capsys)[0] == BROKEN
    assert not Path("written").exists()


def test_a_score_of_no_predictions_is_no_score(forged, capsys):
    """Also where report and lineage agree with it."""
    edited(SCORES, lambda content: content["facts"]["inputs"].pop("predictions"))
    collect()
    found, told = verdict(capsys)
    assert found == BROKEN and "read no results of xtreme_predict" in str(told["findings"])


def test_a_job_that_reads_nothing_is_no_download_by_its_settings(forged, capsys):
    def edit(content):
        content["facts"].update(inputs={})
        content["facts"]["settings"]["sha256"] = None

    edited(SCORES, edit)
    collect()
    found, told = verdict(capsys)
    assert found == BROKEN and "reads nothing and is no download" in str(told["findings"])


def test_seeds_whose_files_are_not_as_recorded_are_left_out(forged, capsys):
    other = Path(SCORES.replace("seed1", "seed2"))
    other.write_text(better())
    told = verdict(capsys)[1]
    assert list(told["claim"]["seeds"]) == ["1"] and told["claim"]["left_out"] == [str(other)]
