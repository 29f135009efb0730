"""What every rule must have, read from the parsed workflow and from its text."""

import importlib.util
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ernie_m.audit.planned import expected, lacking, unexpected
from ernie_m.config.load import read
from ernie_m.pipeline.stages import (
    STAGES,
    seed_of,
    settings_of,
    settings_text,
    stages_with,
)
from ernie_m.pipeline.stages import jobs as jobs_of
from ernie_m.records.graph import SHARED
from tests.repository import PER_TASK, PUBLISHED_ONLY, ROOT, jobs_in

OVERLAYS = sorted(
    path.name
    for path in (ROOT / "config").glob("*.yaml")
    if not path.name.startswith(
        ("corpora", "checkpoints", "xtreme_sources", "claims")
    )  # registries
)
TARGETS = {
    *("corpora", "tokenizer", "camlm", "backtranslate", "btmlm", "xtreme", "report", "export"),
    *("all", "downloads"),
}
ORDER = [
    *("name", "input", "output", "log", "benchmark"),
    *("wildcard_constraints", "priority", "retries", "localrule"),  # as snakefmt sorts them
    *("group", "conda", "threads", "resources", "params", "shell"),
]


@contextmanager
def parsed(**config):
    """The workflow as Snakemake parses it."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

    before = dict(os.environ)  # the rules set what their jobs find there
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        loaded = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config=config),
            snakefile=ROOT / "Snakefile",
            workdir=ROOT,
        )
        try:
            yield loaded._workflow
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module")
def workflow():
    with parsed() as loaded:
        yield loaded


def by_stage(workflow):
    """Rules that run something, by stage: a stage may have a rule for each task."""
    found = {}
    for rule in workflow.rules:
        if not rule.norun:
            found.setdefault(PER_TASK.sub(r"\1", rule.name), []).append(rule)
    return found


@pytest.fixture(scope="module")
def stages(workflow):
    """The stages of the default run, and those that only published tasks need, or a checkpoint of
    others."""
    shape = {"layers": 12, "width": 768, "heads": 12, "ffn": 3072}
    from_others = {"init": "xlm-roberta-base", "model": shape}
    with parsed(xtreme={"tasks": ["tatoeba"]}, **from_others) as published:
        return by_stage(published) | by_stage(workflow)


def test_targets_and_stages(workflow, stages):
    assert {rule.name for rule in workflow.rules if rule.norun} == TARGETS
    assert workflow.default_target == "all"
    assert stages.keys() == STAGES.keys()
    assert by_stage(workflow).keys() == STAGES.keys() - PUBLISHED_ONLY


def test_every_rule_is_fully_described(stages):
    for stage, rules in stages.items():
        for rule in rules:
            assert rule.docstring and len(rule.docstring.split()) > 20, f"{stage} says no why"
            assert rule.log and rule.benchmark, stage
            assert {"mem_mb", "runtime", "_cores"} <= rule.resources.keys(), stage
            assert rule.conda_env, stage
            listed = set(rule.input.keys())  # those that `listed` shortens
            assert {"code", "settings"} <= set(rule.params.keys()) - listed
            known = {"code", "settings", "seed", *STAGES[stage].instance}
            assert set(rule.params.keys()) - listed <= known
            assert {"sums", "record"} <= set(rule.output.keys()), stage


def test_a_stage_is_one_rule_one_module_one_folder_one_log_one_benchmark(stages):
    for stage, rules in stages.items():
        package, _, module = stage.partition("_")
        assert importlib.util.find_spec(f"ernie_m.{package}.{module}"), stage
        for rule in rules:
            assert f"python -m ernie_m.{package}.{module} " in rule.shellcmd
            root = "results" if stage in SHARED else "results/default"
            folder = re.compile(rf"{root}/{stage}/")
            assert all(folder.match(str(path)) for path in rule.output), stage
            assert str(rule.log[0]).startswith(f"{root}/logs/{stage}")
            assert str(rule.benchmark).startswith(f"{root}/benchmarks/{stage}")
            own = Path(str(rule.output.record)).parent
            inside = all(own in Path(str(path)).parents for path in rule.output)
            assert inside, f"{stage} has outputs outside its instance's folder"


def test_only_stages_that_draw_have_a_seed(stages):
    drawing = set()
    for stage, rules in stages.items():
        package, _, module = stage.partition("_")
        text = (ROOT / "src/ernie_m" / package / f"{module}.py").read_text(encoding="utf-8")
        given = {"seed" in set(rule.params.keys()) for rule in rules}
        assert given == {STAGES[stage].seed is not None}, stage
        if "job.seed" in text:
            drawing.add(stage)
    assert drawing <= set(stages_with("seed"))


def test_rules_are_written_in_one_order():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^ *rule\b", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            found = re.findall(r"^ {4,8}(\w+):", rule, flags=re.M)
            known = [ORDER.index(word) for word in found if word in ORDER]
            assert len(known) == len(found), f"{path.name}: {found}"
            assert known == sorted(known), f"{path.name}: {found}"


def test_no_rule_runs_python_of_its_own(stages):
    for rules in stages.values():
        for rule in rules:
            assert rule.shellcmd and not (rule.is_run or rule.is_script or rule.is_wrapper)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_every_stage_are_what_its_module_takes(overlay):
    """A slice must be accepted by the module's own settings class, without anything left over."""
    config = read(ROOT / "config" / overlay, base=ROOT / "config/config.yaml")
    for stage, (instance, *_) in ((name, own) for name, own in jobs_of(config).items() if own):
        package, _, module = stage.partition("_")
        text = (ROOT / "src/ernie_m" / package / f"{module}.py").read_text(encoding="utf-8")
        (wanted,) = re.findall(r"^    main\(\w+, (\w+)[,)]", text, flags=re.M)
        assert type(settings_of(config, stage, instance)).__name__ == wanted, stage
        if STAGES[stage].seed == "instance":
            assert seed_of(config, stage, instance) == config.xtreme.seeds[0]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_readme_of_the_configuration_tells_of_every_file(overlay):
    assert f"`{overlay}`" in (ROOT / "config/README.md").read_text(encoding="utf-8")


