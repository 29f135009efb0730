"""Configuration key ``tokenizer``: the SentencePiece model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ernie_m.config.base import Section


class QuotaSettings(Section):
    """How much text of each language the vocabulary is trained on."""

    alpha: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="Exponent of the language sampling p ~ n^alpha; 0.3 (memory: XLM-R); less "
        "favours languages with little text.",
    )
    sample_lines: int = Field(
        200_000,
        ge=100,
        le=100_000_000,
        description="Lines that the model is trained on, at most as many as there are; more cost "
        "memory and time.",
    )


class SampleSettings(Section):
    """No settings: sample sizes follow from the quotas."""


class TrainSettings(QuotaSettings):
    """The SentencePiece unigram model."""

    vocabulary_size: int = Field(
        8000,
        ge=100,
        le=1_000_000,
        description="Pieces of the SentencePiece model; 250,000 (sibling: XLM-R). The embedding "
        "table has two more rows, `<pad>` and `<mask>`.",
    )
    character_coverage: float = Field(
        0.9999,
        gt=0.9,
        le=1.0,
        description="Share of all characters that are kept; rarer ones become `<unk>`. 0.9995, the "
        "tool's own default, leaves 1.9 % of Chinese pieces unknown; 0.9999 0.2 %.",
    )
    byte_fallback: bool = Field(
        False,
        description="Whether rare characters become byte pieces instead of `<unk>`; no (sibling: "
        "XLM-R).",
    )
    trim: bool = Field(
        True,
        description="With a checkpoint in `init`, whose vocabulary is taken: keep only the pieces "
        "that the training text uses. XLM-R's 250,000 make up two thirds of its base model.",
    )
    num_threads: int = Field(
        2,
        ge=1,
        le=128,
        description="Threads of the training. A setting and not a resource, because another number "
        "adds in another order and may change the model's bytes.",
    )


class Rows(Section):
    """Length of the packed rows of a training."""

    row_length: int = Field(ge=16, description="Tokens of a row, the longest of any variant.")


class PackSettings(Section):
    """Settings of a shard's encoding: sequences are truncated to what the longest rows can hold."""

    join: bool = Field(
        description="Whether rows of one document are joined to sequences of that length."
    )
    camlm: Rows = Field(description="Rows of stage 1.")
    btmlm: Rows = Field(description="Rows of stage 2.")


class TokenizerSettings(Section):
    """The tokenizer."""

    train: TrainSettings = Field(TrainSettings(), description="The SentencePiece model.")

    moved: ClassVar[dict[str, str]] = {"encode": "gone: `corpora.filter.shard_bytes` decides"}
