"""The stages, in the order of the pipeline: an entry has all facts about one.

Rules, plan, audit, tracking and ``dvc.yaml`` are views of this table. With too many settings, a
new word in the report's title retrains a model; with too few, a stale result goes unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ernie_m.config.base import Section
from ernie_m.config.claims import JudgeSettings
from ernie_m.config.corpora import EvalHashesSettings, SelectSettings
from ernie_m.config.export import ExportSettings
from ernie_m.config.model import InitialiseSettings
from ernie_m.config.pretrain import BacktranslateJob, DrawJob, StageJob
from ernie_m.config.root import Config
from ernie_m.config.tokenizer import PackSettings, QuotaSettings, Rows, SampleSettings
from ernie_m.config.xtreme import AlignJob, PredictSettings, TaskName
from ernie_m.corpus import Corpus
from ernie_m.pipeline import plan
from ernie_m.pipeline.plan import DEALT
from ernie_m.replicates import nested


@dataclass(frozen=True)
class Stage:
    """One stage. Its name leads: rule, module, folder, log and benchmark have it too.

    ``jobs`` are the instances that a configuration asks for, ``[""]`` for a stage of one job;
    ``instance`` is what their parts are. ``settings`` makes those of a job from the configuration
    and these parts; ``keys`` are where they are set: sections or single keys, and the keys that lie
    over them; ``derived`` are the settings that no key has. ``seed`` is of the run, or the last
    part of the instance. ``milestone`` is the target, and the stage of DVC, that it belongs to;
    ``reads`` are the stages that it reads files of in the default run, ``may_read`` others that it
    may read files of. Of each in ``needs`` it reads files in any run, or of one of several:
    ``corpora_filter|corpora_deal``. Of those in ``every``, it reads every job's, or those whose
    names begin so: ``tokenizer_pack/mono-``. The rules say which files.
    ``beside`` is memory in MB beside ``inputs`` times a job's input files and ``models`` times the
    weights, in each of the processes of a training; ``minutes`` is how long a job may take, or more
    where the time grows with its text.
    """

    milestone: str
    jobs: Callable[[Config], list[str]]
    settings: Callable[..., Section]
    keys: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    instance: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    every: tuple[str, ...] = ()
    seed: Literal["run", "instance"] | None = None
    minutes: int = 30
    beside: Callable[[Config], int] | int = 500
    inputs: int = 0
    models: int = 0
    gpu: bool = False  # computes with a model
    stats: bool = False  # the report reads its stats.json
    shared: bool = False  # its results are of all runs
    starts: bool = False  # reads the files of the checkpoint that `init` names
    collects: bool = False  # reads the records of all stages but those that collect them too
    divides: bool = False  # keeps what is tested out of training
    tests: bool = False  # may read test files: nothing is chosen by what it makes

    def parts(self, instance: str) -> dict[str, str]:
        """The parts of an instance by name: ``{"corpus": "mono-de", "shard": "0"}``."""
        return dict(zip(self.instance, instance.split("/"), strict=False))

    @property
    def wildcards(self) -> str:
        """An instance with names for its parts, ``{corpus}/{shard}``."""
        return "/".join(f"{{{name}}}" for name in self.instance).replace("{seed}", "seed{seed}")


def _part(section: Section, part: type[Section]) -> Section:
    """The keys of a section that one stage uses."""
    return part(**section.model_dump(include=set(part.model_fields)))


def _training(config: Config, variant: str, stage: str) -> StageJob:
    own = getattr(config.variant(variant).pretrain, stage)
    return StageJob(**own.model_dump(), hardware=config.hardware)


def _select(config: Config, corpus: str, _: str) -> SelectSettings:
    own, pair = config.corpora.select, Corpus.parse(corpus).text
    shares = {name: share for name, share in own.pair_shares.items() if name == pair}
    return SelectSettings(valid_share=own.valid_share, pair_shares=shares)


def _pack(config: Config, corpus: str, shard: str) -> PackSettings:
    trainings = [config.variant(variant).pretrain for variant in config.variant_names]
    return PackSettings(
        # Only some rows of a document are dealt to a corpus: they are not consecutive.
        join=Corpus.parse(corpus).is_mono and shard != DEALT,
        camlm=Rows(row_length=max(own.camlm.row_length for own in trainings)),
        btmlm=Rows(row_length=max(own.btmlm.row_length for own in trainings)),
    )


def _initialise(config: Config, variant: str) -> InitialiseSettings:
    return InitialiseSettings(
        **config.variant(variant).model.model_dump(), languages=config.corpora.languages
    )


def _draw(config: Config, variant: str) -> DrawJob:
    return config.variant(variant).draw_job(config.corpora.languages, config.corpora.pairs)


def _backtranslate(config: Config, variant: str, *_: str) -> BacktranslateJob:
    return config.variant(variant).backtranslate_job(config.corpora.pairs)


def _text(jobs: Callable[[Config], list[str]]) -> Callable[[Config], list[str]]:
    """Jobs that are run only where the run needs text."""
    return lambda config: jobs(config) if plan.reads_text(config)["at all"] else []


def _drawn_mb(config: Config) -> int:
    """Most memory in MB for a few copies of the numbers of the sentences that stage 2 draws
    (docs/engine.md)."""
    stages = [config.variant(name).pretrain.btmlm for name in config.variant_names]
    drawn = (own.steps * own.batch_tokens / own.row_length * 32 for own in stages)
    return int(max(drawn) / 1_000_000)


def _generated_mb(config: Config) -> int:
    """The same for the sentences and pseudo tokens of a chunk."""

    def generated(variant: str) -> float:
        own = config.variant(variant).pretrain
        shares, ratio = own.btmlm.objectives.model_dump(), own.backtranslate.placeholder_ratio
        tokens = own.btmlm.steps * own.btmlm.batch_tokens
        pseudo = tokens * shares["btmlm"] / sum(shares.values()) * ratio / (1 + ratio)
        return (tokens / own.btmlm.row_length * 32 + pseudo * 8) / own.backtranslate.chunks

    return int(max(map(generated, config.variant_names)) / 1_000_000)


def _sampled_lines(config: Config) -> int:
    return config.tokenizer.train.sample_lines if plan.sampled(config) else 0


def _predict(config: Config, task: TaskName, variant: str, *_: str) -> PredictSettings:
    own = config.variant(variant)
    return own.xtreme.predict_for(task, own.model.layers)


def _align(config: Config, variant: str, *_: str) -> AlignJob:
    own = config.variant(variant)
    return own.xtreme.align_job(own.model.layers)


def _judge(config: Config) -> JudgeSettings:
    compared = plan.comparisons(config)
    rows = config.claims.rows()
    claims = dict.fromkeys(own.claim for own in compared)
    return JudgeSettings(
        confidence=config.claims.confidence,
        claims=tuple(rows[name] for name in claims),
        comparisons=tuple(compared),
    )


REGISTRY = "corpora.registry"
TASK_ROWS = "xtreme.registry"  # of the published tasks' files
CHECKPOINT_ROWS = "checkpoints.registry"
# Keys whose rows are the settings of a download.
REGISTRIES = (REGISTRY, TASK_ROWS, CHECKPOINT_ROWS)
_OF_MODEL = ("variant", "checkpoint", "seed")
_OF_TASK = ("task", *_OF_MODEL)
_ENCODERS = ("pretrain_initialise", "pretrain_camlm", "pretrain_btmlm")
_ENCODER = "|".join((*_ENCODERS, "pretrain_adopt"))
_MODEL = f"{_ENCODER}|xtreme_align|xtreme_finetune"
_TEXT = "corpora_filter|corpora_deal"

# What a claim is judged by.
_JUDGED = (
    *("corpora_select", "tokenizer_train", "pretrain_initialise", "pretrain_camlm"),
    *("pretrain_backtranslate", "pretrain_btmlm", "xtreme_score"),
)

STAGES: dict[str, Stage] = {
    "checkpoints_download": Stage(
        milestone="camlm",
        jobs=lambda config: [config.checkpoint.id] if config.checkpoint else [],
        instance=("weights",),
        settings=lambda config, checkpoint: config.checkpoints.rows()[checkpoint],
        keys=(CHECKPOINT_ROWS,),
        minutes=720,
        shared=True,
    ),
    "corpora_download": Stage(
        milestone="corpora",
        jobs=plan.downloads,
        instance=("dataset",),
        settings=lambda config, dataset: config.corpora.rows()[dataset],
        keys=(REGISTRY, "corpora.datasets"),
        # CC-100 in English has 80 GB, and unpacks to 300: hours.
        minutes=1440,
        shared=True,
    ),
    "corpora_extract": Stage(
        milestone="corpora",
        jobs=_text(plan.extracts),
        instance=("dataset", "language"),
        settings=lambda config, dataset, _: config.corpora.rows()[dataset].extract_settings(
            config.corpora
        ),
        keys=(REGISTRY, "corpora.max_bad_lines"),
        reads=("corpora_download",),
        needs=("corpora_download",),
        beside=1000,
    ),
    "corpora_filter": Stage(
        milestone="corpora",
        jobs=_text(plan.filtered),
        instance=("corpus", "shard"),
        settings=lambda config, corpus, _: config.corpora.filter_settings(corpus),
        keys=("corpora.filter", "corpora.dedup"),
        derived=("shards",),  # follows from the corpus's rows of the registry
        reads=("corpora_extract",),
        needs=("corpora_extract",),
        beside=1500,
        stats=True,
    ),
    "corpora_deal": Stage(
        milestone="corpora",
        jobs=_text(lambda config: [""] if config.corpora.dealt_languages else []),
        settings=lambda config: config.corpora.deal_settings(),
        keys=(
            *("corpora.deal", "corpora.dedup", "corpora.filter", "corpora.select"),
            *("corpora.languages", "corpora.pairs"),
        ),
        reads=("corpora_filter",),
        needs=("corpora_filter",),
        seed="run",
        minutes=120,
        beside=3000,
        stats=True,
        divides=True,
    ),
    "corpora_eval_hashes": Stage(
        milestone="corpora",
        jobs=_text(plan.eval_hashes),
        settings=lambda config: _part(config.corpora.select, EvalHashesSettings),
        keys=("corpora.select",),
        reads=("corpora_deal",),
        may_read=("xtreme_prepare",),
        beside=1500,
    ),
    "corpora_dedup": Stage(
        milestone="corpora",
        jobs=_text(lambda config: config.corpora.names),
        instance=("corpus",),
        settings=lambda config, corpus: config.corpora.dedup,
        keys=("corpora.dedup",),
        reads=("corpora_filter", "corpora_deal"),
        needs=(_TEXT,),
        beside=1500,
    ),
    "corpora_select": Stage(
        milestone="corpora",
        jobs=_text(plan.shards),
        instance=("corpus", "shard"),
        settings=_select,
        keys=("corpora.select",),
        reads=("corpora_filter", "corpora_deal", "corpora_dedup", "corpora_eval_hashes"),
        needs=(_TEXT,),
        seed="run",
        beside=1500,
        stats=True,
        divides=True,
    ),
    "tokenizer_quotas": Stage(
        milestone="tokenizer",
        jobs=_text(lambda config: [""] if plan.sampled(config) else []),
        settings=lambda config: _part(config.tokenizer.train, QuotaSettings),
        keys=("tokenizer.train",),
        reads=("corpora_select",),
        every=("corpora_select",),
    ),
    "tokenizer_sample": Stage(
        milestone="tokenizer",
        jobs=_text(plan.sampled),
        instance=("corpus", "shard"),
        settings=lambda config, corpus, shard: SampleSettings(),
        reads=("corpora_select", "tokenizer_quotas"),
        seed="run",
        # All lines of the sample may come from one shard.
        beside=lambda config: 500 + config.tokenizer.train.sample_lines // 500,
    ),
    "tokenizer_train": Stage(
        milestone="tokenizer",
        jobs=lambda config: [""],
        settings=lambda config: config.tokenizer.train,
        keys=("tokenizer.train",),
        reads=("tokenizer_sample", "tokenizer_quotas"),
        may_read=("corpora_select", "corpora_download", "checkpoints_download"),
        every=("tokenizer_sample",),
        seed="run",
        minutes=240,
        beside=lambda config: 4000 + _sampled_lines(config) // 200,
        stats=True,
        starts=True,
    ),
    "tokenizer_pack": Stage(
        milestone="tokenizer",
        jobs=plan.packed,
        instance=("corpus", "shard"),
        settings=_pack,
        keys=("pretrain.camlm.row_length", "pretrain.btmlm.row_length"),
        derived=("join",),  # follows from what the rows are
        reads=("corpora_select", "tokenizer_train"),
        needs=("corpora_select", "tokenizer_train"),
        beside=1500,
    ),
    "pretrain_initialise": Stage(
        milestone="camlm",
        jobs=lambda config: plan.trained_variants(config, "initialise"),
        instance=("variant",),
        settings=_initialise,
        keys=("model", "corpora.languages"),
        reads=("tokenizer_train",),
        needs=("tokenizer_train",),
        seed="run",
        beside=1000,
        models=2,
    ),
    "pretrain_adopt": Stage(
        milestone="camlm",
        jobs=lambda config: plan.trained_variants(config, "initialise") if config.init else [],
        instance=("variant",),
        settings=lambda config, variant: Section(),
        reads=("tokenizer_train", "pretrain_initialise"),
        may_read=("checkpoints_download",),
        needs=("pretrain_initialise",),
        beside=1000,
        models=3,
        starts=True,
    ),
    "pretrain_camlm": Stage(
        milestone="camlm",
        jobs=lambda config: plan.trained_variants(config, "camlm"),
        instance=("variant",),
        settings=lambda config, variant, *_: _training(config, variant, "camlm"),
        keys=("pretrain.camlm", "hardware"),
        reads=("tokenizer_pack", "pretrain_initialise"),
        may_read=("pretrain_adopt",),
        needs=("pretrain_initialise|pretrain_adopt",),
        every=("tokenizer_pack",),
        seed="run",
        # Saved, and queued again, if that is not enough.
        minutes=1440,
        beside=2000,
        models=7,
        gpu=True,
    ),
    "pretrain_draw": Stage(
        milestone="backtranslate",
        jobs=plan.draws,
        instance=("variant",),
        settings=_draw,
        keys=(
            *("pretrain.backtranslate", "pretrain.btmlm"),
            *("corpora.languages", "corpora.pairs"),
        ),
        reads=("tokenizer_pack",),
        every=("tokenizer_pack/mono-",),
        seed="run",
        minutes=720,
        beside=lambda config: 1000 + _drawn_mb(config),
    ),
    "pretrain_backtranslate": Stage(
        milestone="backtranslate",
        jobs=plan.backtranslations,
        instance=("variant", "chunk"),
        settings=_backtranslate,
        keys=("pretrain.backtranslate", "corpora.pairs"),
        reads=("pretrain_draw", "pretrain_camlm"),
        needs=("pretrain_draw", "pretrain_camlm"),
        seed="run",
        minutes=720,
        beside=lambda config: 1500 + _generated_mb(config),
        models=2,
        stats=True,
        gpu=True,
    ),
    "pretrain_btmlm": Stage(
        milestone="btmlm",
        jobs=lambda config: plan.trained_variants(config, "btmlm"),
        instance=("variant",),
        settings=lambda config, variant, *_: _training(config, variant, "btmlm"),
        keys=("pretrain.btmlm", "hardware"),
        reads=("tokenizer_pack", "pretrain_camlm", "pretrain_backtranslate"),
        needs=("pretrain_camlm",),
        every=("tokenizer_pack", "pretrain_backtranslate"),
        seed="run",
        # Saved, and queued again, if that is not enough.
        minutes=1440,
        beside=2000,
        models=7,
        gpu=True,
    ),
    "xtreme_download": Stage(
        milestone="xtreme",
        jobs=lambda config: list(config.xtreme.sources()),
        instance=("source",),
        settings=lambda config, source: config.xtreme.sources()[source],
        keys=(TASK_ROWS,),
        minutes=120,
        shared=True,
    ),
    "xtreme_prepare": Stage(
        milestone="xtreme",
        jobs=lambda config: list(config.xtreme.tasks),
        instance=("task",),
        settings=lambda config, task: config.xtreme.prepare_for(task),
        keys=("xtreme.prepare",),
        reads=("corpora_deal",),
        may_read=("xtreme_download",),
        seed="run",
        beside=1000,
        stats=True,
    ),
    "xtreme_align": Stage(
        milestone="xtreme",
        jobs=plan.aligned,
        instance=_OF_MODEL,
        settings=_align,
        keys=("xtreme.align", "xtreme.predict"),
        reads=("tokenizer_pack", "tokenizer_train", *_ENCODERS),
        may_read=("pretrain_adopt",),
        needs=(_ENCODER,),
        every=("tokenizer_pack",),
        seed="instance",
        minutes=480,
        beside=4000,
        models=7,
        gpu=True,
    ),
    "xtreme_finetune": Stage(
        milestone="xtreme",
        jobs=lambda config: plan.evaluations(config, lambda task: task.trained),
        instance=_OF_TASK,
        settings=lambda config, task, variant, *_: config.variant(variant).xtreme.finetune_for(
            task
        ),
        keys=("xtreme.finetune", "xtreme.per_task", "xtreme.recipe", "xtreme.training"),
        reads=("tokenizer_train", "xtreme_prepare", *_ENCODERS),
        may_read=("pretrain_adopt",),
        needs=("xtreme_prepare", _ENCODER),
        seed="instance",
        minutes=480,
        beside=3000,
        inputs=4,
        gpu=True,
    ),
    "xtreme_predict": Stage(
        milestone="xtreme",
        jobs=plan.evaluations,
        instance=_OF_TASK,
        settings=_predict,
        keys=("xtreme.predict", "xtreme.recipe", "xtreme.retrieval"),
        reads=("tokenizer_train", "xtreme_prepare", "xtreme_finetune", *_ENCODERS),
        may_read=("pretrain_adopt", "xtreme_align"),
        needs=("xtreme_prepare", _MODEL),
        minutes=120,
        beside=2000,
        inputs=4,
        tests=True,
        gpu=True,
    ),
    "xtreme_sweep": Stage(
        milestone="xtreme",
        jobs=lambda config: plan.evaluations(config, lambda task: task.kind == "retrieval"),
        instance=_OF_TASK,
        settings=_predict,
        keys=("xtreme.predict",),
        reads=("tokenizer_train", "xtreme_prepare", *_ENCODERS),
        may_read=("pretrain_adopt", "xtreme_align", "xtreme_finetune"),
        needs=("xtreme_prepare", _MODEL),
        minutes=60,
        beside=2000,
        inputs=4,
        tests=True,
        gpu=True,
    ),
    "xtreme_score": Stage(
        milestone="xtreme",
        jobs=plan.evaluations,
        instance=_OF_TASK,
        settings=lambda config, task, *_: config.xtreme.score,
        keys=("xtreme.score",),
        reads=("xtreme_prepare", "xtreme_predict"),
        needs=("xtreme_prepare", "xtreme_predict"),
        minutes=10,
        tests=True,
    ),
    "xtreme_baseline": Stage(
        milestone="xtreme",
        jobs=lambda config: list(config.xtreme.tasks),
        instance=("task",),
        settings=lambda config, task: config.xtreme.score,
        keys=("xtreme.score",),
        reads=("xtreme_prepare",),
        needs=("xtreme_prepare",),
        minutes=240,
        inputs=12,
        tests=True,
    ),
    "claims_judge": Stage(
        milestone="report",
        jobs=lambda config: [""] if plan.comparisons(config) else [],
        settings=_judge,
        keys=("claims",),
        derived=("claims", "comparisons"),  # are rows of the registry, and what the run has of them
        reads=_JUDGED,
        may_read=("pretrain_adopt",),
        every=_JUDGED,
        minutes=10,
        tests=True,
    ),
    "report_build": Stage(
        milestone="report",
        jobs=lambda config: [""],
        settings=lambda config: config.report,
        keys=("report",),
        collects=True,
        minutes=10,
        beside=1000,
        tests=True,
    ),
    "checkpoints_export": Stage(
        milestone="export",
        jobs=plan.exports,
        instance=("form", "default_language", "exported", "variant"),
        settings=lambda config, form, language, _, variant: ExportSettings.of(
            form, language, config.variant(variant)
        ),
        keys=("xtreme.predict", "xtreme.recipe", "model.layers"),
        derived=("format", "language"),  # are in the name of the job
        collects=True,
        # The card says whether all files behind the model are as recorded: terabytes take hours.
        minutes=1440,
        beside=2000,
        models=2,
    ),
}


def module_of(stage: str) -> str:
    """Module of a stage, ``ernie_m.corpora.filter``."""
    return f"ernie_m.{stage.replace('_', '.', 1)}"


def jobs(config: Config) -> dict[str, list[str]]:
    """Instances of every stage's jobs; ``[""]`` for a stage of one job."""
    return {name: stage.jobs(config) for name, stage in STAGES.items()}


