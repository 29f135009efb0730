"""Settings of a checkpoint's export; the configuration has no key for it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from ernie_m.config.base import Section
from ernie_m.config.root import Variant
from ernie_m.config.xtreme import PredictSettings

Format = Literal["hf", "sentence-transformers", "onnx"]
FORMATS: tuple[str, ...] = get_args(Format)


class ExportSettings(Section):
    """Format of an export; sentence embeddings are pooled as in the retrieval tasks."""

    format: Format = Field(description="library that is to load it")
    language: str = Field(
        description="language whose embedding is added when nothing else is said, or none"
    )
    layer: int = Field(description="hidden state of a sentence vector")
    pooling: Literal["mean", "cls"] = Field(description="how tokens become a sentence vector")
    skip_specials: bool = Field(description="whether <s> and </s> are left out of the mean")

    @classmethod
    def of(cls, form: str, language: str, variant: Variant | None) -> ExportSettings:
        """The settings of one export, with the layer and pooling of a variant's retrieval, or of
        the defaults."""
        used = variant.xtreme.vectors(variant.model.layers) if variant else PredictSettings()
        shared = used.model_dump(include={"layer", "pooling", "skip_specials"})
        return cls.model_validate({"format": form, "language": language, **shared})
