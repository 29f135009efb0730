"""Configuration key ``tokenizer``: the SentencePiece model and the encoded shards."""

from __future__ import annotations

from pydantic import Field

from ernie_m.config.base import Section


class TrainSettings(Section):
    """The SentencePiece unigram model."""

    vocabulary_size: int = Field(
        8000,
        ge=100,
        le=1_000_000,
        description="pieces; XLM-R has 250,000; the model's table has two more rows (<pad>, <mask>)",
    )
    character_coverage: float = Field(
        0.9999,
        gt=0.9,
        le=1.0,
        description="share of characters; measured: 0.9995 leaves 1.9 % of Chinese pieces unknown; "
        "rarer characters become <unk>",
    )
    alpha: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="exponent; XLM-R section 3.1; lines are drawn with p ~ n^alpha, so that less "
        "favours languages with little text",
    )
    sample_lines: int = Field(
        200_000,
        ge=100,
        le=100_000_000,
        description="lines; memory and time; how much text the model is trained on, at most as "
        "many as there are",
    )
    byte_fallback: bool = Field(
        False, description="switch; XLM-R has none; unknown characters become bytes, not <unk>"
    )
    num_threads: int = Field(
        2,
        ge=1,
        le=128,
        description="threads; part of the settings because another number rounds otherwise and "
        "may change the model's bytes",
    )


class EncodeSettings(Section):
    """The encoded corpora."""

    shards: int = Field(
        1,
        ge=1,
        le=99_999,
        description="files per training corpus; own choice; contiguous ranges, so that the order "
        "of sentences does not depend on it",
    )
    max_tokens: int = Field(
        126,
        ge=8,
        le=510,
        description="tokens without special ones; own choice; longer sentences are cut",
    )


class TokenizerSettings(Section):
    """The tokenizer and what it encodes."""

    train: TrainSettings = Field(TrainSettings(), description="the SentencePiece model")
    encode: EncodeSettings = Field(EncodeSettings(), description="the encoded corpora")
