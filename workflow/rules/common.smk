# What the rules share: the checked configuration, paths, and how a job is called.
import atexit
import gc
import inspect
import os
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The package beside this file, also where another workflow imports it: for the rules as for the
# jobs, whatever is installed.
SOURCE_FOLDER = os.path.abspath(f"{workflow.current_basedir}/../../src")
sys.path.insert(0, SOURCE_FOLDER)

from ernie_m.catalogue.checkpoints import WEIGHTS, files_of
from ernie_m.catalogue.tasks import TASKS
from ernie_m.checkpoints.forms import files_of_form
from ernie_m.config.load import load
from ernie_m.errors import UserError
from ernie_m.finished import forget
from ernie_m.locks import begin_invocation, check_invocation
from ernie_m.pipeline import plan
from ernie_m.pipeline.stages import (
    STAGES,
    jobs,
    module_of,
    seed_of,
    settings_text,
    stages_with,
)
from ernie_m.planning.estimate import Throughputs, parameters, pieces
from ernie_m.records.digest import code_digest
from ernie_m.records.graph import SHARED, result_with

# A plan is made of millions of objects that live to its end. To look for garbage among them at every
# seven hundredth one takes a seventh of its time, and once more at the end a tenth, and finds little.
gc.freeze()
gc.set_threshold(100_000)
atexit.register(gc.freeze)


def files_found(config):
    """The files that are here of the checkpoint that `init` names, a folder or the digest of its
    weights; those under the folder of the workflow by relative paths, as the rules have them.
    """
    folder = Path(config.init)
    if config.init_digest:
        weights = Path(result_with(Path(), config.init_digest, but=config.run))
        if weights.name not in WEIGHTS:
            raise UserError(
                f"`init` is the digest of {weights}, which holds no weights.",
                f"Give that of a file called {' or '.join(WEIGHTS)}.",
            )
        folder = weights.parent
    here = Path.cwd()
    return [
        str(file.relative_to(here) if file.is_relative_to(here) else file)
        for file in files_of(folder)
    ]


try:
    if not workflow.is_main_process:
        check_invocation()  # before Snakemake removes outputs that are another's by now
    CONFIG = load(config)
    FOUND = files_found(CONFIG) if CONFIG.init and not CONFIG.checkpoint else []
except UserError as error:
    raise WorkflowError(str(error)) from None

DATASETS = CONFIG.corpora.rows()
LANGUAGES = list(CONFIG.corpora.languages)
PAIRS = list(CONFIG.corpora.pairs)
# Folders of what the rules make; `init` may name another.
MADE = ("<results>/", "results/")
# What n-way parallel rows are dealt to: training corpora, and rows for the evaluation tasks.
DEALT_CORPORA = [name for name in CONFIG.corpora.names if CONFIG.corpora.is_dealt(name)]
DEALT_ROWS = [
    f"<results>/corpora_deal/rows-{part}-{language}.parquet"
    for part in ("train", "valid", "test")
    for language in CONFIG.corpora.dealt_languages
]
VOCABULARIES = [name for name, row in DATASETS.items() if row.content == "vocabulary"]
SOURCES = CONFIG.xtreme.sources()
JOBS = jobs(CONFIG)
N_WAY_ROWS = [
    f"<results>/corpora_filter/{job}/rows.arrow"
    for job in JOBS["corpora_filter"]
    if job.startswith("rows-")
]
# Those whose records the report and the export collect.
RECORDED = [stage for stage in JOBS if not STAGES[stage].collects]
LAST = plan.last_stage(CONFIG)
# The part of an instance that says whose scores they are, and in the path of what is made of them.
OF_MODEL = "{variant}/{checkpoint}/seed{seed}"
# Of the job that exports, for any variant.
EXPORT = os.path.join(os.path.dirname(*JOBS["checkpoints_export"]), "{variant}")
SESSION = Path("work/tracking", f"{CONFIG.run}.json")

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated,
# it finds the package also in an environment made by a deployment plug-in,
# and a job finds the tracking session of this invocation, if there is one.
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
    PYTHONPATH=os.pathsep.join(
        filter(None, [SOURCE_FOLDER, os.environ.get("PYTHONPATH")])
    ),
    ERNIE_M_TRACKING=str(SESSION),
    ERNIE_M_REQUIRE_GPU=str(int(CONFIG.hardware.require_gpu)),
    ERNIE_M_SAVING=CONFIG.saving.model_dump_json(),
    # A training step makes and frees tables of scores of some 16 MB. glibc would give their memory back
    # to the system each time and take it again page by page, which is a tenth of a step.
    MALLOC_MMAP_THRESHOLD_=str(2**30),
    MALLOC_TRIM_THRESHOLD_=str(2**32),
)


