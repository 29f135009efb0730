"""Key `pretrain`: the two training stages and the generation between them."""

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from ernie_m.config.base import Section
from ernie_m.config.hardware import HardwareSettings

V = TypeVar("V")


def _from_the_first_step(value: V) -> V:
    if isinstance(value, tuple):
        steps = [step for step, _ in value]
        if steps[:1] != [0] or steps != sorted(set(steps)):
            raise ValueError("steps must begin with 0 and ascend")
    return value


# A value, or pairs of a step, from 0, and the value from that step on.
ByStep = Annotated[
    V | tuple[tuple[Annotated[int, Field(ge=0, le=1_000_000_000)], V], ...],
    AfterValidator(_from_the_first_step),
]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Exponent = Annotated[float, Field(ge=0, le=1)]


class Shares(Section):
    """Mixture weights of the objectives: each gets this share of a batch's tokens; 0: off."""

    mmlm: float = Field(0.2, ge=0, description="Masked LM on monolingual text.")
    tlm: float = Field(
        0.6,
        ge=0,
        description="Translation LM on pairs; part of the full system (paper: Table 6). At laptop "
        "size it is what starts alignment.",
    )
    camlm: float = Field(0.6, ge=0, description="Cross-attention masked LM on pairs.")
    btmlm: float = Field(
        0.0, ge=0, description="Back-translation masked LM; only after generation."
    )

    @model_validator(mode="after")
    def _something_is_on(self) -> "Shares":
        if self.mmlm + self.tlm + self.camlm + self.btmlm == 0:
            raise ValueError("at least one objective needs a share above 0")
        return self


class MaskRatios(Section):
    """Masking ratio: share of a sentence's tokens to predict; the paper's are not known.

    One that changes is pairs of a step, from 0, and the value from that step on:
    `[[0, 0.3], [100000, 0.15]]`. Validation keeps the first. CAMLM's decides where texts are cut,
    and stays.
    """

    mmlm: ByStep[Ratio] = Field(
        0.3, description="0.15 (sibling: InfoXLM); more gives more to learn per token."
    )
    tlm: ByStep[Ratio] = Field(0.3, description="0.15 of both sides (sibling: InfoXLM).")
    camlm: float = Field(
        0.4,
        gt=0,
        le=1,
        description="Slots by tokens, on both sides, at least one: added beside the sentences, "
        "which stay whole (paper: Figure 1), so 1 is possible. More gives more to learn from a "
        "pair, and longer rows.",
    )
    btmlm: ByStep[Ratio] = Field(0.3, description="Of the real sentence only.")


class MaskingSettings(Section):
    """Which tokens are predicted, and how they are masked."""

    ratio: MaskRatios = Field(MaskRatios(), description="Masking ratio by objective.")
    random_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of masked tokens that become a random piece; 0.1 (sibling: InfoXLM). "
        "CAMLM masks none.",
    )
    keep_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of masked tokens left unchanged; 0.1 (sibling: InfoXLM). CAMLM masks "
        "none.",
    )


class OptimiserSettings(Section):
    """AdamW with warm-up and linear decay, at once or after steps at the peak rate."""

    learning_rate: float = Field(
        3e-3, gt=0, description="Peak rate; base 2e-4, large 1e-4 (memory)."
    )
    warmup_steps: int = Field(
        200, ge=0, le=1_000_000_000, description="Steps of linear warm-up from 0; 10,000 (memory)."
    )
    decay_steps: int | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="Last steps, in which the rate falls to 0; before them it stays at its peak "
        "(warm-up, stable, decay), and with 0 it never falls. Empty: all after the warm-up.",
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        description="Decoupled decay of matrices, never of biases; 0.01 (sibling: InfoXLM).",
    )
    beta1: float = Field(
        0.9, ge=0, lt=1, description="Decay of Adam's first moment; 0.9 (sibling: InfoXLM)."
    )
    beta2: float = Field(
        0.98, ge=0, lt=1, description="Decay of Adam's second moment; 0.98 (sibling: InfoXLM)."
    )
    eps: float = Field(1e-6, gt=0, description="Adam's epsilon; 1e-6 (sibling: InfoXLM).")
    clip_norm: float = Field(
        1.0, gt=0, description="Largest global gradient norm; 1.0 (sibling: InfoXLM)."
    )


