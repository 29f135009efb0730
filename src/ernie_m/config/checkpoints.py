"""Configuration key ``checkpoints``: the registry of weights of others that ``init`` may name."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from ernie_m.catalogue.checkpoints import CONFIG, PIECES, TOKENIZER_JSON, WEIGHTS
from ernie_m.config.base import Section
from ernie_m.config.registry import Row, load_rows
from ernie_m.config.sources import FileName, Sha256


class CheckpointFile(Section):
    """What is known of a file before it is here."""

    sha256: Sha256 | None = Field(
        None,
        description="SHA-256 in hexadecimal digits; what arrives with another is refused. Where it "
        "is not known, what arrives first is trusted, recorded in `config/checkpoints.sha256`, and "
        "demanded from then on.",
    )
    bytes: int | None = Field(
        None, gt=0, description="Size in bytes where it is known exactly; another is refused."
    )
    about_bytes: int | None = Field(
        None,
        gt=0,
        description="Size in bytes, rounded; for plans, and a first download that is trusted may "
        "have half or twice as much at most.",
    )


class Shape(Section):
    """The encoder's shape, which the section `model` must have."""

    layers: int = Field(ge=1, description="Layers.")
    width: int = Field(ge=1, description="Hidden size.")
    heads: int = Field(ge=1, description="Attention heads.")
    ffn: int = Field(ge=1, description="Inner size of the feed-forward layer.")


class CheckpointRow(Row):
    """One row of the registry: one version of one checkpoint. Rows are added, never changed."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Name, as `init` and file paths use it."
    )
    url: str = Field(
        pattern=r"^https?://.*\{file\}",
        description="Web address of a file, with `{file}` for its name and `{version}`.",
    )
    mirrors: tuple[str, ...] = Field(
        (), description="Other addresses of the same files, tried in turn when `url` fails."
    )
    version: str = Field(
        description="Upstream's revision: the hash of a commit, which pins the files, or a branch."
    )
    files: dict[FileName, CheckpointFile] = Field(
        description="What is fetched, by name: weights, `config.json`, the vocabulary."
    )
    shape: Shape = Field(description="Shape of the encoder.")
    pieces: int = Field(ge=1, description="Pieces of its vocabulary, special ones included.")
    licence: str = Field(min_length=1, description="SPDX name of the licence; shown in the report.")
    home: str = Field(description="Upstream's web page; shown in the report.")
    note: str = Field("", description="A remark in own words; shown in the report.")

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

    def addresses(self, name: str) -> tuple[str, ...]:
        """Where a file is, the publisher first."""
        return tuple(
            url.replace("{version}", self.version).replace("{file}", name)
            for url in (self.url, *self.mirrors)
        )


class CheckpointsSettings(Section):
    """Weights of others."""

    registry: str = Field(
        "config/checkpoints.yaml", description="File with the rows of known checkpoints."
    )

    def rows(self) -> dict[str, CheckpointRow]:
        """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
        return load_rows(Path(self.registry), CheckpointRow)
