"""What a store did not take is kept in files, and entered once, as it would have been."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ernie_m.errors import UserError
from ernie_m.records.digest import file_sha256
from ernie_m.tracking import command, finish, live, session, start, store
from tests.repository import ROOT
from tests.tracking.conftest import serving

AWAY = "http://127.0.0.1:9"  # nobody listens there
CONFIG = {"run": "default", "seed": 1, "corpora": {"languages": ["en", "de"]}}
TRAINING = ("pretrain_camlm", "ernie_m")
SCORES = '{"languages": {"de": {"accuracy": 40.0, "n": 50}}}'
COLUMNS = "task,category,variant,replicate,stage,seed,language,metric,value,n"
TABLE = f"{COLUMNS}\nqa,qa,v,1,btmlm,1,de,f1,40.0,5\n"
# Tags that hold ids of the store.
OF_THE_STORE = ("mlflow.parentRunId", "mlflow.note.content", "mlflow.user", "mlflow.runName")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A store that does not answer is given up soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.02)


@pytest.fixture
def config(results):
    """The configuration files, where the commands look for them."""
    shutil.copytree(ROOT / "config", "config")


def begin(monkeypatch, uri):
    """``start`` as its command line runs it; the session, by which jobs find it."""
    path = session.session_file("default")
    Path("resolved.json").write_text(json.dumps(CONFIG))
    words = ["start", "--run", "default", "--uri", uri, "--config", "resolved.json"]
    monkeypatch.setattr(sys, "argv", words)
    start.main()
    monkeypatch.setenv(session.VARIABLE, str(path))
    return session.read(path)


def end(monkeypatch, status="finished"):
    """``finish`` as its command line runs it."""
    monkeypatch.setattr(sys, "argv", ["finish", "--run", "default", "--status", status])
    finish.main()


def train(*steps, resumed=False, timeout=30.0):
    """A training that logs a value at each of the steps."""
    attached = live.attach(*TRAINING, resumed=resumed)
    for step in steps:
        attached.log({"train/camlm": 6.0 - step}, step)
    attached.close(timeout)
    return attached


def whole_run(results):
    """A download, a training, a scoring and a report."""
    results.small_run()
    results.job("xtreme_baseline", "standin_qa", {"scores": {"scores.json": SCORES}})
    outputs = {"metrics": {"metrics.json": '{"qa": {"btmlm": 0.4}}'}}
    outputs |= {"scores": {"scores.csv": TABLE}, "report": {"report.html": "<p>scores</p>"}}
    results.job("report_build", "", outputs)


def histories(client, run):
    """All values of a run by name: steps, values, and when those of records were made."""
    return {
        key: sorted(
            (point.step, point.value, key != "train/camlm" and point.timestamp)
            for point in client.get_metric_history(run.info.run_id, key)
        )
        for key in run.data.metrics
        if not key.startswith("system/")
    }


def told(uri):
    """All that a store has, but its ids and when it was told."""
    client = store.connect(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'ernie-m'")
    found = []
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        run = client.get_run(run.info.run_id)
        job = run.data.tags["level"] == "job"
        tables = [file.path for file in client.list_artifacts(run.info.run_id)]
        rows = []
        if "scores.json" in tables:
            own = [run.info.run_id]
            rows = client.load_table(experiment.experiment_id, "scores.json", own).values.tolist()
        about = {
            "name": run.info.run_name,
            "status": run.info.status,
            "ended": job and run.info.end_time,
            "params": run.data.params,
            "tags": {k: v for k, v in run.data.tags.items() if k not in OF_THE_STORE},
            "histories": histories(client, run),
            "machine": {key for key in run.data.metrics if key.startswith("system/")},
            "data": [one.dataset.digest for one in run.inputs.dataset_inputs],
            "artifacts": sorted(tables),
            "rows": rows,
        }
        found.append(about)
    return sorted(found, key=lambda about: (about["name"], about["status"]))


def curve(uri):
    """Steps of the training's curve in each of its runs."""
    return [
        [point[0] for point in about["histories"].get("train/camlm", [])]
        for about in told(uri)
        if about["name"] == "/".join(TRAINING)
    ]


