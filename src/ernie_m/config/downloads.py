"""What the registries of downloads have in common: a row is some files of one publisher."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from ernie_m.config.base import Section
from ernie_m.config.registry import Row

FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]
# What `datasets` brings is kept under the names of configuration and split: `PAN-X.af.test`.
PARQUET = ".parquet"


class FileFacts(Section):
    """What is known of a file before it is here."""

    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 in hexadecimal digits; what arrives with another is refused. Where it "
        "is not known, what arrives first is trusted, recorded beside the registries "
        "(`config/corpora.sha256`), and demanded from then on.",
    )
    bytes: int | None = Field(
        None, gt=0, description="Size in bytes where it is known exactly; another is refused."
    )
    about_bytes: int | None = Field(
        None,
        gt=0,
        description="Size in bytes as upstream rounds it; for plans, and a first download that is "
        "trusted may have half or twice as much at most.",
    )


class DownloadRow(Row):
    """One version of something that is published. Rows are added, never changed."""

    # What a row is called, the ways to its files, and whether there may be none but by hand.
    noun: ClassVar[str]
    ways: ClassVar[tuple[str, ...]] = ("package", "url", "hub")
    by_hand: ClassVar[bool] = False

    package: str | None = Field(
        None, description="Project on PyPI; fetched with pip, from whatever index pip is set to."
    )
    url: str | None = Field(
        None, pattern=r"^https?://", description="Web address of the file; fetched over HTTP(S)."
    )
    hub: str | None = Field(
        None,
        pattern=r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$",
        description="Data set on the Hugging Face hub, `owner/name` or `owner/name:configuration`, "
        "at the revision `version`; `datasets` fetches the split that the file's name says, "
        "behind the configuration where that is not given (`train.parquet`, "
        "`xnli.de.test.parquet`), and writes it as Parquet.",
    )
    mirrors: tuple[str, ...] = Field(
        (), description="Other addresses of the same, tried in turn when `url` fails."
    )
    version: str = Field(description="Upstream's version, date or revision; pins what has one.")
    licence: str = Field(min_length=1, description="SPDX name of the licence; shown in the report.")
    home: str = Field(description="Upstream's web page; shown in the report.")
    note: str = Field("", description="A remark in own words; shown in the report.")

    @property
    def known(self) -> Mapping[str, FileFacts]:
        """What is known of each file, by upstream's name of it."""
        raise NotImplementedError

    @property
    def most_bytes(self) -> int | None:
        """Of a longer file only so many from its beginning are wanted."""
        return None

    @property
    def elsewhere(self) -> str:
        """What of the configuration names files that were got by hand."""
        raise NotImplementedError

    def copy_of(self, name: str) -> Path | None:
        """The file on this machine that is taken instead of a download."""
        return None

    def addresses(self, name: str) -> tuple[str, ...]:
        """Where a file is, the publisher first."""
        return tuple(
            url.replace("{version}", self.version).replace("{file}", urllib.parse.quote(name))
            for url in (self.url, *self.mirrors)
            if url
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        row = f"{self.noun.lower()} `{self.id}`"
        given = sum(getattr(self, way) is not None for way in self.ways)
        if given > 1 or not (given or self.by_hand):
            ways = f"{', '.join(self.ways[:-1])} and {self.ways[-1]}"
            raise ValueError(f"{row} needs exactly one of {ways}")
        if self.package and not all(facts.sha256 for facts in self.known.values()):
            raise ValueError(f"{row} is a package, which needs a sha256")
        if self.mirrors and not self.url:
            raise ValueError(f"{row} has mirrors of no url")
        if self.hub and not all(name.endswith(PARQUET) for name in self.known):
            raise ValueError(f"{row}: files of a hub end in {PARQUET}")
        return self


class FilesRow(DownloadRow):
    """A row of several files that lie together."""

    url: str | None = Field(
        None,
        pattern=r"^https?://.*\{file\}",
        description="Web address of a file, with `{file}` for its name and, if it has one, "
        "`{version}`; fetched over HTTP(S).",
    )
    files: dict[FileName, FileFacts] = Field(
        min_length=1, description="Names of the files, with what is known of each."
    )

    @property
    def known(self) -> Mapping[str, FileFacts]:
        return self.files
