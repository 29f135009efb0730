"""Safe reading of members of downloaded zip and tar archives."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ernie_m.catalogue.tags import best_tag
from ernie_m.corpora.readers.streams import bounded, check_text, unpacked
from ernie_m.errors import UserError

# The largest translation file in the default wheel has 0.2 MB.
MAX_MEMBER_BYTES = 16 << 20
# What `zipfile` raises, besides its own error, for malformed headers.
_GARBLED = (RuntimeError, ValueError, struct.error)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive at ``path``; raises :class:`UserError` when it is not a whole zip file, or
    when a member's name would lead out of the folder it is unpacked in."""
    with _list_read(path) as archive:
        for name in archive.namelist():
            _check_name(path, name)
        try:
            yield archive
        except zipfile.BadZipFile as error:
            raise _not_whole(path, error) from None


def _list_read(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, *_GARBLED) as error:
        raise _not_whole(path, error) from None


def _not_whole(path: Path, error: Exception) -> UserError:
    kind = "tar" if isinstance(error, tarfile.TarError) else "zip"
    return UserError(
        f"{path} is not a whole {kind} archive ({error}).", "Delete it and fetch it again."
    )


@contextmanager
def member_stream(path: Path, code: str) -> Iterator[IO[bytes]]:
    """The one member of a zip or (compressed) tar archive whose name ends in a tag of the language
    (``.zh``, ``.zh_CN``), as a stream bounded by its compressed size.

    Raises :class:`UserError` when no member does, or more than one equally well.
    """
    if zipfile.is_zipfile(path):
        with opened(path) as archive:
            name = _only(path, code, archive.namelist())
            # The sizes in an archive's headers cannot be trusted.
            packed = min(archive.getinfo(name).compress_size, path.stat().st_size)
            with _member(archive, name) as member:
                stream = bounded(member, packed, f"{path}, member {name}")
                check_text(stream, f"{path}, member {name}")
                yield stream
    else:
        try:
            with unpacked(path) as stream:
                yield _tar_member(path, stream, code)
        except tarfile.TarError as error:  # in its header, or where the member is cut off
            raise _not_whole(path, error) from None


def _tag(name: str) -> str:
    return name.rpartition(".")[2]


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    # Encrypted, compressed by an unknown method, or not where the header says.
    except (OSError, *_GARBLED) as error:
        raise UserError(
            f"{archive.filename}: member {name} cannot be unpacked ({error}).",
            "Do not use this file; fetch the one that the registry names.",
        ) from None


def _tar_member(path: Path, stream: IO[bytes], code: str) -> IO[bytes]:
    """A tar archive has no index, so the first match is taken; a second one would be seen only
    after reading the whole archive."""
    names = []
    archive = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115 - read by the caller
    for member in archive:
        _check_name(path, member.name)
        names.append(member.name)
        if member.isreg() and best_tag([_tag(member.name)], code):
            found = archive.extractfile(member)
            assert isinstance(found, io.BufferedReader)
            check_text(found, f"{path}, member {member.name}")
            return found
    raise _missing(path, code, names)


def _only(path: Path, code: str, names: list[str]) -> str:
    tag = best_tag(map(_tag, names), code)
    found = [name for name in names if _tag(name) == tag]
    if len(found) != 1:
        raise _missing(path, code, names)
    return found[0]


def _missing(path: Path, code: str, names: list[str]) -> UserError:
    return UserError(
        f"{path} does not have exactly one member whose name ends in a tag of `{code}`, as "
        f".{code}; it has {', '.join(names[:20]) or 'none'}.",
        "Correct `languages` in the registry row, or fetch the archive of this pair.",
    )


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member's bytes, at most ``MAX_MEMBER_BYTES`` whatever its header says."""
    where = f"{archive.filename}, member {name}"
    with _member(archive, name) as member:
        content = bounded(member, archive.getinfo(name).compress_size, where).read(
            MAX_MEMBER_BYTES + 1
        )
    if len(content) > MAX_MEMBER_BYTES:
        raise UserError(
            f"{archive.filename}: member {name} unpacks to more than {MAX_MEMBER_BYTES:,} bytes.",
            "Do not use this file; fetch the one that the registry names.",
        )
    return content


def _check_name(path: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or parts[0].endswith(":"):
        raise UserError(
            f"{path} holds a member named {name!r}, which leads out of its folder.",
            "Do not use this file; fetch the one that the registry names.",
        )
