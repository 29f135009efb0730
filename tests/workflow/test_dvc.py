"""`dvc.yaml` is in step with the rules, and DVC's commands work on what Snakemake has made."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from ernie_m.config.load import load, read
from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.pipeline import plan
from ernie_m.pipeline.stages import STAGES, jobs, module_of, settings_text
from ernie_m.records.digest import code_facts
from ernie_m.words import flatten
from tests.repository import ROOT, Repository

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
MILESTONES = DVC["stages"]
ROOTS = re.compile(r"^results/(?:default/)?(\w+)")


def outs(stage):
    """The pipeline's stages whose results a milestone keeps, and how."""
    found = {}
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind, []):
            ((path, how),) = entry.items()
            found[path] = how | {"kind": kind}
    return found


def made_in(milestone):
    """Names of the pipeline's stages that a milestone's outputs are of."""
    return {ROOTS.match(path).group(1) for path in outs(MILESTONES[milestone])}


MILESTONE = {stage: name for name in MILESTONES for stage in made_in(name)}


def param_keys(milestone):
    ((path, keys),) = (item for entry in MILESTONES[milestone]["params"] for item in entry.items())
    assert path == "config/config.yaml"
    return keys


def test_every_stage_of_the_default_run_belongs_to_one_milestone():
    asked = jobs(read(base=ROOT / "config/config.yaml"))
    wanted = {stage for stage, own in asked.items() if own}
    assert MILESTONE.keys() == wanted
    assert sum(len(made_in(name)) for name in MILESTONES) == len(wanted)


def test_a_milestone_runs_the_target_of_its_name(blank):
    for name, stage in MILESTONES.items():
        assert stage["cmd"] == f"snakemake {name} --cores all"
    blank.run("snakemake", "--dry-run", "--cores", "1", *MILESTONES)


def test_outputs_are_kept_and_small_ones_are_for_git():
    for stage in MILESTONES.values():
        for path, how in outs(stage).items():
            assert how["persist"] is True, path
            small = Path(path).suffix in (".csv", ".json", ".jsonl") or path.endswith(
                ("/SHA256SUMS", "/figures")
            )
            assert small != how.get("cache", True), path


def test_small_results_are_not_ignored_by_git(blank):
    for stage in MILESTONES.values():
        for path, how in outs(stage).items():
            ignored = blank.run("git", "check-ignore", "-q", path, check=False).returncode == 0
            assert ignored == how.get("cache", True), path


def test_dependencies_follow_the_graph(blank):
    """Each milestone names the results it reads of others, and the code and rules it runs."""
    text = blank.run("snakemake", "--rulegraph", "dot", "--forceall").stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', text, flags=re.M))
    needed = {name: set() for name in MILESTONES}
    for source, target in re.findall(r"(\d+) -> (\d+)", text):
        one, other = (
            next((s for s in STAGES if names[n] == s or names[n].startswith(f"{s}_standin")), None)
            for n in (source, target)
        )
        if one and other and MILESTONE[one] != MILESTONE[other]:
            needed[MILESTONE[other]].add(one)
    for name, stage in MILESTONES.items():
        results = {ROOTS.match(dep).group(1) for dep in stage["deps"] if ROOTS.match(dep)}
        assert results == needed[name], name
        for dep in stage["deps"]:
            assert ROOTS.match(dep) or (ROOT / dep).exists(), dep


@pytest.mark.parametrize("name", MILESTONES)
def test_every_source_file_that_a_milestone_runs_is_among_its_dependencies(name):
    deps = MILESTONES[name]["deps"]
    for stage in made_in(name):
        for path in code_facts(module_of(stage)):
            named = any(path == dep or path.startswith(f"{dep}/") for dep in deps)
            assert named or path == "src/ernie_m/__init__.py", (stage, path)


# One job of each stage.
INSTANCES = {stage: own[-1] for stage, own in jobs(Config()).items() if own}


