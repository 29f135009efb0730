"""Access to published files: plain, in archives, or as Parquet tables."""

from __future__ import annotations

import errno
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ernie_m.errors import UserError

# The longest member that any task reads, XNLI's machine translations of MultiNLI, has 0.1 GB; those
# of one task are some hundred, archives in archives among them.
MAX_MEMBER_BYTES, MAX_BYTES, MAX_MEMBERS = 1 << 30, 1 << 34, 10_000
BLOCK = 1 << 20
# What archives raise that are no whole ones, encrypted, or packed by an unknown method.
_GARBLED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
AGAIN = "Compare the file with what its publisher offers, and fetch it again."


@dataclass(frozen=True)
class File:
    """A text file: its path, and its name for messages, which includes its archive."""

    path: Path
    name: str

    def refuse(self, line: int, what: str) -> UserError:
        """An error that names a line of this file."""
        return UserError(f"{self.name}, line {line}: {what}.", AGAIN)

    def lines(self, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
        """Lines without their ends and without a byte order mark, numbered from 1; raises
        :class:`UserError`, also for NUL bytes, which no text has."""
        number = 0
        try:
            encoding = encoding.replace("utf-8", "utf-8-sig")
            with self.path.open(encoding=encoding, newline="\n") as handle:
                for number, line in enumerate(handle, start=1):
                    if "\0" in line:
                        raise self.refuse(number, "it holds NUL bytes, which no text does")
                    yield number, line.rstrip("\r\n")
        except UnicodeDecodeError:
            raise self.refuse(
                number + 1, f"it is not text in {encoding.removesuffix('-sig')}"
            ) from None

    def encoded(self, other: str) -> str:
        """``utf-8`` where the file is that, else ``other``: copies of old files are converted."""
        try:
            for _ in self.lines():
                pass
        except UserError:
            return other
        return "utf-8"

    def columns(self, least: int) -> Iterator[tuple[int, list[str]]]:
        """Tab-separated cells, at least ``least`` per line that is not blank; quotes are text."""
        for number, line in self.lines():
            if not line.strip():
                continue
            cells = line.split("\t")
            if len(cells) < least:
                raise self.refuse(number, f"{len(cells)} columns, where {least} are needed")
            yield number, cells


@dataclass
class Upstream:
    """The files of a task's sources by name; archives are unpacked into ``folder``.

    So are archives in archives: `AmazonPhotos.zip/panx_dataset/de.tar.gz/test`. Only members that
    match ``wanted`` are unpacked.
    """

    paths: Sequence[Path]
    folder: Path
    wanted: re.Pattern[str] = field(default_factory=lambda: re.compile(""))
    _members_seen: int = field(default=0, init=False)
    _bytes_seen: int = field(default=0, init=False)

    @cached_property
    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    @cached_property
    def files(self) -> dict[str, File]:
        found: dict[str, File] = {}
        for path in sorted(self.paths):
            found.update(self._seen(path, path.name))
        return found

    def _seen(self, path: Path, name: str) -> dict[str, File]:
        found: dict[str, File] = {}
        for member, unpacked in self._members(path, name):
            found.update(self._seen(unpacked, member))
        return found or {name: File(path, name)}

    def _members(self, path: Path, name: str) -> Iterator[tuple[str, Path]]:
        """Members of an archive, each unpacked to a numbered file; none for a plain file."""
        try:
            for member, stream in _opened(path, name, self.wanted):
                yield f"{name}/{member}", self._unpacked(stream, f"{name}/{member}")
        except _GARBLED as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # as of a full disk; a wrong offset in an archive is no valid argument
            raise UserError(f"{name} is not a whole archive ({error}).", AGAIN) from None

    def _unpacked(self, stream: IO[bytes], name: str) -> Path:
        if self._members_seen == MAX_MEMBERS:
            raise _refused(f"With {name} it is more than {MAX_MEMBERS:,} files to unpack")
        target = self.folder / f"{self._members_seen:06d}"
        self._members_seen += 1
        done = 0
        with target.open("wb") as sink:
            while block := stream.read(BLOCK):
                done += len(block)
                if done > MAX_MEMBER_BYTES:
                    raise _refused(f"{name} unpacks to more than {MAX_MEMBER_BYTES:,} bytes")
                if self._bytes_seen + done > MAX_BYTES:
                    raise _refused(f"With {name} it is more than {MAX_BYTES:,} bytes to unpack")
                sink.write(block)
        self._bytes_seen += done
        return target

    def all(self, pattern: str) -> list[File]:
        """Files whose names end in a match of ``pattern``, sorted by name."""
        matching = re.compile(f"(^|/){pattern}$")
        return [self.files[name] for name in sorted(self.files) if matching.search(name)]

    def only(self, pattern: str) -> File:
        """The one file whose name ends in a match of ``pattern``; raises :class:`UserError`."""
        found = self.all(pattern)
        if len(found) != 1:
            readable = pattern.replace("\\", "")
            among = ", ".join(path.name for path in self.paths[:4])
            among += " and others" if len(self.paths) > 4 else ""
            called = f"{len(found)} files are" if found else "No file is"
            raise UserError(
                f"{called} called {readable}, where one is needed, among {among}.",
                "Compare the source's files with its row in the registry of sources.",
            )
        return found[0]

    def table(self, configuration: str, split: str) -> list[dict[str, Any]] | None:
        """Rows of a Parquet file of the hub, labels by name; None if it is not present."""
        name = f"{configuration}.{split}.parquet"
        path = next((path for path in self.paths if path.name == name), None)
        if path is not None and name not in self._tables:
            self._tables[name] = _rows(path, self.folder)
        return self._tables.get(name)


def _opened(path: Path, name: str, wanted: re.Pattern[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each wanted member, if the file is named as an archive."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                _check_name(name, info.filename)
                if not info.is_dir() and wanted.search(info.filename):
                    with archive.open(info) as stream:
                        yield info.filename, stream
    elif name.endswith((".tgz", ".tar.gz", ".tar.bz2")):
        with tarfile.open(path) as archive:
            for member in archive:
                _check_name(name, member.name)
                if member.isfile() and wanted.search(member.name):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield member.name, content


def _check_name(archive: str, member: str) -> None:
    parts = PurePosixPath(member.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in (parts.parts or ("",))[0]:
        raise _refused(f"{archive} holds a member named {member!r}, which leads out of its folder")


def _refused(what: str) -> UserError:
    return UserError(
        f"{what}.", "Do not use this file; fetch the one that the registry of sources names."
    )


def _rows(path: Path, cache: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet file written by `datasets`, class numbers replaced by names."""
    import datasets

    datasets.disable_progress_bars()
    try:
        table = datasets.Dataset.from_parquet(str(path), cache_dir=str(cache / "datasets"))
    except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is not a whole Parquet file ({error}).", AGAIN) from None
    classes = {key: _names(feature) for key, feature in table.features.items()}
    return [
        {key: _named(value, classes[key]) for key, value in row.items()} for row in table.to_list()
    ]


def _names(feature: Any) -> list[str] | None:
    """Class names of a column, or of the lists in it."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None:
        return value
    return [names[each] for each in value] if isinstance(value, list) else names[value]