def test_a_run_is_entered_later_as_it_would_have_been(uri, config, results, monkeypatch, capsys):
    other = f"sqlite:///{shutil.copy('mlflow.db', Path.cwd() / 'other.db')}"
    begin(monkeypatch, uri)
    assert train(1, 2).run_id
    whole_run(results)
    end(monkeypatch)
    assert "warning" not in capsys.readouterr().err
    assert not session.session_file("default").exists()

    begin(monkeypatch, AWAY)
    warning = capsys.readouterr().err
    assert warning.count("warning: ") == 1 and "`ernie-m track --run default`" in warning
    assert train(1, 2).run_id is None
    assert not capsys.readouterr().err, "a job does not ask a store that did not take the run"
    end(monkeypatch)
    warning = capsys.readouterr().err
    assert warning.count("warning: ") == 1 and "`ernie-m track --run default`" in warning

    with pytest.raises(UserError, match="not taken the run"):
        command.main([])
    assert command.main(["--uri", other]) == 0
    assert "4 jobs entered" in capsys.readouterr().out
    once = told(other)
    assert once == told(uri)
    assert any("system/cpu_utilization_percentage" in about["machine"] for about in once)
    assert not list(session.session_file("default").with_suffix("").rglob("*.jsonl"))
    # No session is left, so what is compared is what the store has.
    assert command.main(["--uri", other]) == 0
    assert "0 jobs entered" in capsys.readouterr().out
    assert told(other) == once


def test_a_server_that_comes_back_gets_all(place, config, results, monkeypatch, capsys):
    folder, port = place
    begin(monkeypatch, f"http://127.0.0.1:{port}")
    train(1, 2)
    whole_run(results)
    end(monkeypatch)
    assert "results are not affected; once the store answers" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    with serving(folder, port) as uri:
        assert command.main([]) == 0
        assert curve(uri) == [[1, 2, 3]]
        assert {about["status"] for about in told(uri)} == {"FINISHED"}


