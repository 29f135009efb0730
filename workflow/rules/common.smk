# What the rules share: the checked configuration, the jobs it asks for, and how a job is called.
import os
import re
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from ernie_m.config.load import load
from ernie_m.errors import UserError
from ernie_m.lineage.digest import code_digest
from ernie_m.lineage.slices import seed_of, settings_text
from ernie_m.xtreme.catalogue import TASKS

try:
    CONFIG = load(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

DATASETS = CONFIG.corpora.rows()
LANGUAGES = list(CONFIG.corpora.languages)
PAIRS = list(CONFIG.corpora.pairs)
CORPORA = [f"mono-{code}" for code in LANGUAGES] + [
    f"parallel-{pair}" for pair in PAIRS
]
SHARDS = [f"train-{k:05d}.safetensors" for k in range(CONFIG.tokenizer.encode.shards)]
SESSION = Path("work/tracking", f"{CONFIG.run}.json")

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated,
# and a job finds the tracking session of this invocation, if there is one.
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
    ERNIE_M_TRACKING=str(SESSION),
)


pathvars:
    results=f"results/{CONFIG.run}",
    logs=f"results/{CONFIG.run}/logs",
    benchmarks=f"results/{CONFIG.run}/benchmarks",


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    language="|".join(map(re.escape, LANGUAGES)),
    corpus="|".join(map(re.escape, CORPORA)),
    variant="|".join(map(re.escape, CONFIG.arms)),
    task="|".join(map(re.escape, CONFIG.xtreme.tasks)),
    stage="initialise|camlm|btmlm",
    chunk="[0-9]+",
    seed="[0-9]+",


def command(module, instance="", inputs="", outputs="", seed=False):
    """Shell command of a stage: the flags of `ernie_m.job`; its output is shown and logged."""
    words = [f"python -m {module}"]
    words += [f"--instance {instance}"] if instance else []
    words += ["--settings {params.settings:q}", "--threads {threads}"]
    words += ["--seed {params.seed}"] if seed else []
    words += [f"--input {name} {{input.{name}:q}}" for name in inputs.split()]
    words += [f"--output {name} {{output.{name}:q}}" for name in outputs.split()]
    return " ".join([*words, "--record {output.record:q} 2>&1 | tee {log:q}"])


def settings(stage, instance=""):
    """What a job is told of the configuration: the keys that its stage uses, and no others."""
    return lambda wildcards: settings_text(CONFIG, stage, instance.format(**wildcards))


def seed(stage, instance=""):
    """The seed of a job."""
    return lambda wildcards: seed_of(CONFIG, stage, instance.format(**wildcards))


def made_by(arm, stage):
    """The first arm with the same settings up to a stage: what arms have in common is done once."""

    def upto(name):
        one = CONFIG.arm(name)
        steps = {
            "initialise": one.model,
            "camlm": one.pretrain.camlm,
            "backtranslate": one.pretrain.backtranslate,
            "btmlm": one.pretrain.btmlm,
        }
        return list(steps.values())[: list(steps).index(stage) + 1]

    return next(name for name in CONFIG.arms if upto(name) == upto(arm))


def uses_pseudo(arm):
    """Whether an arm's second stage trains on back-translated sentences."""
    return CONFIG.arm(arm).pretrain.btmlm.objectives.btmlm > 0


def trained_arms(stage):
    """The arms for which a stage of pre-training is run."""
    arms = [arm for arm in CONFIG.arms if stage != "backtranslate" or uses_pseudo(arm)]
    return list(dict.fromkeys(made_by(arm, stage) for arm in arms))


def checkpoint(arm, stage):
    """The encoder that an arm has after a stage of pre-training."""
    return f"<results>/pretrain_{stage}/{made_by(arm, stage)}/model.safetensors"


def training_threads(wildcards, stage):
    """The threads of a training, which are a setting because they reach its last bits."""
    return getattr(CONFIG.arm(wildcards.variant).pretrain, stage).num_threads


def pseudo(arm):
    """The back-translated sentences that an arm trains on; none when it has no use for them."""
    maker = made_by(arm, "backtranslate")
    chunks = (
        range(CONFIG.arm(maker).pretrain.backtranslate.chunks)
        if uses_pseudo(arm)
        else []
    )
    return [
        f"<results>/pretrain_backtranslate/{maker}/{k}/pseudo.safetensors"
        for k in chunks
    ]


