"""Members of a zip archive, read with the care that a downloaded file needs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ernie_m.errors import UserError

# The largest member of the default wheel's translations has 0.2 MB.
MAX_MEMBER_BYTES = 16 << 20


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at ``path``; raises :class:`UserError` when it is not a whole zip file, or when
    any member's name would lead out of a folder it were unpacked in."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                _check_name(path, name)
            yield archive
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a whole zip archive ({error}).", "Delete it and fetch it again."
        ) from None


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member's bytes, never more than ``MAX_MEMBER_BYTES`` whatever its header says."""
    with archive.open(name) as member:
        content = member.read(MAX_MEMBER_BYTES + 1)
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
