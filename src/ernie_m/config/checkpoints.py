"""Configuration key ``checkpoints``: third-party checkpoints that ``init`` may name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from ernie_m.catalogue.checkpoints import CONFIG, PIECES, TOKENIZER_JSON, WEIGHTS
from ernie_m.config.base import Section
from ernie_m.config.downloads import FilesRow
from ernie_m.config.registry import load_rows


class Shape(Section):
    """The encoder's shape, which the section `model` must have."""

    layers: int = Field(ge=1, le=1_000, description="Layers.")
    width: int = Field(ge=1, le=1_000_000, description="Hidden size.")
    heads: int = Field(ge=1, le=100_000, description="Attention heads.")
    ffn: int = Field(ge=1, le=10_000_000, description="Inner size of the feed-forward layer.")


class CheckpointRow(FilesRow):
    """One row of the registry: weights, `config.json` and vocabulary."""

    noun: ClassVar[str] = "Checkpoint"

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Name, as `init` and file paths use it."
    )
    shape: Shape = Field(description="Shape of the encoder.")
    pieces: int = Field(
        ge=1, le=10_000_000, description="Pieces of its vocabulary, special ones included."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {
            "one file of weights": WEIGHTS,
            "`config.json`": (CONFIG,),
            "a vocabulary": (*PIECES, TOKENIZER_JSON),
        }
        for what, names in needed.items():
            count = sum(name in names for name in self.files)
            if count != 1 and not (count and what == "a vocabulary"):
                raise ValueError(f"checkpoint `{self.id}` needs {what} ({', '.join(names)})")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the files, the weights first, as :func:`checkpoints.folder.files_of` has it."""
        return sorted(self.files, key=lambda name: name not in WEIGHTS)

    @property
    def elsewhere(self) -> str:
        return "the folder that has all files in `init`"


class CheckpointsSettings(Section):
    """Third-party checkpoints."""

    registry: str = Field(
        "config/checkpoints.yaml", description="File with the rows of known checkpoints."
    )

    def rows(self) -> dict[str, CheckpointRow]:
        """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
        return load_rows(Path(self.registry), CheckpointRow)