pathvars:
    results=f"results/{CONFIG.run}",
    logs=f"results/{CONFIG.run}/logs",
    benchmarks=f"results/{CONFIG.run}/benchmarks",


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    language="|".join(map(re.escape, [*LANGUAGES, *PAIRS])),
    corpus="|".join(
        dict.fromkeys(map(re.escape, CONFIG.corpora.filtered + CONFIG.corpora.names))
    ),
    shard=f"[0-9]+|{plan.DEALT}",
    variant="|".join(map(re.escape, CONFIG.variant_names)),
    task="|".join(map(re.escape, CONFIG.xtreme.tasks)),
    checkpoint="initialise|camlm|btmlm",
    chunk="[0-9]+",
    seed="[0-9]+",


def braced(paths):
    """Paths as words for bash, what neighbours share said once: `results/{a/{0,1},b}/record.json`.
    A whole command is one argument of bash, of which Linux takes 128 KiB."""
    folders = [os.path.dirname(path) for path in paths]
    names = {os.path.basename(path) for path in paths}
    if len(paths) > 1 and len(names) == 1 and all(folders):
        return f"{braced(folders)}/{shlex.quote(*names)}"
    words = []
    heads = (path.partition("/") for path in paths)
    for (first, slash), group in groupby(heads, itemgetter(0, 1)):
        rest = [after for _, _, after in group]
        word = shlex.quote(first)
        words += [f"{word}/{braced(rest)}"] if slash else [word] * len(rest)
    return f"{{{','.join(words)}}}" if len(words) > 1 else "".join(words)


# Jobs of one stage read the same long lists.
braced_once = lru_cache(braced)


def listed(name):
    """The input files called `name`, where they grow with the number of shards or jobs."""
    return lambda wildcards, input: braced_once(tuple(map(str, input[name])))


def noted(function):
    """A function with its parameters noted: Snakemake asks for them several times a job, and to find
    them takes longer than most of these functions do."""
    function.__signature__ = inspect.signature(function)
    return function


def code(stage):
    """The digest of the code that a stage's jobs can run; only asked for where there are any, for all
    digests take a second, and on a cluster every job reads these rules.
    """
    return noted(lambda wildcards: code_digest(module_of(stage)))


def command(stage, inputs="", lists="", outputs="", instance=None, fixed=""):
    """Shell command of a stage: the flags of `ernie_m.job`; its output is shown and logged.
    `lists` are inputs that are also params, made by `listed`; the part of an instance that is
    `fixed` in a rule is a param and no wildcard."""
    instance = (instance or STAGES[stage].wildcards).replace("{", "{wildcards.")
    instance = instance.replace(f"{{wildcards.{fixed}}}", f"{{params.{fixed}}}")
    words = [f"python -m {module_of(stage)}"]
    words += [f"--instance {instance}"] if instance else []
    words += ["--settings {params.settings:q}", "--threads {threads}"]
    words += ["--seed {params.seed}"] if STAGES[stage].seed else []
    words += [f"--input {name} {{input.{name}:q}}" for name in inputs.split()]
    words += [f"--input {name} {{params.{name}}}" for name in lists.split()]
    words += [f"--output {name} {{output.{name}:q}}" for name in outputs.split()]
    # Where a scheduler signals all processes at once, shell and `tee` outlive the stage, which saves.
    words = ["trap : TERM;", *words, "--record {output.record:q} 2>&1"]
    return " ".join([*words, "| (trap '' TERM; exec tee {log:q})"])


def settings(stage, instance=None):
    """A job's settings: the keys that its stage uses, and no others."""
    pattern = instance or STAGES[stage].wildcards
    return noted(
        lambda wildcards: settings_text(CONFIG, stage, pattern.format(**wildcards))
    )


def seed(stage, instance=None):
    """The seed of a job."""
    pattern = instance or STAGES[stage].wildcards
    return noted(lambda wildcards: seed_of(CONFIG, stage, pattern.format(**wildcards)))


def files(stage, *names):
    """The named files of every job of a stage."""
    root = "results" if stage in SHARED else "<results>"
    return [
        "/".join(filter(None, (root, stage, job, name)))
        for job in JOBS[stage]
        for name in names
    ]


def source():
    """The files of the checkpoint that the models start from, if there is one: those of its row of
    the registry, or those that are here."""
    if CONFIG.checkpoint:
        return files("checkpoints_download", *CONFIG.checkpoint.names)
    return FOUND


def undated(files):
    """Input files (or a function that names them) of which only the bytes count, not the dates.
    Snakemake compares bytes up to a size and dates above it; `sums` stand in for larger files.
    """
    if callable(files):
        return ancient(files)
    paths = [files] if isinstance(files, str) else files
    return [ancient(str(path)) if path.startswith(MADE) else path for path in paths]


