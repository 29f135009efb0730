"""Parent and children as a reader of the store finds them, and a store that does not matter."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ernie_m.records.record import File
from ernie_m.report import svg
from ernie_m.tracking import finish, live, session, start, store
from tests.tracking.conftest import serving

CONFIG = {
    "seed": 1,
    "run": "default",
    "corpora": {"languages": ["en", "de"], "datasets": [{"id": "x"}]},
    "report": {"title": "long " * 400},
}


@pytest.fixture
def opened(uri):
    """A session with its parent open."""
    return start.open_parent(start.begin(uri, "ernie-m", "default", CONFIG))


def children(opened):
    """Child runs of the session's parent by name."""
    client = store.connect(opened.uri)
    found = client.search_runs(
        [opened.experiment_id], f"tags.`mlflow.parentRunId` = '{opened.run_id}'"
    )
    return {run.info.run_name: run for run in found}


def close(monkeypatch, status="finished"):
    """``finish`` as its command line runs it."""
    monkeypatch.setattr(sys, "argv", ["finish", "--run", "default", "--status", status])
    finish.main()


def test_the_parent_holds_the_whole_configuration(opened):
    client = store.connect(opened.uri)
    parent = client.get_run(opened.run_id)
    assert parent.info.run_name == "default"  # no git here, so no commit
    assert parent.info.status == "RUNNING"
    assert parent.data.params["corpora.languages"] == "en, de"
    assert parent.data.params["corpora.datasets"] == '[{"id": "x"}]'
    assert len(parent.data.params["report.title"]) == store.LONGEST_VALUE
    location = client.get_experiment(opened.experiment_id).artifact_location
    assert location == (Path.cwd() / "mlartifacts").as_uri()
    (artifact,) = (Path.cwd() / "mlartifacts").rglob("config.yaml")
    assert "languages:\n  - en" in artifact.read_text()


def test_every_record_becomes_a_child(opened, results, weights_digest, monkeypatch):
    results.small_run()
    close(monkeypatch)
    found = children(opened)
    assert set(found) == {"corpora_download/wheel", "pretrain_camlm/ernie_m"}
    training = found["pretrain_camlm/ernie_m"]
    assert training.info.status == "FINISHED"
    assert training.info.end_time - training.info.start_time == 60_000
    assert training.data.params == {
        "steps": "3", "objectives.camlm": "1.0", "languages": "en, de", "seed": "1",
    }  # fmt: skip
    assert training.data.metrics["metrics/valid/camlm/en-de"] == 2.5
    assert training.data.tags["code"] == "0123456789abcdef"
    assert training.data.tags["mlflow.source.git.commit"] == "c" * 40
    assert training.data.tags["output.model"] == weights_digest()[:36]
    client = store.connect(opened.uri)
    curve = client.get_metric_history(training.info.run_id, "train/camlm")
    assert [(point.step, point.value) for point in curve] == [(1, 5.0), (2, 4.0), (3, 3.0)]
    (dataset,) = training.inputs.dataset_inputs
    wheel = found["corpora_download/wheel"].data.tags["output.file"]
    assert dataset.dataset.digest == wheel and len(wheel) == 36
    assert client.get_run(opened.run_id).info.status == "FINISHED"


def test_a_model_is_entered_by_reference_and_found_as_an_input(
    opened, results, weights_digest, monkeypatch
):
    results.small_run()
    model = Path("results/default/pretrain_camlm/ernie_m/model.safetensors")
    outputs = {"scores": {"scores.json": '{"task": "retrieval", "average": {"accuracy": 0.5}}'}}
    results.job("xtreme_score", "retrieval/ernie_m/camlm/seed1", outputs, {"model": [model]})
    close(monkeypatch)
    client = store.connect(opened.uri)
    (logged,) = client.search_logged_models([opened.experiment_id])
    assert logged.tags["sha256"] == weights_digest()
    assert logged.tags["path"] == model.as_posix()
    scored = children(opened)["xtreme_score/retrieval/ernie_m/camlm/seed1"]
    scored = client.get_run(scored.info.run_id)  # a search leaves models out
    assert [found.model_id for found in scored.inputs.model_inputs] == [logged.model_id]
    assert scored.data.metrics["scores/average/accuracy"] == 0.5
    copies = [path for path in Path("mlartifacts").rglob("*") if path.suffix == ".safetensors"]
    assert copies == []


