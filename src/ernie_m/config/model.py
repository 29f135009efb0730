"""Key `model`: the encoder's architecture and initialisation."""

from typing import Literal

from pydantic import Field, model_validator

from ernie_m.config.base import Section


class ModelSettings(Section):
    """Architecture and initialisation of the encoder."""

    layers: int = Field(
        2, ge=1, le=1_000, description="Layers; base 12, large 24 (authors). Time grows with it."
    )
    width: int = Field(
        128,
        ge=8,
        le=100_000,
        description="Hidden size; base 768, large 1024 (authors). Time grows with its square at "
        "paper size.",
    )
    heads: int = Field(
        4,
        ge=1,
        le=10_000,
        description="Attention heads; base 12, large 16 (authors); divides width.",
    )
    ffn: int = Field(
        512,
        ge=8,
        le=1_000_000,
        description="Inner size of the feed-forward layer; 4 x width (authors).",
    )
    max_positions: int = Field(
        514,
        ge=8,
        le=1_000_000,
        description="Rows of the position table, the first two unused; 514 (authors).",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on embeddings and sub-layers; 0 in continued training (sibling: "
        "InfoXLM), 0.1 in the shipped configuration (authors).",
    )
    attention_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on attention weights; 0 (sibling: InfoXLM). Above 0 it switches off "
        "the fused CPU kernel.",
    )
    language_embeddings: bool = Field(
        True,
        description="Add an embedding of the language to each token (paper: figures); the "
        "generating step needs it to know which language is asked for.",
    )
    pair_positions: Literal["continuous", "reset"] = Field(
        "reset",
        description="Positions of a pair's second sentence: continuous (paper: Figure 1), or reset "
        "to 0 (sibling: XLM), from which a small model learns alignment far sooner.",
    )
    linear_gain: float = Field(
        0.5,
        gt=0,
        description="Standard deviation of initial linear weights times sqrt(inputs); 0.02 "
        "(authors) is 0.55 at width 768. At width 128, 1.0 learned no sooner and 2.0 later.",
    )
    embedding_std: float = Field(
        0.1,
        gt=0,
        description="Standard deviation of initial word and position embeddings; 0.02 (authors). "
        "At high learning rates the first steps overwrite a small table, and with it the "
        "similarity that shared pieces give.",
    )

    head_bias_start: Literal["zero", "unigram"] = Field(
        "unigram",
        description="Initial bias of the MLM head: zero, or the log-probabilities of the "
        "tokenizer's unigram model, so that training need not learn piece frequencies first.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelSettings":
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class InitialiseSettings(ModelSettings):
    """Settings of the stage that initialises the model."""

    languages: tuple[str, ...] = Field(description="Languages, in the order of their embeddings.")