def test_the_catalogue_is_told_what_its_form_asks():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert usage["software-stack-deployment"]["conda"] and usage["report"]


def job_of(path, planned):
    """Stage and instance of a file below results/; None for other files."""
    top, *parts = path.split("/")
    stage, *rest = parts if parts and parts[0] in STAGES else parts[1:] or [""]
    if top != "results" or stage not in STAGES:
        return None
    ends = ["/".join(rest[:length]) for length in range(len(rest), -1, -1)]
    return stage, next(job for job in ends if job in planned[stage])


class Anything:
    """Whatever instances a plan has."""

    def __contains__(self, instance):
        return True


def read_by(text, planned):
    """Of each job of a plan that Snakemake prints, the jobs whose files it reads."""
    for block in re.split(r"\n(?= *(?:local)?rule )", text):
        found = [re.search(rf"^ +{name}: (.*)$", block, re.M) for name in ("input", "output")]
        inputs, outputs = (match[1].split(", ") if match else [] for match in found)
        if job := next(filter(None, (job_of(path, planned) for path in outputs)), None):
            yield job, set(filter(None, (job_of(path, planned) for path in inputs)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_shipped_configuration_can_be_planned(blank, overlay):
    """Also the paper's 1,500 jobs, without any of its data."""
    text = blank.plan("--cores", "1", "--printshellcmds", "--configfile", f"config/{overlay}")
    config = read(ROOT / "config" / overlay, base=ROOT / "config/config.yaml")
    wanted = {stage: len(names) for stage, names in jobs_of(config).items() if names}
    assert jobs_in(text) == wanted
    planned, checked = {stage: set(names) for stage, names in jobs_of(config).items()}, 0
    for job, makers in read_by(text, planned):
        assert unexpected(job[0], makers) == lacking(job[0], makers) == []
        for stage, every in expected(config, planned, *job):
            checked += 1
            assert {maker for maker in makers if maker[0] == stage} == every
    assert checked >= 3 or "pretrain_camlm" not in wanted
    commands = re.findall(r"^Shell command: (.+)$", text, re.MULTILINE)
    assert len(commands) >= sum(wanted.values())
    assert max(map(len, commands)) < 128 * 1024 / 4  # a quarter of what Linux takes


def test_a_plan_reads_a_registry_once_and_not_for_each_job(monkeypatch):
    config = read(ROOT / "config/paper_base.yaml", base=ROOT / "config/config.yaml")
    opened, read_text = [], Path.read_text

    def counted(path, *given, **named):
        opened.append(path)
        return read_text(path, *given, **named)

    monkeypatch.setattr(Path, "read_text", counted)
    asked = jobs_of(config)
    told = [settings_text(config, stage, job) for stage, own in asked.items() for job in own]
    assert len(told) > 1000 and len(opened) == len(set(opened))


def test_the_size_of_files_that_are_to_be_made_is_not_asked_of_snakemake(workflow, tmp_path):
    """Which would look for each of the hundreds that dozens of jobs read."""

    class Files(list):
        size_mb = 7

    (tmp_path / "there").touch()
    size_mb = workflow.globals["size_mb"]
    assert size_mb(Files([tmp_path / "there"])) == 7
    with pytest.raises(FileNotFoundError):
        size_mb(Files([tmp_path / "not there"]))


def test_without_a_store_no_tracking_begins_and_what_a_killed_call_left_is_forgotten(
    workflow, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = workflow.globals["CONFIG"]
    without = config.model_copy(update={"tracking": config.tracking.model_copy(update={"uri": ""})})
    monkeypatch.setitem(workflow.globals, "CONFIG", without)
    monkeypatch.setitem(workflow.globals, "track", None)
    session = workflow.globals["SESSION"]
    session.parent.mkdir(parents=True)
    session.touch()
    workflow.globals["start_tracking"]()
    assert not session.exists() and list(session.parent.iterdir()) == []


def test_a_signal_to_all_processes_of_a_job_reaches_the_end_of_its_log(workflow, tmp_path):
    """As from a container's init: the shell and `tee` outlive the stage, which saves its work."""
    shell = workflow.globals["command"]("tokenizer_quotas")
    saves = "signal.signal(15, lambda *_: (time.sleep(1), print('saved'), exit(3)))"
    script = f'{sys.executable} -uc "import signal, time; {saves}; print(0); time.sleep(60)"'
    shell = re.sub(r"python -m .*(?= 2>&1)", lambda _: script, shell).replace("{log:q}", "log")
    words = ["bash", "-c", f"set -euo pipefail; {shell}"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout.readline() == "0\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "saved\n"
    assert process.returncode == 3 and (tmp_path / "log").read_text() == "0\nsaved\n"


def test_lists_of_files_are_shortened_for_the_shell_and_nothing_else(workflow):
    """bash makes the same words of them again."""
    rng = random.Random(1)
    folders = ["a", "b", "c d", "e{f", "i'j", "$x", "..", "*"]

    def path():
        words = rng.choices(folders, k=rng.randint(1, 4))
        return rng.choice(["", "/"]) + "/".join([*words, rng.choice(["one", "two words"])])

    for count in (0, 1, 2, 3, 50) * 4:
        paths = [path() for _ in range(count)]
        paths = rng.choice([paths, [f"{folder}/record.json" for folder in paths]])
        words = workflow.globals["braced"](paths)
        command = f"printf '%s\\0' {words}" if words else "true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert done.stdout.split("\0")[:-1] == paths


class Resources(dict):
    """Resources as the executor reads them."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("hardware", "flags"),
    [
        ({}, "--nodes=1 --ntasks=1 --cpus-per-task=2"),
        ({"processes_per_node": 2, "require_gpu": True}, "--nodes=1 --cpus-per-task=4"),
        ({"nodes": 2}, "--nodes=2 --ntasks=2 --cpus-per-task=2"),
        ({"nodes": 2, "require_gpu": True}, "--nodes=2 --ntasks=2 --cpus-per-task=2"),
        (
            {"nodes": 2, "processes_per_node": 8, "require_gpu": True},
            "--nodes=2 --ntasks-per-node=8 --cpus-per-task=2",
        ),
    ],
    ids=str,
)
def test_slurm_is_asked_for_the_processes_of_a_training(hardware, flags):
    """Slurm refuses tasks of a node beside tasks of a GPU, and spreads GPUs over any nodes."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command

    with parsed(hardware=hardware) as loaded:
        given = loaded.globals["needs"]("pretrain_camlm")
    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    resources = Resources({name: one for name, one in given.items() if not callable(one)})
    job = SimpleNamespace(resources=resources, threads=1)
    asked = get_submit_command(job, dict.fromkeys(names, ""))
    words = [word for word in asked.split() if re.match("--(nodes|ntasks|cpus)", word)]
    assert " ".join(words) == flags
    count = hardware.get("nodes", 1) * hardware.get("processes_per_node", 1)
    assert resources.get("gpu") == (count if "require_gpu" in hardware else None)


def test_the_paper_s_corpora_can_have_a_vocabulary_of_their_own(blank, tmp_path):
    """Drawn by a job a shard, each of which reads its shard and one small file."""
    files = [ROOT / "config/paper_base.yaml", tmp_path / "own.yaml"]
    files[1].write_text("init: ''\n")
    text = blank.plan("--cores", "1", "-p", "tokenizer", "--configfile", *map(str, files))
    commands = re.findall(r"^Shell command: (.+ernie_m.tokenizer.+)$", text, re.MULTILINE)
    assert max(map(len, commands)) < 128 * 1024 / 16  # room for sixteen times as many shards
    memory = re.search(r"rule tokenizer_train:.+?mem_mb=(\d+)", text, re.DOTALL)
    assert int(memory[1]) > 20 * 10_000_000 * 230 / 1e6  # 20 times ten million lines
    jobs = jobs_in(text)
    assert jobs["tokenizer_quotas"] == jobs["tokenizer_train"] == 1
    assert jobs["tokenizer_sample"] == jobs["tokenizer_pack"] == jobs["corpora_select"] > 300


def test_what_variants_share_is_trained_once(blank, tmp_path):
    """A variant that differs in stage 2 alone has the main one's stage 1, also to generate with."""
    overlay = tmp_path / "variants.yaml"
    less = {"pretrain": {"btmlm": {"objectives": {"btmlm": 0.4}}}}
    overlay.write_text(yaml.safe_dump({"variants": {"less": less}}))
    jobs = jobs_in(blank.plan("--cores", "1", "btmlm", "--configfile", str(overlay)))
    assert jobs["pretrain_camlm"] == 1
    assert jobs["pretrain_backtranslate"] == jobs["pretrain_btmlm"] == 2


def test_ways_of_fine_tuning_are_branches_of_one_graph(blank):
    """In all languages, after another recipe, for retrieval: each costs what it does anew."""
    variants = {
        "translated": {"xtreme": {"training": "all"}},
        "as_published": {"xtreme": {"recipe": "ernie_m_base"}},
        "aligned": {"xtreme": {"retrieval": "aligned"}},
        "after": {"xtreme": {"retrieval": "finetuned"}},
    }
    plain = blank.planned("--cores", "1")
    with blank.configured(variants=variants, xtreme={"seeds": [1, 2]}):
        text = blank.plan("--cores", "1", "--printshellcmds")
    jobs = jobs_in(text)
    for job, makers in read_by(text, dict.fromkeys(STAGES, Anything())):
        assert unexpected(job[0], makers) == lacking(job[0], makers) == []
    assert {s: n for s, n in jobs.items() if s.startswith(("corpora", "tok", "pretrain"))} == {
        s: n for s, n in plain.items() if s.startswith(("corpora", "tok", "pretrain"))
    }
    # Two seeds, three ways to fine-tune; vectors of each stage as it is and in two other ways.
    assert jobs["xtreme_finetune"] == 6 * plain["xtreme_finetune"]
    assert jobs["xtreme_align"] == 2 * 3
    assert jobs["xtreme_sweep"] == 3 + 2 * 3 + 2 * 3


def test_an_variant_shares_what_it_has_in_common_with_the_main_one(blank):
    changed = {"pretrain": {"btmlm": {"optimiser": {"learning_rate": 0.1}}}}
    with blank.configured(variants={"fast": changed}):
        jobs = blank.planned("--cores", "1")
    assert (jobs["pretrain_initialise"], jobs["pretrain_camlm"], jobs["pretrain_btmlm"]) == (
        1,
        1,
        2,
    )


def test_an_variant_without_the_objective_needs_no_generation(blank):
    shares = {"objectives": {"btmlm": 0.0, "mmlm": 1.0}}
    with blank.configured(pretrain={"btmlm": shares}):
        jobs = blank.planned("--cores", "1")
    assert jobs["pretrain_backtranslate"] == 0 and jobs["pretrain_btmlm"] == 1


def test_the_graph_is_the_same_under_a_storage_provider(blank):
    plugin = blank.path / "src/snakemake_storage_plugin_empty"
    plugin.mkdir()
    shutil.copy(Path(__file__).with_name("empty_storage.py"), plugin / "__init__.py")
    where = ("--default-storage-provider", "empty", "--default-storage-prefix", "bucket")
    try:  # in a process of its own, which looks for plug-ins anew
        done = blank.run(sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *where)
    finally:
        shutil.rmtree(plugin)
    assert jobs_in(done.stdout) == blank.planned("--cores", "1")


def test_an_unknown_key_stops_the_plan_and_names_the_nearest(blank):
    with blank.configured(pretrain={"camlm": {"stepps": 3}}):
        done = blank.run("snakemake", "--dry-run", "--cores", "1", check=False)
    assert done.returncode != 0
    assert "pretrain.camlm.steps" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_the_workflow_is_lint_free(blank):
    blank.run("snakemake", "--lint")


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_profiles_name_existing_rules_and_options(name, workflow):
    from snakemake.cli import get_argument_parser

    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    options = {
        word.lstrip("-") for a in get_argument_parser()._actions for word in a.option_strings
    }
    assert profile.keys() <= options
    rules = {rule.name for rule in workflow.rules}
    assert profile.get("set-resources", {}).keys() <= rules
    groups = {word.partition("=")[0] for word in profile.get("group-components", [])}
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert groups in (set(), set(re.findall(r'^ +group\("(\w+)"\)$', text, re.M)))


def test_the_pod_fits_the_image_and_snakemake():
    from snakemake.cli import get_argument_parser

    image = (ROOT / "envs/Containerfile").read_text()
    claim, job = yaml.safe_load_all((ROOT / "profiles/kubernetes/job.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in image
    assert f"\nWORKDIR {container['volumeMounts'][0]['mountPath']}\n" in image
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    command = container["args"][-1]
    for variable in container["env"]:
        assert f"${variable['name']}" in command
        command = command.replace(f"${variable['name']}", "8")
    _, _, words = command.partition("exec snakemake ")
    called = get_argument_parser().parse_args(shlex.split(words))
    assert called.targets == ["all"] and called.cores == 8


def test_checksums_decide_in_the_default_profile():
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    # Above the default run's largest file, the download of 68 MB; below the shards of a large
    # corpus, which Snakemake's one process would read as often as they have readers and outputs.
    assert profile["max-checksum-file-size"] == "1GB" and profile["rerun-incomplete"]