def extracts(language):
    """The extracted rows of a language, from every dataset that has it."""
    return [
        f"<results>/corpora_extract/{name}/{language}/rows.parquet"
        for name, row in DATASETS.items()
        if language in row.languages
    ]


def example_names(task, *splits):
    """Names of the example files of a task's splits."""
    by_split = TASKS[task].files(LANGUAGES)
    return [name for split in splits for name in by_split[split]]


def examples(task, *splits):
    """The example files of a task's splits."""
    return [
        f"<results>/xtreme_prepare/{task}/{name}"
        for name in example_names(task, *splits)
    ]


def predictions(task):
    """Names of the files with a task's predictions, one a language."""
    return [
        name.replace("test-", "predictions-")
        for name in TASKS[task].files(LANGUAGES)["test"]
    ]


def scored_model(wildcards):
    """What predicts: the fine-tuned model, or the pre-trained one as it is."""
    if TASKS[wildcards.task].trained:
        return rules.xtreme_finetune.output.model.format(**wildcards)
    return checkpoint(wildcards.variant, wildcards.stage)


def evaluations():
    """Every (task, arm, stage, seed) that is scored; nothing is scored twice."""
    models = dict.fromkeys(
        (made_by(arm, stage), stage)
        for arm in CONFIG.arms
        for stage in CONFIG.xtreme.stages
    )
    return [
        f"{task}/{arm}/{stage}/seed{seed}"
        for task in CONFIG.xtreme.tasks
        for arm, stage in models
        for seed in CONFIG.xtreme.seeds[: None if TASKS[task].trained else 1]
    ]


# Every job that this configuration asks of a stage.
JOBS = {
    "corpora_download": list(DATASETS),
    "corpora_extract": [
        f"{name}/{code}"
        for name, row in DATASETS.items()
        for code in LANGUAGES
        if code in row.languages
    ],
    "corpora_clean": LANGUAGES,
    "corpora_split": [""],
    "tokenizer_train": [""],
    "tokenizer_encode": CORPORA,
    "pretrain_initialise": trained_arms("initialise"),
    "pretrain_camlm": trained_arms("camlm"),
    "pretrain_backtranslate": [
        f"{arm}/{chunk}"
        for arm in trained_arms("backtranslate")
        for chunk in range(CONFIG.arm(arm).pretrain.backtranslate.chunks)
    ],
    "pretrain_btmlm": trained_arms("btmlm"),
    "xtreme_prepare": CONFIG.xtreme.tasks,
    "xtreme_finetune": [
        job for job in evaluations() if TASKS[job.split("/")[0]].trained
    ],
    "xtreme_predict": evaluations(),
    "xtreme_score": evaluations(),
    "xtreme_baseline": CONFIG.xtreme.tasks,
}

WITH_STATS = ["corpora_clean", "corpora_split", "tokenizer_train"]
WITH_STATS += ["pretrain_backtranslate", "xtreme_prepare"]


def files(stage, *names):
    """The named files of every job of a stage."""
    shared = stage == "corpora_download"
    root = "results" if shared else "<results>"
    return [
        "/".join(filter(None, (root, stage, job, name)))
        for job in JOBS[stage]
        for name in names
    ]


def track(verb, *flags):
    """Tell the tracking store what begins or ends; a failure is shown and changes no result."""
    if workflow.touch:
        return
    call = [
        sys.executable,
        "-m",
        f"ernie_m.tracking.{verb}",
        "--run",
        CONFIG.run,
        *flags,
    ]
    if subprocess.run(call, check=False).returncode:
        print(f"WARNING: tracking failed: {' '.join(call)}", file=sys.stderr)


def start_tracking():
    """Open the run of this invocation, with the whole configuration as it was resolved."""
    path = SESSION.with_suffix(".config.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.model_dump_json(indent=1) + "\n", encoding="utf-8")
    uri, experiment = CONFIG.tracking.uri, CONFIG.tracking.experiment
    track("start", "--uri", uri, "--experiment", experiment, "--config", str(path))
