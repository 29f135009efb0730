"""What the export of a checkpoint is given; no key of its own in the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ernie_m.config.base import Section

Format = Literal["hf", "sentence-transformers", "onnx"]


class ExportSettings(Section):
    """Form of an export; sentence vectors are made as the retrieval tasks make them."""

    format: Format = Field(description="library that is to load it")
    language: str = Field(
        description="language whose embedding is added when nothing else is said, or none"
    )
    layer: int = Field(description="hidden state of a sentence vector")
    pooling: Literal["mean", "cls"] = Field(description="how tokens become a sentence vector")
    skip_specials: bool = Field(description="whether <s> and </s> are left out of the mean")