def sums(files):
    """The `SHA256SUMS` beside some files (or a function that names them), written by the jobs that
    made them: small, and equal wherever and whenever the bytes are."""
    if callable(files):
        return lambda wildcards: sums(files(wildcards))
    paths = [files] if isinstance(files, str) else files
    made = (os.path.dirname(path) for path in paths if path.startswith(MADE))
    return [f"{folder}/SHA256SUMS" for folder in dict.fromkeys(made)]


def extracts(corpus):
    """The extracted rows of a corpus, from every dataset that has it."""
    return [
        f"<results>/corpora_extract/{job}/rows.parquet"
        for job in plan.extracts(CONFIG, corpus)
    ]


def kept_rows(corpus, shard, name="rows.arrow"):
    """What the filters left of a shard, or what was dealt to its corpus."""
    if shard == plan.DEALT:
        return f"<results>/corpora_deal/{corpus}-{name}"
    return f"<results>/corpora_filter/{corpus}/{shard}/{name}"


def kept(name):
    """The named file of every shard of a corpus; dealt rows are compared as rows, not as documents."""
    return lambda wildcards: [
        kept_rows(*job.split("/"), name)
        for job in plan.shards_of(CONFIG, wildcards.corpus)
        if not (job.endswith(plan.DEALT) and name == "documents.arrow")
    ]


def ready_vocabulary():
    """The SentencePiece model that the registry names; a checkpoint brings one of its own."""
    if CONFIG.init:
        return []
    return [f"results/corpora_download/{name}/original" for name in VOCABULARIES]


def vocabulary_shards():
    """The text that a checkpoint's vocabulary is cut down to."""
    trimmed = CONFIG.init and CONFIG.tokenizer.train.trim
    return files("corpora_select", "train.parquet") if trimmed else []


def encoded(part):
    """The encoded files of all corpora for training or validation."""
    return files("tokenizer_pack", f"{part}.safetensors")


def monolingual(part):
    """The encoded monolingual text of all languages for training or validation."""
    return [file for file in encoded(part) if "mono-" in file]


def checkpoint(variant, name):
    """The encoder that a variant has after a stage of pre-training; the first is made or adopted."""
    maker = plan.made_by(CONFIG, variant, name)
    return f"<results>/{plan.maker(CONFIG, name)}/{maker}/model.safetensors"


# A training's threads, on each of its nodes, are a setting, because they reach its last bits.
TRAINING_THREADS = CONFIG.hardware.num_threads * CONFIG.hardware.processes_per_node


# Both parts of a shard have their digests in one file.
ENCODED_SUMS = sums(encoded("train"))


def training_sums(variant, name, *more):
    """The digests of the encoder that a variant has after a stage, of all text, and of more files."""
    return sums([checkpoint(variant, name), *more]) + ENCODED_SUMS


def drawn(variant):
    """The sentences that a variant's stage 2 reads with pseudo tokens."""
    return f"<results>/pretrain_draw/{plan.drawn_for(CONFIG, variant)}/sentences.safetensors"


def pseudo(variant):
    """The back-translated sentences that a variant trains on."""
    jobs = plan.chunks(CONFIG, variant)
    return [
        f"<results>/pretrain_backtranslate/{job}/pseudo.safetensors" for job in jobs
    ]


def sources_of(task):
    """The files that a published task's examples are read from."""
    return [
        f"results/xtreme_download/{source}/{name}"
        for source in CONFIG.xtreme.sources_of(task)
        for name in SOURCES[source].files
    ]


def example_names(task, *splits, training="english"):
    """Names of the example files of a task's splits."""
    by_split = TASKS[task].files(plan.task_languages(CONFIG, task), training)
    return [name for split in splits for name in by_split[split]]


def examples(task, *splits, training="english"):
    """The example files of a task's splits."""
    return [
        f"<results>/xtreme_prepare/{task}/{name}"
        for name in example_names(task, *splits, training=training)
    ]


def training_examples(wildcards):
    """What a variant is fine-tuned on: a task's examples in English, or in all languages."""
    how = CONFIG.variant(wildcards.variant).xtreme.training_for(wildcards.task)
    return examples(wildcards.task, "train", training=how)


def predictions(task):
    """Names of the files with a task's predictions, one a language."""
    return [
        name.replace("test-", "predictions-") for name in example_names(task, "test")
    ]


def scored_model(task=None):
    """What predicts for a task, else for the wildcard's: a fine-tuned model, or the pre-trained one
    as it is."""

    def found(wildcards):
        own, name = CONFIG.variant(wildcards.variant).xtreme, task or wildcards.task
        job = f"{wildcards.checkpoint}/seed{wildcards.seed}/model.safetensors"
        if tuned := own.finetuned_on(name):
            variant = plan.scored_as(
                CONFIG, tuned, wildcards.variant, wildcards.checkpoint
            )
            return f"<results>/xtreme_finetune/{tuned}/{variant}/{job}"
        if own.aligned(name):
            return f"<results>/xtreme_align/{wildcards.variant}/{job}"
        return checkpoint(wildcards.variant, wildcards.checkpoint)

    return found