def test_a_store_that_hangs_holds_no_training_up(uri, monkeypatch, capsys):
    opened = begin(monkeypatch, uri)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        session.write(replace(opened, uri=f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        train(1, 2, 3, timeout=0.1)
    (path,) = session.kept_files("default").values()
    steps = [step for name, _, _, step in session.kept(path) if name == "train/camlm"]
    assert steps == [1, 2, 3]
    assert f"{path} keeps them" in capsys.readouterr().err


def test_a_sqlite_store_has_writers_on_one_machine_only(uri, results, monkeypatch):
    opened = begin(monkeypatch, uri)
    session.write(replace(opened, host="elsewhere"))
    assert train(1, 2).run_id is None
    assert curve(uri) == []
    results.small_run()
    end(monkeypatch)
    assert curve(uri) == [[1, 2, 3]]


def test_an_outage_during_a_training_loses_and_doubles_nothing(uri, results, monkeypatch, capsys):
    begin(monkeypatch, uri)
    log_points, failures = store.log_points, iter([OSError("gone"), OSError("gone")])

    def sometimes(client, run_id, points):
        log_points(client, run_id, points)  # the answer is lost, not the request
        if failure := next(failures, None):
            raise failure

    monkeypatch.setattr(store, "log_points", sometimes)
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.0)
    attached = live.attach(*TRAINING)
    for step in range(1, 4):
        attached.log({"train/camlm": 6.0 - step}, step)
        while attached._waiting or attached._sending:
            time.sleep(0.01)
    attached.close()
    assert capsys.readouterr().err.count("warning: ") == 1
    assert session.kept_files("default").keys() == {TRAINING}
    results.small_run()
    end(monkeypatch)
    assert curve(uri) == [[1, 2, 3]]


@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_resumed_training_goes_on_in_its_run(uri, results, monkeypatch, host):
    opened = begin(monkeypatch, uri)
    session.write(replace(opened, host=host or opened.host))
    train(1, 2)
    train(2, 3, resumed=True)
    results.small_run()
    end(monkeypatch)
    assert curve(uri) == [[1, 2, 3]]


def test_a_training_from_the_beginning_has_no_curve_of_another(uri, results, monkeypatch):
    opened = begin(monkeypatch, uri)
    session.write(replace(opened, host="elsewhere"))
    train(7, 8)
    train(1)
    end(monkeypatch, "failed")
    assert curve(uri) == [[1]]
    (about,) = (about for about in told(uri) if about["name"] == "/".join(TRAINING))
    assert about["status"] == "FAILED"


def test_a_torn_line_is_left_out_and_counted(uri, results, monkeypatch, capsys):
    opened = begin(monkeypatch, uri)
    session.write(replace(opened, host="elsewhere"))
    train(1, 2)
    (path,) = session.kept_files("default").values()
    with path.open("a") as file:
        file.write('["train/camlm", 1.0, 17')
    end(monkeypatch, "failed")
    assert "not whole were left out (1)" in capsys.readouterr().err
    assert curve(uri) == [[1, 2]]


def test_an_invocation_that_goes_on_is_entered_so_far(uri, config, results, monkeypatch, capsys):
    opened = begin(monkeypatch, uri)
    session.write(replace(opened, host="elsewhere", pid=1))
    train(1, 2)
    results.job("corpora_download", "wheel", {"file": {"a.whl": "wheel"}})
    for _ in range(2):
        assert command.main([]) == 0
        assert "its run stays open" in capsys.readouterr().out
        status = {about["name"].split("/")[0]: about["status"] for about in told(uri)}
        assert status.pop("corpora_download") == "FINISHED"
        assert set(status.values()) == {"RUNNING"} and len(status) == 2
        assert curve(uri) == [[1, 2]]
    with pytest.raises(UserError, match="goes on"):
        command.main(["--uri", AWAY])
    train(3, resumed=True)
    whole_run(results)
    end(monkeypatch)
    assert curve(uri) == [[1, 2, 3]]
    assert {about["status"] for about in told(uri)} == {"FINISHED"}


def test_a_killed_invocation_is_closed(uri, config, results, monkeypatch):
    opened = begin(monkeypatch, uri)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    session.write(replace(opened, pid=gone.pid))
    results.small_run()
    assert command.main([]) == 0
    assert {about["status"] for about in told(uri) if about["name"] == "default"} == {"KILLED"}
    assert not session.session_file("default").exists()


@pytest.mark.parametrize("job", ["pretrain_camlm", "xtreme_baseline", "report_build"])
def test_what_was_interrupted_is_completed_without_doubles(uri, config, results, monkeypatch, job):
    begin(monkeypatch, uri)
    whole_run(results)
    log_tags = store.log_tags

    def interrupted(client, run_id, tags):  # by the last that a job's run is told
        if job in tags.get("record", ""):
            raise OSError("gone")
        log_tags(client, run_id, tags)

    with monkeypatch.context() as patch:
        patch.setattr(store, "log_tags", interrupted)
        end(patch)
    assert command.main([]) == 0
    for about in told(uri):
        assert all(len({s for s, *_ in h}) == len(h) for h in about["histories"].values()), about
        assert len(about["rows"]) <= 1
    assert len(told(uri)) == 5


def test_a_run_of_another_configuration_is_refused(uri, config):
    with pytest.raises(UserError, match="--configfile"):
        command.main(["--run", "tiny", "--uri", uri])
    with pytest.raises(UserError, match="--uri"):
        command.main(["--uri", "http://me:planted-pw-89ab@host"])


def test_the_revision_at_which_dvc_has_the_results(uri, config, results, monkeypatch, capsys):
    """With DVC itself: a folder, whose files its cache lists, and a file by itself."""
    monkeypatch.setitem(os.environ, "DVC_NO_ANALYTICS", "1")
    begin(monkeypatch, uri)
    whole_run(results)
    end(monkeypatch)
    assert not any("dvc.rev" in about["tags"] for about in told(uri))
    folder, report = "results/default/pretrain_camlm", "results/default/report_build/record.json"
    outs = [{folder: {"persist": True}}, {report: {"persist": True, "cache": False}}]
    Path("dvc.yaml").write_text(json.dumps({"stages": {"all": {"cmd": "true", "outs": outs}}}))
    dvc = [sys.executable, "-m", "dvc"]
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (
        [*git, "init", "--quiet"],
        [*dvc, "init", "--quiet"],
        [*dvc, "commit", "--force", "--quiet"],
        [*git, "add", "dvc.yaml", "dvc.lock", report],
        [*git, "commit", "--quiet", "--message", "results"],
    ):
        subprocess.run(words, check=True)
    assert command.main(["--uri", uri]) == 0
    assert "3 runs tagged dvc.rev" in capsys.readouterr().out
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    revisions = {about["name"]: about["tags"].get("dvc.rev") for about in told(uri)}
    assert revisions == {
        "default": commit.strip(),
        "pretrain_camlm/ernie_m": commit.strip(),
        "report_build": commit.strip(),
        "corpora_download/wheel": None,
        "xtreme_baseline/standin_qa": None,
    }
    got = [*dvc, "get", ".", report, "--rev", commit.strip(), "--out", "got.json", "--quiet"]
    subprocess.run(got, check=True)
    assert file_sha256(Path("got.json")) == file_sha256(Path(report))
    # Results that came after it are not of this revision.
    results.job("report_build", "", {"metrics": {"metrics.json": '{"qa": {"btmlm": 0.5}}'}})
    begin(monkeypatch, uri)
    end(monkeypatch)
    names = [about["name"].split()[0] for about in told(uri) if "dvc.rev" not in about["tags"]]
    assert sorted(names) == [
        "corpora_download/wheel", "default", "report_build", "xtreme_baseline/standin_qa",
    ]  # fmt: skip