@pytest.fixture(scope="module")
def noticed():
    """The keys of the configuration that reach each stage's jobs, found by changing each."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    before = settings_texts(config)
    found = {stage: set() for stage in MILESTONE}
    for key, _ in flatten(config):
        after = settings_texts(with_another_value(config, key))
        for stage in MILESTONE:
            if after and after[stage] != before[stage]:
                found[stage].add(key)
    return found


@pytest.mark.parametrize("name", MILESTONES)
def test_every_key_that_reaches_a_job_is_among_the_params(name, noticed):
    keys = param_keys(name)
    reached = set().union(*(noticed[stage] for stage in made_in(name)))
    assert reached or name == "report"
    for key in reached:
        assert any(key == one or key.startswith(f"{one}.") for one in keys), key
    if any(STAGES[stage].seed == "run" for stage in made_in(name)):
        assert "seed" in keys


def with_another_value(config, key):
    """The configuration with another number or switch at a key; text stays as it is."""
    *path, last = key.split(".")
    changed = json.loads(json.dumps(config))
    section = changed
    for part in path:
        section = section[part]
    value = section[last]
    if isinstance(value, bool):
        section[last] = not value
    elif isinstance(value, int | float):
        section[last] = value * 1.25 if isinstance(value, float) else value * 2
    return changed


def settings_texts(config):
    """What a job of each stage is told; nothing when the configuration is not valid."""
    try:
        loaded = load(config)
    except UserError:
        return {}
    return {stage: settings_text(loaded, stage, INSTANCES[stage]) for stage in MILESTONE}


def test_artifacts_and_metrics_are_outputs_of_a_milestone():
    kept = [path for stage in MILESTONES.values() for path in outs(stage)]
    named = [artifact["path"] for artifact in DVC["artifacts"].values()] + DVC["metrics"]
    for place in named:
        assert any(place == path or place.startswith(f"{path}/") for path in kept), place
    config = read(base=ROOT / "config/config.yaml")
    assert config.run == "default"


@pytest.fixture(scope="module")
def committed(tiny):
    """The tiny run, entered into DVC and into git."""
    tiny.run("dvc", "commit", "--force", "--quiet")
    tiny.git("add", "dvc.lock", "results")
    tiny.git("commit", "-q", "-m", "results")
    return tiny


def test_a_direct_run_is_entered_and_nothing_is_left_to_do(committed):
    assert json.loads(committed.run("dvc", "status", "--json").stdout) == {}
    done = committed.run("dvc", "repro")
    assert "up to date" in done.stdout and "Running stage" not in done.stdout
    tracked = committed.git("ls-files", "results").stdout.split()
    figures = plan.figures(read(base=committed.path / "config/config.yaml"))
    assert tracked == [
        "results/default/report_build/SHA256SUMS",
        *sorted(f"results/default/report_build/figures/{name}.svg" for name in figures),
        "results/default/report_build/lineage.jsonl",
        "results/default/report_build/losses.csv",
        "results/default/report_build/metrics.json",
        "results/default/report_build/record.json",
        "results/default/report_build/scores.csv",
    ]


def test_the_graph_of_milestones(committed):
    text = committed.run("dvc", "dag", "--mermaid").stdout
    assert all(f'"{name}"' in text for name in MILESTONES)


def test_metrics_and_plots(committed):
    shown = json.loads(committed.run("dvc", "metrics", "show", "--json").stdout)
    files = {*DVC["metrics"], "results/default/report_build/metrics.json"}
    assert set(shown[""]["data"]) == files
    assert all(metrics["data"] for metrics in shown[""]["data"].values())
    plots = json.loads(committed.run("dvc", "plots", "show", "--json").stdout)
    assert {"Validation losses", "Scores"} <= set(plots["data"])


def test_push_and_pull_through_a_remote(committed, tmp_path):
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    committed.run("dvc", "remote", "add", "--local", "--force", "-d", "store", str(remote))
    committed.run("dvc", "push", "--quiet")
    committed.git("commit", "--quiet", "--all", "--allow-empty", "-m", "what was pushed")
    committed.git("clone", "-q", ".", str(clone))
    other = Repository(clone)
    other.run("dvc", "remote", "add", "--local", "-d", "store", str(remote))
    scores = "results/default/xtreme_score/standin_retrieval/ernie_m/btmlm/seed1/scores.json"
    number = f"{scores}#languages/de/accuracy"
    before = json.loads(other.run("ernie-m", "audit", number, "--json", check=False).stdout)
    assert before["verdict"] == "INCOMPLETE" and before["claim"]["value"] is not None
    assert {job["mark"] for job in before["jobs"]} == {"recorded"}
    part = "results/default/corpora_filter/rows-de/0/rows.arrow"
    assert "Nothing to be done" in other.run("ernie-m", "restore", "--for", part).stdout
    assert (clone / part).is_file() and not (clone / scores).exists()
    assert "Nothing to be done" in other.run("ernie-m", "restore").stdout
    assert not other.planned()
    for name in ("pretrain_btmlm/ernie_m/model.safetensors", "report_build/report.html"):
        path = Path("results/default") / name
        assert (clone / path).read_bytes() == (committed.path / path).read_bytes()
    assert json.loads(other.run("dvc", "status", "--json").stdout) == {}
    assert other.run("ernie-m", "audit", scores).returncode == 0


# An executor that starts a process for each job, as a scheduler would, and notes its name.
ASIDE = """
import subprocess
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False
)


