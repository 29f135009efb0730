"""The registry of sources: where the published evaluation files come from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.downloads import FilesRow
from ernie_m.config.registry import load_rows


class SourceRow(FilesRow):
    """One row of the registry: files of evaluation tasks; some must be downloaded by hand."""

    noun: ClassVar[str] = "Source"
    by_hand: ClassVar[bool] = True

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="Name, also of the folder.")
    raw: tuple[str, ...] = Field((), description="Tasks that read these files.")
    parquet: tuple[str, ...] = Field(
        (), description="Tasks that read these files when they are to be read from Parquet."
    )

    @model_validator(mode="after")
    def _published(self) -> Self:
        for task in (*self.raw, *self.parquet):
            if task not in TASKS or not TASKS[task].published:
                raise ValueError(f"source `{self.id}`: `{task}` reads no published files")
        return self


class SourceJob(SourceRow):
    """A row, and a local folder to copy from instead of downloading."""

    folder: str | None = Field(None, description="Folder that holds the files, on this machine.")

    @property
    def elsewhere(self) -> str:
        return f"the folder in `xtreme.local.{self.id}`"

    def copy_of(self, name: str) -> Path | None:
        return Path(self.folder, name) if self.folder else None


def load_sources(path: Path) -> dict[str, SourceRow]:
    """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
    return load_rows(path, SourceRow)
