"""Compressed text of any size, read as a stream with bounded memory.

Three things could fill memory or disk: a line without end, a small file that unpacks to a huge
one, and a file that is cut off. Each ends in a :class:`UserError`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from ernie_m.errors import UserError

# No paragraph of CC-100 is near this; the memory of a reader is a few times as much.
MAX_LINE_BYTES = 16 << 20
# Text packs to a quarter or a tenth, template-made pages to a fiftieth; zeros to a thousandth.
MAX_EXPANSION = 200
FREE_BYTES = 64 << 20
_BUFFER = 1 << 20


class Members:
    """All xz or bzip2 streams of a file, one after another, with zeros between them.

    Python's own file objects take a damaged stream behind a whole one for the end of the file.
    """

    def __init__(self, source: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._source, self._new, self._member = source, decompressor, decompressor()

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end; raises ``EOFError`` when that comes too soon,
        and what the decompressor raises for damaged bytes."""
        while True:
            packed = b""
            if self._member.eof:
                packed = self._member.unused_data.lstrip(b"\0")
                while not packed and (block := self._source.read(_BUFFER)):
                    packed = block.lstrip(b"\0")
                if not packed:
                    return b""
                self._member = self._new()
            elif self._member.needs_input:
                packed = self._source.read(_BUFFER)
                if not packed:
                    raise EOFError("the end of a stream is missing")
            if unpacked := self._member.decompress(packed, size):
                return unpacked


# First bytes -> what opens it. The name tells nothing: a download is called `original`.
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": partial(Members, decompressor=lzma.LZMADecompressor),
    b"BZh": partial(Members, decompressor=bz2.BZ2Decompressor),
}


class Bounded(io.RawIOBase):
    """A stream that raises :class:`UserError` when more than ``limit`` bytes come out of it, or
    when what it unpacks is damaged."""

    def __init__(self, source: IO[bytes], limit: int, where: str) -> None:
        self._source, self._left, self._where = source, limit, where

    def readable(self) -> bool:
        """True, as the buffer around it asks."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Next bytes into ``buffer``; 0 at the end."""
        try:
            block = self._source.read(len(buffer))
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the file
                raise
            raise UserError(
                f"{self._where} is damaged or cut off ({error}).",
                "Delete it and fetch it again.",
            ) from None
        self._left -= len(block)
        if self._left < 0:
            raise UserError(
                f"{self._where} unpacks to more than {MAX_EXPANSION} times its size.",
                "Do not use this file; fetch the one that the registry names.",
            )
        buffer[: len(block)] = block
        return len(block)


def bounded(source: IO[bytes], packed_bytes: int, where: str) -> io.BufferedReader:
    """``source`` limited to what ``packed_bytes`` of text may unpack to."""
    limit = FREE_BYTES + MAX_EXPANSION * packed_bytes
    return io.BufferedReader(Bounded(source, limit, where), _BUFFER)


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a gzip, xz, bzip2 or plain file, told apart by how it begins."""
    with path.open("rb") as handle:
        head = handle.read(6)
        handle.seek(0)
        found = (unpacker for magic, unpacker in _PACKED.items() if head.startswith(magic))
        source = next(found, lambda plain: plain)(handle)
        yield bounded(source, path.stat().st_size, str(path))


def lines(stream: IO[bytes], where: str) -> Iterator[str]:
    """Lines without their ends; bytes that are no UTF-8 become U+FFFD, which cleaning counts.

    Only a line feed ends a line: Unicode's other separators stand inside sentences, and aligned
    files would come apart at them.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UserError(
                f"{where}: line {number} is longer than {MAX_LINE_BYTES:,} bytes.",
                "Check that the file is the text that its registry row describes.",
            )
        yield line.rstrip(b"\r\n").decode("utf-8", errors="replace")


def file_lines(path: Path) -> Iterator[str]:
    """:func:`lines` of one file, unpacked."""
    with unpacked(path) as stream:
        yield from lines(stream, str(path))