class DrawSettings(Section):
    """Which texts a stage draws in each step."""

    objectives: Shares = Field(
        Shares(),
        description="Mixture weights of the objectives in each batch's tokens; 0 disables one.",
    )
    steps: int = Field(
        4500, ge=1, le=1_000_000_000, description="Optimiser steps; 200,000 (sibling: InfoXLM)."
    )
    batch_tokens: int = Field(
        2048,
        ge=32,
        le=1_000_000_000,
        description="Tokens of a batch, all objectives together; 2,048 x 512 (memory).",
    )
    row_length: int = Field(
        128,
        ge=16,
        le=1_000_000,
        description="Tokens of a packed row; no example may be longer. 512 (memory).",
    )
    alpha: ByStep[Exponent] = Field(
        0.5,
        description="Languages and pairs are drawn by p ~ size^alpha; 0 draws all alike, 1 as they "
        "are. 0.3 (memory: XLM-R), 0.7 (memory: InfoXLM); the paper's is not known. It may change "
        "by step, as masking ratios may.",
    )
    evaluate_sentences: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Held-out sentences per language or pair in a validation loss.",
    )


class StageSettings(DrawSettings):
    """One training stage."""

    moved: ClassVar[dict[str, str]] = {
        "checkpoint_every": "now `saving.every_steps`, for both stages",
        "checkpoint_minutes": "now `saving.every_minutes`, for both stages",
        "checkpoints_kept": "now `saving.keep`, for both stages",
    }

    masking: MaskingSettings = Field(
        MaskingSettings(), description="Which tokens are predicted, and how they are masked."
    )
    optimiser: OptimiserSettings = Field(
        OptimiserSettings(), description="AdamW with warm-up and linear decay."
    )
    evaluate_every: int = Field(
        500,
        ge=1,
        le=1_000_000_000,
        description="Steps between validation losses; more often costs time.",
    )
    keep_every: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Steps between checkpoints that are kept for good, each a result with a record "
        "of its own in `step<number>/` beside the model; 0 keeps none.",
    )
    on_divergence: Literal["stop", "skip"] = Field(
        "stop",
        description="After a NaN, infinite or exploding loss: stop, or skip the update and count "
        "it, and save the batch. `skip` waits for a GPU at every step; `stop` looks there at the "
        "mean losses when they are shown, and saves no batch.",
    )
    explosion: float = Field(
        4.0,
        ge=0,
        description="A loss above this many times its moving mean has exploded; 0 checks for NaN "
        "and infinite losses only.",
    )


class StageJob(StageSettings):
    """Settings of a training stage's job."""

    hardware: HardwareSettings = Field(
        HardwareSettings(), description="Threads, processes, precision and kernels."
    )


class DirectionSettings(Section):
    """Which languages pseudo tokens are in."""

    directions: Literal["seen", "all"] = Field(
        "seen",
        description="Target languages of a sentence: those it has pairs with, or any other "
        "language.",
    )
    target_languages: tuple[str, ...] = Field(
        (), description="Generate only into these; empty means no such limit."
    )


class BacktranslateSettings(DirectionSettings):
    """Generation of pseudo tokens (docs/method.md)."""

    chunks: int = Field(
        1,
        ge=1,
        le=100_000,
        description="Jobs that generation is divided into; the result does not depend on it.",
    )
    placeholder_ratio: float = Field(
        0.15,
        gt=0,
        le=2,
        description="Placeholders per token of the sentence, at least one; 0.05 to 0.20 were "
        "studied (memory).",
    )


class DirectionsJob(DirectionSettings):
    """The same with the pairs that decide, for the stages that need to know."""

    pairs: tuple[str, ...] = Field(description="Pairs of the parallel text, `a-b`.")


class DrawJob(DirectionsJob):
    """Settings of the stage that draws the sentences for which pseudo tokens are generated."""

    languages: tuple[str, ...] = Field(description="The model's languages, in its order.")
    placeholder_ratio: float = Field(description="Placeholders per token of the sentence.")
    btmlm: DrawSettings = Field(DrawSettings(), description="How stage 2 draws.")


class BacktranslateJob(BacktranslateSettings, DirectionsJob):
    """Settings of the stage that generates pseudo tokens."""


class PretrainSettings(Section):
    """Pre-training: stage 1, generation, stage 2."""

    camlm: StageSettings = Field(
        StageSettings(), description="Stage 1: masked LM on one language and across two."
    )
    backtranslate: BacktranslateSettings = Field(
        BacktranslateSettings(), description="Generation of pseudo tokens by the model of stage 1."
    )
    btmlm: StageSettings = Field(
        StageSettings(objectives=Shares(btmlm=1.0), steps=3500),
        description="Stage 2: continues from stage 1, with generated tokens.",
    )

    @model_validator(mode="after")
    def _btmlm_needs_generation(self) -> "PretrainSettings":
        if self.camlm.objectives.btmlm:
            raise ValueError("camlm.objectives.btmlm must be 0: nothing is generated before it")
        return self
