"""Key `model`: the encoder's shape and how its weights start."""

from typing import Literal

from pydantic import Field, model_validator

from ernie_m.config.base import Section


class ModelSettings(Section):
    """Shape of the encoder and its initial weights."""

    layers: int = Field(
        3, ge=1, description="Layers; the paper's base has 12, large 24. Time grows with it."
    )
    width: int = Field(
        128,
        ge=8,
        description="Hidden size; base 768, large 1024. Time grows with its square at paper size.",
    )
    heads: int = Field(4, ge=1, description="Attention heads; base 12, large 16; divides width.")
    ffn: int = Field(512, ge=8, description="Inner size of the feed-forward layer; 4 x width.")
    max_positions: int = Field(
        514, ge=8, description="Rows of the position table; XLM-R has 514, the first two unused."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on embeddings and sub-layers; 0 as in InfoXLM's continued training, "
        "the shipped ERNIE-M configuration says 0.1.",
    )
    attention_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on attention weights; 0 as InfoXLM. Above 0 it switches off the "
        "fused CPU kernel.",
    )
    language_embeddings: bool = Field(
        True,
        description="Add an embedding of the language to each token, as the paper's figure draws; "
        "the generating step needs it to know which language is asked for.",
    )
    pair_positions: Literal["continuous", "reset"] = Field(
        "continuous",
        description="Positions of a pair's second sentence: continuous as in the paper's figure, "
        "or reset to 0 as XLM does, from which a small model learns alignment far sooner.",
    )
    linear_gain: float = Field(
        0.55,
        gt=0,
        description="Standard deviation of linear weights times sqrt(inputs); 0.55 is XLM-R's 0.02 "
        "at width 768. At small widths 1.0 leaves the unigram plateau sooner.",
    )
    embedding_std: float = Field(
        0.02, gt=0, description="Standard deviation of word and position embeddings; XLM-R 0.02."
    )

    attention_start: Literal["random", "matching"] = Field(
        "random",
        description="Initial attention: random as XLM-R's, or matching (query and key weights "
        "equal, output undoing value), which starts by reading similar tokens and like positions.",
    )
    position_start: Literal["random", "sinusoidal"] = Field(
        "random",
        description="Initial position table: random as XLM-R's, or sinusoidal, where neighbours "
        "start out alike. Trained either way.",
    )
    head_bias_start: Literal["zero", "unigram"] = Field(
        "zero",
        description="Initial bias of the MLM head: zero, or the log-probabilities of the "
        "tokenizer's unigram model, so that training need not first learn piece frequencies.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelSettings":
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class InitialiseSettings(ModelSettings):
    """What the stage that makes the untrained model is given."""

    languages: tuple[str, ...] = Field(description="Languages, in the order of their rows.")
