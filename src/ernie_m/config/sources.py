"""Where the published evaluation files come from: the rows of the registry of sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.registry import Row, load_rows

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]
# What `datasets` brings is kept under the names of configuration and split: `PAN-X.af.test`.
PARQUET = ".parquet"


class SourceRow(Row):
    """One row of the registry: files that lie together at a publisher's."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="Name, also of the folder.")
    raw: tuple[str, ...] = Field((), description="Tasks that read these files.")
    parquet: tuple[str, ...] = Field(
        (), description="Tasks that read these files when they are to be read from Parquet."
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://.*\{file\}",
        description="Web address of a file, with `{file}` for its name; without url and hub the "
        "files must be fetched by hand.",
    )
    hub: str | None = Field(
        None, description="Data set of the Hugging Face hub; `datasets` fetches it."
    )
    version: str = Field(description="Upstream's version; of a hub's data set the revision.")
    files: dict[FileName, Sha256 | None] = Field(
        min_length=1, description="Names of the files, with their SHA-256 where it is known."
    )
    licence: str = Field(min_length=1, description="SPDX name of the licence; shown in the report.")
    home: str = Field(description="Upstream's web page; shown in the report.")
    note: str = Field("", description="A remark in own words.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url and self.hub:
            raise ValueError(f"source `{self.id}` has both url and hub")
        if self.hub and not all(name.endswith(PARQUET) for name in self.files):
            raise ValueError(f"source `{self.id}`: files of a hub end in {PARQUET}")
        for task in (*self.raw, *self.parquet):
            if task not in TASKS or not TASKS[task].published:
                raise ValueError(f"source `{self.id}`: `{task}` reads no published files")
        return self


class SourceJob(SourceRow):
    """A row, and the folder of a copy that is taken instead."""

    folder: str | None = Field(None, description="Folder that holds the files, on this machine.")


def load_sources(path: Path) -> dict[str, SourceRow]:
    """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
    return load_rows(path, SourceRow)