def test_an_export_is_a_version_in_the_registry(opened, results, monkeypatch):
    instance = "hf/none/pretrain_btmlm/ernie_m"
    for content in ("first", "second", "second"):
        results.job("checkpoints_export", instance, {"model": {"model.safetensors": content}})
        close(monkeypatch)
        session.write(opened)
    client = store.connect(opened.uri)
    (registered,) = client.search_registered_models()
    assert registered.name == "default-hf-none-pretrain_btmlm-ernie_m"
    versions = client.search_model_versions(f"name = '{registered.name}'")
    logged = client.search_logged_models([opened.experiment_id])
    assert {one.source for one in versions} == {f"models:/{one.model_id}" for one in logged}
    assert {one.tags["sha256"] for one in versions} == {one.tags["sha256"] for one in logged}
    assert len(versions) == 2, "the same bytes are entered once"
    assert not list(Path("mlartifacts").rglob("*.safetensors"))


def test_jobs_attach_in_parallel(opened, results, monkeypatch):
    path = session.session_file("default")
    code = (
        "import sys; from ernie_m.tracking.live import attach\n"
        "live = attach('pretrain_camlm', sys.argv[1])\n"
        "for step in range(300): live.log({'train/camlm': 1.0, 'bad': float('nan')}, step)\n"
        "live.close(timeout=300); assert live.run_id"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, f"variant{n}"], env=_environment(path))
        for n in range(2)
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    client = store.connect(opened.uri)
    found = children(opened)
    assert set(found) == {"pretrain_camlm/variant0", "pretrain_camlm/variant1"}
    for run in found.values():
        assert len(client.get_metric_history(run.info.run_id, "train/camlm")) == 300
        assert "bad" not in run.data.metrics
    close(monkeypatch, "failed")
    assert {run.info.status for run in children(opened).values()} == {"FAILED"}
    assert client.get_run(opened.run_id).info.status == "FAILED"


def _environment(path):
    return {**os.environ, session.VARIABLE: str(path)}


def test_finish_completes_what_was_logged_live(opened, results, monkeypatch):
    monkeypatch.setenv(session.VARIABLE, str(session.session_file("default")))
    attached = live.attach("pretrain_camlm", "ernie_m")
    attached.log({"train/camlm": 4.0}, step=2)  # as after a resumption: step 1 is not there
    attached.close()
    results.small_run()
    close(monkeypatch)
    training = children(opened)["pretrain_camlm/ernie_m"]
    assert training.info.run_id == attached.run_id
    curve = store.connect(opened.uri).get_metric_history(attached.run_id, "train/camlm")
    assert sorted(point.step for point in curve) == [1, 2, 3]


def test_nothing_is_logged_twice(opened, results, monkeypatch, capsys):
    results.small_run()
    close(monkeypatch)
    close(monkeypatch)
    assert len(children(opened)) == 2
    again = start.open_parent(start.begin(opened.uri, "ernie-m", "default", CONFIG))
    outputs = {
        "metrics": {"metrics.json": '{"retrieval": {"btmlm": 0.4}}'},
        "scores": {"scores.csv": "task,value\n"},
    }
    results.job("report_build", "", outputs)
    close(monkeypatch)
    assert set(children(again)) == {"report_build"}
    parent = store.connect(again.uri).get_run(again.run_id)
    assert parent.data.metrics["metrics/retrieval/btmlm"] == 0.4
    assert "warning" not in capsys.readouterr().err


def test_a_failure_half_way_is_made_good(opened, results, monkeypatch, capsys):
    results.small_run()
    with monkeypatch.context() as patch:
        patch.setattr(store, "log_tags", lambda *_: 1 / 0)
        close(patch)
    warning = capsys.readouterr().err
    assert "warning: tracking failed" in warning and "not affected" in warning
    assert session.session_file("default").is_file()
    close(monkeypatch)
    found = children(opened)
    assert {run.info.status for run in found.values()} == {"FINISHED"} and len(found) == 2


def test_a_changed_file_is_not_logged_under_the_old_record(opened, results, monkeypatch):
    results.small_run()
    Path("results/default/pretrain_camlm/ernie_m/metrics.json").write_text('{"steps": 9}')
    close(monkeypatch)
    assert "metrics/steps" not in children(opened)["pretrain_camlm/ernie_m"].data.metrics


def test_a_killed_invocation_is_marked_by_the_next(opened):
    again = start.open_parent(start.begin(opened.uri, "ernie-m", "default", CONFIG))
    client = store.connect(again.uri)
    assert client.get_run(opened.run_id).info.status == "KILLED"
    assert client.get_run(again.run_id).info.status == "RUNNING"


