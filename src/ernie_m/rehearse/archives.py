"""Archives whose bytes depend on their content alone."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

Members = Mapping[str, str | bytes]
# By the end of a name. Of gzip, the time is left out.
_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".tgz": lambda content: gzip.compress(content, mtime=0),
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
}


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def packed(name: str, members: Members) -> bytes:
    """The members as an archive of the kind that ``name`` says: zip, or tar with a compression."""
    buffer = io.BytesIO()
    suffix = Path(name).suffix
    if suffix in (".zip", ".whl"):
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, content in members.items():
                archive.writestr(
                    zipfile.ZipInfo(member), _bytes(content), compress_type=zipfile.ZIP_DEFLATED
                )
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(_bytes(content))
            tar.addfile(entry, io.BytesIO(_bytes(content)))
    return _COMPRESS[suffix](buffer.getvalue())