class Executor(RemoteExecutor):
    def run_job(self, job):
        with open("work/sent", "a") as file:
            print(job.name, file=file)
        process = subprocess.Popen(self.format_job_exec(job), shell=True)
        self.report_job_submission(SubmittedJobInfo(job, aux={"process": process}))

    async def check_active_jobs(self, active):
        for sent in active:
            status = sent.aux["process"].poll()
            if status is None:
                yield sent
            elif status:
                self.report_job_error(sent)
            else:
                self.report_job_success(sent)

    def cancel_jobs(self, active):
        for sent in active:
            sent.aux["process"].terminate()
"""


@pytest.fixture
def aside(committed, monkeypatch):
    """A profile with that executor, in force."""
    plugin = committed.path / "src/snakemake_executor_plugin_aside"
    profile = committed.path / "profiles/aside"
    for folder in (plugin, profile):
        folder.mkdir()
    (plugin / "__init__.py").write_text(ASIDE, encoding="utf-8")
    settings = {"executor": "aside", "jobs": 5, "seconds-between-status-checks": 1}
    (profile / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with monkeypatch.context() as environment:
        environment.setenv("SNAKEMAKE_PROFILE", "profiles/aside")
        yield
    for folder in (plugin, profile):
        shutil.rmtree(folder)


def test_repro_sends_jobs_where_a_profile_says(committed, request):
    """On a branch on which the report differs."""
    committed.git("checkout", "-q", "-b", "there")
    path = committed.path / "config/config.yaml"
    changes = {"report": {"title": "There"}, "tracking": {"uri": ""}}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes), encoding="utf-8")
    assert list(json.loads(committed.run("dvc", "status", "--json").stdout)) == ["report"]
    request.getfixturevalue("aside")
    done = committed.run("dvc", "repro")
    assert set(re.findall(r"Running stage '(\w+)'", done.stdout)) == {"report"}
    assert (committed.path / "work/sent").read_text(encoding="utf-8") == "report_build\n"
    page = committed.path / "results/default/report_build/report.html"
    assert "There" in page.read_text(encoding="utf-8")
    assert json.loads(committed.run("dvc", "status", "--json").stdout) == {}
    diff = json.loads(committed.run("dvc", "params", "diff", "--json").stdout)
    assert diff["config/config.yaml"]["report.title"]["new"] == "There"
    committed.git("commit", "-q", "--all", "-m", "there")


def test_results_follow_a_checkout(committed):
    committed.git("checkout", "-q", "main")
    done = committed.run("ernie-m", "restore", "--force")
    assert "Nothing to be done" in done.stdout
    page = committed.path / "results/default/report_build/report.html"
    assert "There" not in page.read_text(encoding="utf-8")


def test_restore_leaves_what_is_stale_to_be_run(committed):
    """Bookkeeping must not make a result current that this code would make otherwise."""
    with committed.edited("src/ernie_m/report/build.py", lambda text: text + "\nADDED = 1\n"):
        done = committed.run("ernie-m", "restore", "--no-pull", check=False)
        assert done.returncode == 4 and "report_build" in done.stdout
        assert set(committed.planned()) == {"report_build"}
    assert not committed.planned()


def test_restore_refuses_bytes_that_are_not_the_recorded_ones(committed):
    path = committed.path / "results/default/corpora_filter/rows-de/0/stats.json"
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    try:
        done = committed.run("ernie-m", "restore", "--no-pull", check=False)
        assert done.returncode == 1 and "corpora_filter/rows-de/0" in done.stderr
    finally:
        path.write_bytes(before)