@pytest.mark.parametrize("named", ["", "work/tracking/none.json"])
def test_off_means_nothing_happens(tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(session.VARIABLE, named)
    attached = live.attach("pretrain_camlm", "ernie_m")
    attached.log({"train/camlm": 1.0}, step=1)
    attached.close()
    assert attached.run_id is None
    close(monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_experiment_is_restored(opened, capsys):
    client = store.connect(opened.uri)
    client.delete_experiment(opened.experiment_id)
    again = start.open_parent(start.begin(opened.uri, opened.experiment, opened.run, CONFIG))
    assert again.experiment_id == opened.experiment_id and again.run_id != opened.run_id
    assert client.get_run(again.run_id).info.status == "RUNNING"
    assert "had been deleted and was restored; results are not" in capsys.readouterr().err


def test_a_broken_store_is_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mlflow.db").write_text("this is no database")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setattr(sys, "argv", ["start", "--run", "default", "--uri", uri])
    start.main()
    assert "warning: tracking failed while opening the run" in capsys.readouterr().err
    assert session.read(session.session_file("default")).run_id == ""
    broken = replace(session.read(session.session_file("default")), run_id="none")
    session.write(broken)
    monkeypatch.setenv(session.VARIABLE, str(session.session_file("default")))
    attached = live.attach("pretrain_camlm", "ernie_m")
    attached.log({"train/camlm": 1.0}, step=1)
    attached.close()
    assert attached.run_id is None
    assert "warning: tracking failed while logging curves" in capsys.readouterr().err


def test_a_corrupt_record_is_passed_over(opened, results, monkeypatch, capsys):
    results.small_run()
    broken = Path("results/default/corpora_dedup/mono-de/record.json")
    broken.parent.mkdir(parents=True)
    broken.write_text('{"schema": 1,')
    close(monkeypatch)
    assert len(children(opened)) == 2
    assert "corpora_dedup/mono-de/record.json" in capsys.readouterr().err


def test_a_damaged_file_does_not_hide_the_other_jobs(opened, results, monkeypatch, capsys):
    results.job("corpora_dedup", "mono-de", {"stats": {"stats.json": "{"}})
    results.small_run()
    close(monkeypatch)
    status = {name: run.info.status for name, run in children(opened).items()}
    assert status.pop("corpora_dedup/mono-de") == "FAILED"
    assert set(status.values()) == {"FINISHED"} and len(status) == 2
    assert "while logging corpora_dedup/mono-de" in capsys.readouterr().err


def test_a_run_of_the_same_job_supersedes_the_earlier(opened, results, monkeypatch):
    results.small_run()
    results.job("report_build", "", {"metrics": {"metrics.json": '{"qa": {"btmlm": 1}}'}})
    close(monkeypatch)
    before = {name: run.info.run_id for name, run in children(opened).items()}
    again = start.open_parent(start.begin(opened.uri, "ernie-m", "default", CONFIG))
    results.job("pretrain_camlm", "ernie_m", {"model": {"model.safetensors": "others"}})
    results.job("report_build", "", {"metrics": {"metrics.json": '{"qa": {"btmlm": 2}}'}})
    close(monkeypatch)
    after = {name: run.info.run_id for name, run in children(again).items()}
    client = store.connect(opened.uri)
    old = client.get_run(before["pretrain_camlm/ernie_m"]).data.tags
    assert (old["superseded"], old["superseded_by"]) == ("yes", after["pretrain_camlm/ernie_m"])
    assert client.get_run(opened.run_id).data.tags["superseded_by"] == again.run_id
    standing = client.search_runs([again.experiment_id], "tags.superseded = 'no'")
    names = {run.data.tags.get("stage", "") for run in standing}
    assert names == {"", "corpora_download", "pretrain_camlm", "report_build"}
    assert len(standing) == 4


def test_tags_tell_jobs_apart(opened, results, monkeypatch):
    document = '{"languages": {"de": {"accuracy": 40.0, "n": 50}, "zh": {"accuracy": 20.0}}}'
    instance = "standin_qa/ernie_m/btmlm/seed2"
    results.job("xtreme_score", instance, {"scores": {"scores.json": document}})
    close(monkeypatch)
    tags = children(opened)[f"xtreme_score/{instance}"].data.tags
    wanted = {"task": "standin_qa", "variant": "ernie_m", "checkpoint": "btmlm", "seed": "seed2"}
    assert wanted.items() <= tags.items()
    assert (tags["phase"], tags["level"], tags["results"]) == ("xtreme", "job", "results/default")
    assert tags["record"] == f"results/default/xtreme_score/{instance}/record.json"
    assert Path(tags["record"]).is_file() and tags["record"] in tags["mlflow.note.content"]


def test_inputs_and_models_lead_to_records(opened, results, monkeypatch):
    first, second = results.small_run()
    close(monkeypatch)
    client = store.connect(opened.uri)
    run = client.get_run(children(opened)["pretrain_camlm/ernie_m"].info.run_id)
    (dataset,) = run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in dataset.tags}["record"] == first.as_posix()
    (model,) = client.search_logged_models([opened.experiment_id])
    assert model.tags["record"] == second.as_posix()


def test_tables_and_figures_are_artifacts(opened, results, monkeypatch):
    page, drawing = "<p>scores</p>", svg.blank("XTREME").file()
    head = "task,category,variant,replicate,stage,seed,language,metric,value,n\n"
    scores = head + "qa,qa,variant,1,btmlm,1,de,f1,40.0,50\nqa,qa,variant,1,btmlm,1,zh,f1,20.0,\n"
    outputs = {"report": {"report.html": page}, "figures": {"groups.svg": drawing}}
    outputs |= {"scores": {"scores.csv": scores}}
    results.job("report_build", "", outputs)
    document = '{"languages": {"de": {"accuracy": 40.0, "n": 50}, "zh": {"accuracy": 20.0}}}'
    results.job("xtreme_baseline", "standin_qa", {"scores": {"scores.json": document}})
    close(monkeypatch)
    client = store.connect(opened.uri)
    folder = Path("mlartifacts") / opened.run_id / "artifacts"
    assert (folder / "report/report.html").read_text() == page
    (figure,) = (folder / "figures").iterdir()
    assert figure.name == "groups.svg" and figure.read_text() == drawing
    table = client.load_table(opened.experiment_id, "scores.json", [opened.run_id])
    assert table["language"].tolist() == ["de", "zh"]
    assert table["value"].tolist() == [40.0, 20.0]
    child = children(opened)["xtreme_baseline/standin_qa"].info.run_id
    table = client.load_table(opened.experiment_id, "scores.json", [child])
    assert table["accuracy"].tolist() == [40.0, 20.0]


def test_verdicts_on_claims_are_a_table(opened, results, monkeypatch):
    found = {"words": "holds here", "mean": 1.5, "low": 1.0, "high": 2.0, "unit": "points"}
    found |= {"paper": None, "visible": 0.4, "needed": None, "at": "at 2 layers"}
    other = found | {"words": "undecided (needs about 9 replicates)", "needed": 9}
    document = {"order": [["btmlm", "xnli"], ["btmlm", "conll"]], "confidence": 0.95}
    document |= {"claims": {"btmlm": {"scores": {"xnli": found, "conll": other}}}}
    results.job("claims_judge", "", {"claims": {"claims.json": json.dumps(document)}})
    close(monkeypatch)
    client = store.connect(opened.uri)
    for run_id in (opened.run_id, children(opened)["claims_judge"].info.run_id):
        table = client.load_table(opened.experiment_id, "claims.json", [run_id])
        assert table["score"].tolist() == ["xnli", "conll"]
        assert table["words"].tolist() == [found["words"], other["words"]]
        assert table["mean"].tolist() == [1.5, 1.5]


def test_the_machine_is_watched_while_a_job_is_attached(opened, monkeypatch):
    monkeypatch.setenv(session.VARIABLE, str(session.session_file("default")))
    monkeypatch.setattr(live, "WATCH_SECONDS", 0.2)
    attached = live.attach("pretrain_camlm", "ernie_m")
    time.sleep(1.0)
    attached.close()
    metrics = store.connect(opened.uri).get_run(attached.run_id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert "system/cpu_utilization_percentage" in metrics


def test_a_server_holds_the_same(place, results, monkeypatch, capsys):
    folder, port = place
    with serving(folder, port) as uri:
        opened = start.open_parent(start.begin(uri, "ernie-m", "default", CONFIG))
        monkeypatch.setenv(session.VARIABLE, str(session.session_file("default")))
        attached = live.attach("pretrain_camlm", "ernie_m")
        attached.log({"train/camlm": 5.0}, step=1)
        attached.close()
        results.small_run()
        document = '{"languages": {"de": {"accuracy": 40.0}}}'
        results.job("xtreme_baseline", "standin_qa", {"scores": {"scores.json": document}})
        close(monkeypatch)
        assert "warning" not in capsys.readouterr().err
        found = children(opened)
    assert {name.split("/")[0] for name in found} == {
        "corpora_download", "pretrain_camlm", "xtreme_baseline",
    }  # fmt: skip
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert found["pretrain_camlm/ernie_m"].info.run_id == attached.run_id
    assert found["pretrain_camlm/ernie_m"].data.metrics["train/camlm"] == 3.0
    assert list((folder / "artifacts").rglob("config.yaml"))
    assert list((folder / "artifacts").rglob("scores.json"))
    assert not Path("mlartifacts").exists()


def test_names_and_values_fit_the_store():
    assert store.numbers({"a": {"b": 1, "ok": True, "bad": float("inf")}}) == {"a/b": 1.0}
    files = [File(name, name * 64, 1) for name in "ab"]
    assert finish.joint_digest(files[:1]) == "a" * 36
    assert finish.joint_digest(files) != finish.joint_digest(files[::-1])
    assert json.loads(store.shown([{"a": 1}])) == [{"a": 1}]
