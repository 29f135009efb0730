"""Which part of the configuration each stage depends on: exactly the keys it uses.

One table for the rules, which hand the slice to the job, and for the audit, which compares it with
what the job was given. A slice that is too wide retrains a model for a word in the report's title;
one that is too narrow leaves a stale result without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ernie_m.config.base import Section
from ernie_m.config.corpora import EvalHashesSettings, ValidRules
from ernie_m.config.export import ExportSettings
from ernie_m.config.model import InitialiseSettings
from ernie_m.config.pretrain import BacktranslateJob, StageJob
from ernie_m.config.root import Config
from ernie_m.config.tokenizer import PackSettings, QuotaSettings, Rows, SampleSettings
from ernie_m.config.xtreme import AlignJob, PredictSettings, TaskName
from ernie_m.pipeline.plan import DEALT


def _part(section: Section, part: type[Section]) -> Section:
    """Those of a section's keys that one stage uses."""
    return part(**section.model_dump(include=set(part.model_fields)))


def _training(config: Config, variant: str, stage: str) -> StageJob:
    own = getattr(config.arm(variant).pretrain, stage)
    return StageJob(**own.model_dump(), hardware=config.hardware)


def _pack(config: Config, corpus: str, shard: str) -> PackSettings:
    trainings = [config.arm(arm).pretrain for arm in config.arms]
    return PackSettings(
        # Of a document some rows only are dealt to a corpus: they do not follow on each other.
        join=corpus.startswith("mono-") and shard != DEALT,
        camlm=Rows(row_length=max(own.camlm.row_length for own in trainings)),
        btmlm=Rows(row_length=max(own.btmlm.row_length for own in trainings)),
    )


def _backtranslate(config: Config, variant: str, *_: str) -> BacktranslateJob:
    return config.arm(variant).backtranslate_job(config.corpora.pairs)


def _predict(config: Config, task: TaskName, variant: str, *_: str) -> PredictSettings:
    own = config.arm(variant)
    return own.xtreme.predict_for(task, own.model.layers)


def _align(config: Config, variant: str, *_: str) -> AlignJob:
    own = config.arm(variant)
    return own.xtreme.align_job(own.model.layers)


# Stage -> its settings, from the configuration and the parts of the job's instance.
SLICES: dict[str, Callable[..., Section]] = {
    "checkpoints_download": lambda config, checkpoint: config.checkpoints.rows()[checkpoint],
    "corpora_download": lambda config, dataset: config.corpora.rows()[dataset],
    "corpora_extract": lambda config, dataset, language: config.corpora.rows()[
        dataset
    ].extract_settings(),
    "corpora_filter": lambda config, corpus, shard: config.corpora.filter_settings(corpus),
    "corpora_deal": lambda config: config.corpora.deal_settings(),
    "corpora_eval_hashes": lambda config: _part(config.corpora.select, EvalHashesSettings),
    "corpora_dedup": lambda config, corpus: config.corpora.dedup,
    "corpora_select": lambda config, corpus, shard: _part(config.corpora.select, ValidRules),
    "tokenizer_quotas": lambda config: _part(config.tokenizer.train, QuotaSettings),
    "tokenizer_sample": lambda config, corpus, shard: SampleSettings(),
    "tokenizer_train": lambda config: config.tokenizer.train,
    "tokenizer_pack": _pack,
    "pretrain_initialise": lambda config, variant: InitialiseSettings(
        **config.arm(variant).model.model_dump(), languages=config.corpora.languages
    ),
    "pretrain_camlm": lambda config, variant: _training(config, variant, "camlm"),
    "pretrain_backtranslate": _backtranslate,
    "pretrain_btmlm": lambda config, variant: _training(config, variant, "btmlm"),
    "xtreme_download": lambda config, source: config.xtreme.sources()[source],
    "xtreme_prepare": lambda config, task: config.xtreme.prepare_for(task),
    "xtreme_align": _align,
    "xtreme_finetune": lambda config, task, variant, *_: config.arm(variant).xtreme.finetune_for(
        task
    ),
    "xtreme_predict": _predict,
    "xtreme_sweep": _predict,
    "xtreme_score": lambda config, task, *_: config.xtreme.score,
    "xtreme_baseline": lambda config, task: config.xtreme.score,
    "report_build": lambda config: config.report,
    "checkpoints_export": lambda config, form, language, *_: ExportSettings.of(
        form, language, config.xtreme.predict
    ),
}

# Stages that are repeated with the seeds of `xtreme.seeds`, which is in their instance.
REPEATED = frozenset({"xtreme_finetune", "xtreme_align"})

# Stages that draw at random with the run's seed.
SEEDED = frozenset(
    {
        "corpora_deal",
        "corpora_select",
        "tokenizer_sample",
        "tokenizer_train",
        "pretrain_initialise",
        "pretrain_camlm",
        "pretrain_backtranslate",
        "pretrain_btmlm",
        "xtreme_prepare",
    }
)


def settings_of(config: Config, stage: str, instance: str = "") -> Section:
    """Settings of one job; ``KeyError`` for what the configuration does not contain."""
    return SLICES[stage](config, *filter(None, instance.split("/")))


def settings_text(config: Config, stage: str, instance: str = "") -> str:
    """The same as JSON; equal settings give equal text, whatever the order of their fields."""
    values = settings_of(config, stage, instance).model_dump(mode="json")
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def seed_of(config: Config, stage: str, instance: str = "") -> int | None:
    """Seed of one job, or None when it draws nothing."""
    if stage in REPEATED:
        return int(instance.rpartition("/seed")[2])
    return config.seed if stage in SEEDED else None
