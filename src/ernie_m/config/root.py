"""The whole configuration: its top-level keys, and the arms of the experiment.

Defaults of sections are made when they are asked for, since `corpora` looks into its registry.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from ernie_m.config.base import Partial, Section, deep_merge
from ernie_m.config.corpora import CorporaSettings
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import PretrainSettings
from ernie_m.config.report import ReportSettings
from ernie_m.config.tokenizer import TokenizerSettings
from ernie_m.config.tracking import TrackingSettings
from ernie_m.config.xtreme import XtremeSettings

MAIN_ARM = "ernie_m"

# Names become folders, wildcards and DVC paths.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Variant(Section):
    """Keys of `model` and `pretrain` in which an arm differs from the main one."""

    model: Annotated[dict[str, Any], Partial(ModelSettings)] = Field(
        {}, description="Keys of `model` that differ, with their values."
    )
    pretrain: Annotated[dict[str, Any], Partial(PretrainSettings)] = Field(
        {}, description="Keys of `pretrain` that differ, with their values."
    )


class Arm(Section):
    """What one arm of the experiment is trained with."""

    model: ModelSettings = Field(default_factory=ModelSettings, description="The encoder.")
    pretrain: PretrainSettings = Field(
        default_factory=PretrainSettings, description="The pre-training."
    )


class Config(Section):
    """Everything that decides what a run makes; machines and schedulers are in `profiles/`."""

    run: Name = Field(
        "default",
        description="Name of the run: its files go to `results/<run>/`. Letters, digits and `_`. "
        "Runs of different names share downloads only.",
    )
    seed: int = Field(
        1,
        ge=0,
        description="Seed of every random choice: the split, sampling, masking, initial weights. "
        "Another seed is another experiment, and everything from the split on is made anew.",
    )
    init: str = Field(
        "",
        description="Folder of a checkpoint to start from, as the paper does from XLM-R: XLM-R or "
        "ERNIE-M as transformers or PaddleNLP keep them, or one of this project. Its vocabulary is "
        "taken too; `model` must have its shape. Empty: random weights and an own vocabulary.",
    )
    corpora: CorporaSettings = Field(
        default_factory=CorporaSettings, description="The text and its division."
    )
    tokenizer: TokenizerSettings = Field(
        default_factory=TokenizerSettings, description="Text to pieces."
    )
    model: ModelSettings = Field(default_factory=ModelSettings, description="The encoder.")
    pretrain: PretrainSettings = Field(
        default_factory=PretrainSettings,
        description="The two stages of pre-training.",
    )
    variants: dict[Name, Variant] = Field(
        {},
        description="Other arms of the experiment: a name, and below it the keys of `model` and "
        "`pretrain` in which the arm differs from the main one. Each is trained and scored as a "
        "branch of the same graph, at the cost of a whole pre-training.",
    )
    xtreme: XtremeSettings = Field(default_factory=XtremeSettings, description="Evaluation.")
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Where MLflow keeps its account of the runs."
    )
    report: ReportSettings = Field(default_factory=ReportSettings, description="The report.")

    @field_validator("variants")
    @classmethod
    def _main_arm_is_taken(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        if MAIN_ARM in variants:
            raise ValueError(f"`{MAIN_ARM}` is the name of the main arm; choose another name.")
        return variants

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of all arms, the main one first."""
        return (MAIN_ARM, *self.variants)

    def arm(self, name: str) -> Arm:
        """The sections that arm ``name`` is trained with; ``KeyError`` for an unknown name."""
        own = {} if name == MAIN_ARM else self.variants[name].model_dump(exclude_unset=True)
        main = self.model_dump(include=set(Arm.model_fields), mode="json")
        return Arm.model_validate(deep_merge(main, own))
