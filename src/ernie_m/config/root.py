"""The whole configuration: its top-level keys, and the variants of the experiment.

Defaults of sections are made lazily, since `corpora` reads its registry.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from ernie_m import replicates
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import Partial, Section, deep_merge
from ernie_m.config.checkpoints import CheckpointRow, CheckpointsSettings
from ernie_m.config.claims import ClaimsSettings
from ernie_m.config.corpora import CorporaSettings, DatasetRow
from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import BacktranslateJob, DrawJob, DrawSettings, PretrainSettings
from ernie_m.config.report import ReportSettings
from ernie_m.config.saving import SavingSettings
from ernie_m.config.tokenizer import TokenizerSettings
from ernie_m.config.tracking import TrackingSettings
from ernie_m.config.xtreme import XtremeSettings

MAIN_VARIANT = "ernie_m"
MOST_SEED = 2**32 - 1

# Names become folders, wildcards and DVC paths.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]

# How `init` names a result by its bytes.
DIGEST = re.compile(r"sha256:([0-9a-f]{8,64})")

# Folders beside those of runs; downloads, which all runs share, end in `_download`.
SHARED_FOLDERS = ("benchmarks", "logs")
SHARED_SUFFIX = "_download"

# What a variant may change of the evaluation: fine-tuning and prediction, not tasks and metrics.
VARIANT_KEYS = frozenset(
    {"recipe", "training", "finetune", "per_task", "retrieval", "align", "predict"}
)


class Overrides(Section):
    """Keys of `model`, `pretrain` and `xtreme` in which a variant differs from the main one."""

    model: Annotated[dict[str, Any], Partial(ModelSettings)] = Field(
        {}, description="Keys of `model` that differ, with their values."
    )
    pretrain: Annotated[dict[str, Any], Partial(PretrainSettings)] = Field(
        {}, description="Keys of `pretrain` that differ, with their values."
    )
    xtreme: Annotated[dict[str, Any], Partial(XtremeSettings)] = Field(
        {},
        description="Keys of `xtreme` that differ, with their values: of `recipe`, `training`, "
        "`finetune`, `per_task`, `retrieval`, `align` and `predict`.",
    )

    @field_validator("xtreme")
    @classmethod
    def _questions_are_common(cls, xtreme: dict[str, Any]) -> dict[str, Any]:
        if others := sorted(xtreme.keys() & XtremeSettings.model_fields.keys() - VARIANT_KEYS):
            raise ValueError(f"`{others[0]}` is the same for all variants")
        return xtreme


class Variant(Section):
    """The sections, and the seed, that one variant of the experiment is trained with."""

    seed: int = Field(1, ge=0, le=MOST_SEED, description="Seed of its trainings.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="The encoder.")
    pretrain: PretrainSettings = Field(
        default_factory=PretrainSettings, description="The pre-training."
    )
    xtreme: XtremeSettings = Field(default_factory=XtremeSettings, description="The evaluation.")

    def draw_job(self, languages: tuple[str, ...], pairs: tuple[str, ...]) -> DrawJob:
        """Settings of drawing the sentences that stage 2 reads with pseudo tokens."""
        generation = self.pretrain.backtranslate.model_dump(exclude={"chunks"})
        draws = self.pretrain.btmlm.model_dump(include=set(DrawSettings.model_fields))
        return DrawJob(**generation, languages=languages, pairs=pairs, btmlm=DrawSettings(**draws))

    def backtranslate_job(self, pairs: tuple[str, ...]) -> BacktranslateJob:
        """Settings of generation."""
        return BacktranslateJob(**self.pretrain.backtranslate.model_dump(), pairs=pairs)


class Config(Section):
    """Everything that decides a run's results; machines and schedulers are in `profiles/`."""

    run: Name = Field(
        "default",
        description="Name of the run: its files go to `results/<run>/`. Lower-case letters, digits "
        "and `_`, a letter first. Runs of different names share downloads only.",
    )
    seed: int = Field(
        1,
        ge=0,
        le=MOST_SEED,
        description="Seed of every random choice: the split, sampling, masking, initial weights. "
        "Another seed is another experiment, and everything from the split on is made anew.",
    )
    replicates: tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...] = Field(
        (),
        description="Seeds with each of which every variant is trained (initial weights, sampling, "
        "masks, generation), `seed` among them; text and vocabulary are those of `seed` in all. "
        "Results of seed 2 have `-r2` behind the variant's name. Empty: `seed` alone, which says "
        "nothing of how surely a score is what it is.",
    )
    init: str = Field(
        "",
        description="Checkpoint to start from, as ERNIE-M does from XLM-R (memory): a row of "
        "`checkpoints.registry`, which is fetched (`xlm-roberta-base`), or else a folder with "
        "XLM-R or ERNIE-M as transformers or PaddleNLP keep them, or with one of this project; or "
        "the SHA-256 of weights that another run has made, or 8 digits or more of its beginning "
        "(`sha256:ea5f8b74`). Its vocabulary is taken too; `model` must have its shape. Empty: "
        "random weights and an own vocabulary.",
    )
    checkpoints: CheckpointsSettings = Field(
        CheckpointsSettings(), description="Third-party checkpoints that `init` may name."
    )
    corpora: CorporaSettings = Field(
        default_factory=CorporaSettings, description="Training and held-out text."
    )
    tokenizer: TokenizerSettings = Field(
        default_factory=TokenizerSettings, description="The SentencePiece tokenizer."
    )
    model: ModelSettings = Field(default_factory=ModelSettings, description="The encoder.")
    pretrain: PretrainSettings = Field(
        default_factory=PretrainSettings,
        description="The two stages of pre-training.",
    )
    variants: dict[Name, Overrides] = Field(
        {},
        description="Other variants of the experiment: a name, and below it the keys of `model`, "
        "`pretrain` and `xtreme` in which it differs from the main one. Each is a branch of "
        "the same graph, at the cost of what is below its first difference: a whole pre-training, "
        "or fine-tuning only.",
    )
    hardware: HardwareSettings = Field(
        default_factory=HardwareSettings,
        description="How trainings use the machine: changes the last digits only.",
    )
    saving: SavingSettings = Field(
        SavingSettings(), description="When trainings save their state: changes no result."
    )
    xtreme: XtremeSettings = Field(default_factory=XtremeSettings, description="Evaluation.")
    claims: ClaimsSettings = Field(
        ClaimsSettings(), description="The paper's claims, judged where a run has their variants."
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Where MLflow logs the runs."
    )
    report: ReportSettings = Field(default_factory=ReportSettings, description="The report.")

    @field_validator("run")
    @classmethod
    def _folder_is_free(cls, run: str) -> str:
        if run in SHARED_FOLDERS or run.endswith(SHARED_SUFFIX):
            raise ValueError(f"`results/{run}/` is shared by all runs; choose another name")
        return run

    @model_validator(mode="after")
    def _seed_is_a_replicate(self) -> Self:
        if len(set(self.replicates)) != len(self.replicates):
            raise ValueError("`replicates` names a seed twice")
        if self.replicates and self.seed not in self.replicates:
            raise ValueError(f"`replicates` lacks {self.seed}, which is `seed`; add it")
        return self

    @field_validator("variants")
    @classmethod
    def _main_variant_is_taken(cls, variants: dict[str, Overrides]) -> dict[str, Overrides]:
        if MAIN_VARIANT in variants:
            raise ValueError(
                f"`{MAIN_VARIANT}` is the name of the main variant; choose another name."
            )
        return variants

    @model_validator(mode="after")
    def _tasks_have_rows(self) -> Self:
        own = [task for task in self.xtreme.tasks if not TASKS[task].published]
        here = Path(self.corpora.registry).is_file()
        if own and here and "en" not in self.corpora.dealt_languages:
            raise ValueError(
                f"`xtreme.tasks` names `{own[0]}`, which is made of held-out n-way parallel rows, "
                "and no dataset of `corpora.datasets` has any; name published tasks, or none "
                "(`tasks: []`), or add a dataset of n-way rows"
            )
        return self

    @model_validator(mode="after")
    def _like_init(self) -> Self:
        if self.init and any(row.content == "vocabulary" for row in self._datasets()):
            raise ValueError(
                "`corpora.datasets` names a vocabulary, and the checkpoint in `init` brings its "
                "own; take one of them out"
            )
        shape = self.checkpoint.shape.model_dump() if self.checkpoint else {}
        for key, theirs in shape.items():
            own = getattr(self.model, key)
            if own != theirs:
                raise ValueError(
                    f"`model.{key}` is {own}, but `{self.init}`, which `init` names, has {theirs}"
                )
        return self

    def _datasets(self) -> list[DatasetRow]:
        """The rows of the chosen datasets, none where there is no registry."""
        here = Path(self.corpora.registry).is_file()
        return list(self.corpora.rows().values()) if here else []

    @cached_property
    def checkpoint(self) -> CheckpointRow | None:
        """The row of the registry that ``init`` names; None for a folder, and for nothing.

        Raises ``ValueError`` for a damaged registry."""
        here = self.init and Path(self.checkpoints.registry).is_file()
        return self.checkpoints.rows().get(self.init) if here else None

    @property
    def init_digest(self) -> str:
        """The digits of the digest by which ``init`` names a result; empty if it does not."""
        named = DIGEST.fullmatch(self.init)
        return named[1] if named else ""

    @property
    def variant_names(self) -> tuple[str, ...]:
        """Names of all variants, the main one first, then those of the other replicates."""
        return tuple(self._named)

    @property
    def compares(self) -> bool:
        """Whether there are variants or replicates, which claims may be judged by."""
        return len(self.variant_names) > 1

    @property
    def _named(self) -> dict[str, tuple[str, int]]:
        """The variant and the seed behind each name."""
        seeds = (self.seed, *(seed for seed in self.replicates if seed != self.seed))
        return {
            replicates.named(variant, seed, self.seed): (variant, seed)
            for seed in seeds
            for variant in (MAIN_VARIANT, *self.variants)
        }

    def variant(self, name: str) -> Variant:
        """The sections that variant ``name`` is trained with; ``KeyError`` for an unknown name."""
        return self._variants[name]

    @cached_property
    def _variants(self) -> dict[str, Variant]:
        main = self.model_dump(include=set(Variant.model_fields), mode="json")
        own = {
            name: variant.model_dump(exclude_unset=True) for name, variant in self.variants.items()
        }
        return {
            name: Variant.model_validate(deep_merge(main, own.get(variant, {})) | {"seed": seed})
            for name, (variant, seed) in self._named.items()
        }