def size_mb(input):
    """Size of a job's input files in MB, not known (`FileNotFoundError`) while one is missing. The
    first is looked for before the others, for Snakemake looks for all of hundreds, and slowly.
    """
    os.stat(input[0])
    return input.size_mb


THROUGHPUTS = Throughputs.read()
# On a cluster two processes of Snakemake run in a job's memory (measured: 229 and 415 MB).
ENGINE_MB = 650


def memory(stage):
    """Memory in MB that a job asks for on each node: Snakemake's, and in each process of a training
    what the stage holds beside its inputs and the weights, and these as often as it holds them.
    """
    own = STAGES[stage]
    beside = own.beside(CONFIG) if callable(own.beside) else own.beside
    processes = CONFIG.hardware.processes_per_node if "hardware" in own.keys else 1

    @noted
    def asked(wildcards, input):
        room = beside + int(own.inputs * size_mb(input)) if own.inputs else beside
        if own.models:
            model = CONFIG.variant(wildcards.variant).model
            weights = sum(parameters(model, pieces(CONFIG))) * 4
            room += own.models * weights // 1_000_000
        return ENGINE_MB + processes * room

    return asked if own.inputs or own.models else ENGINE_MB + beside


def minutes(stage):
    """How long a job may take: four times what the measured throughput says of its input, and at
    least what its stage has."""
    least = STAGES[stage].minutes

    @noted
    def asked(wildcards, input):
        # Each shard is given the whole corpus, and reads its part of it.
        parts = (
            CONFIG.corpora.shard_count(wildcards.corpus)
            if stage == "corpora_filter"
            else 1
        )
        read = size_mb(input) * 1e6 / parts
        return max(least, round(4 * THROUGHPUTS.minutes(stage, read)))

    return asked if stage in THROUGHPUTS.bytes_read else least


def needs(stage):
    """The resources of a stage's jobs: memory, minutes, GPUs, and the nodes of a training. GPUs and
    tasks are counted over all nodes; with `mpi` the stage starts its own processes."""
    own, hardware = STAGES[stage], CONFIG.hardware
    trains = "hardware" in own.keys
    asked = {"mem_mb": memory(stage), "runtime": minutes(stage)}
    if own.gpu and hardware.require_gpu:
        asked["gpu"] = hardware.processes if trains else 1
    if trains:
        # Or the scheduler may spread the GPUs over more.
        asked["nodes"] = hardware.nodes
        # Not of this machine's cores, as `threads` is.
        asked["cpus_per_task"] = TRAINING_THREADS
    if trains and hardware.nodes > 1:
        each = hardware.processes_per_node
        asked |= {"mpi": "srun", "cpus_per_task": hardware.num_threads}
        asked |= {"tasks_per_node": each} if each > 1 else {"tasks": hardware.nodes}
        # Or the executor takes the tasks for those of each GPU, which excludes those of a node.
        asked |= {"tasks_per_gpu": 0} if hardware.require_gpu else {}
    return asked


def group(stage):
    """The group of a stage's jobs, where the profile puts such groups together. On a GPU, which each
    job asks for, it has one to itself."""
    on_gpu = CONFIG.hardware.require_gpu and STAGES[stage].gpu

    @noted
    def asked(wildcards):  # once a profile is known
        together = workflow.group_settings.group_components
        return stage if stage in together and not on_gpu else None

    return asked


def begin():
    """Let no other call fill this run at the same time, nor delete what jobs of this one write. Of
    an earlier one that was killed, take away what its jobs left and is in place."""
    try:
        begin_invocation(CONFIG.run)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    forget_seen(lambda job: not workflow.dag.needrun(job))


def end(status):
    """Take away what jobs whose end was seen have left; end tracking."""
    dag = workflow.dag
    forget_seen(lambda job: dag.finished(job) or not dag.needrun(job))
    if SESSION.is_file():
        track("finish", "--status", status)


def forget_seen(whole):
    """Take away what jobs have left for a later call whose results are ``whole``."""
    records = (job.output.get("record") for job in workflow.dag.jobs if whole(job))
    forget(CONFIG.run, filter(None, records))


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
    if not CONFIG.tracking.uri:
        # Of a killed call; without a session jobs track nothing.
        SESSION.unlink(missing_ok=True)
        return
    path = SESSION.with_suffix(".config.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.model_dump_json(indent=1) + "\n", encoding="utf-8")
    uri, experiment = CONFIG.tracking.uri, CONFIG.tracking.experiment
    track("start", "--uri", uri, "--experiment", experiment, "--config", str(path))