def parts_of(stage: str, instance: str) -> dict[str, str]:
    """The parts of a job's instance by name; none for an unknown stage, as in old records."""
    return STAGES[stage].parts(instance) if stage in STAGES else {}


def settings_of(config: Config, stage: str, instance: str = "") -> Section:
    """Settings of one job; ``KeyError`` for what the configuration does not contain."""
    return STAGES[stage].settings(config, *filter(None, instance.split("/")))


def settings_text(config: Config, stage: str, instance: str = "") -> str:
    """The same as JSON; equal settings give equal text, whatever the order of their fields."""
    values = settings_of(config, stage, instance).model_dump(mode="json")
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def seed_of(config: Config, stage: str, instance: str = "") -> int | None:
    """Seed of one job, or None when it draws nothing: of trainings that of their replicate, of a
    fine-tuning its own, which is another in each replicate."""
    variant = parts_of(stage, instance).get("variant")
    own = config.variant(variant) if variant else config
    if STAGES[stage].seed == "instance":
        number = int(instance.rpartition("/seed")[2])
        return number if own.seed == config.seed else nested(number, own.seed)
    return own.seed if STAGES[stage].seed else None


def stages_with(fact: str) -> list[str]:
    """Names of the stages of which a fact of :class:`Stage` is true, such as ``stats``."""
    return [name for name, stage in STAGES.items() if getattr(stage, fact)]
