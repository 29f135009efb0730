"""Compressed text of any size, read as a stream with bounded memory.

An endless line, or a small file that unpacks to a huge one, could fill memory or disk; a truncated
file could pass for a whole one; bytes that are no text could pass for some. Each raises
:class:`UserError`. Where only the head of a file was downloaded, its last line is incomplete and is
left out.
"""

from __future__ import annotations

import bz2
import io
import logging
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.errors import UserError

logger = logging.getLogger(__name__)

# No paragraph of CC-100 comes near this; a reader needs a few times as much memory.
MAX_LINE_BYTES = 16 << 20
# Text compresses to a quarter or a tenth, template-made pages to a fiftieth, zeros to a thousandth.
MAX_EXPANSION = 200
FREE_BYTES = 64 << 20
_BUFFER = 1 << 20


class _Gzip:
    """zlib's decompressor of one gzip stream, with the interface of those of lzma and bz2."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)  # with header and checksum

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """Input beyond the end of the stream."""
        return self._stream.unused_data

    @property
    def needs_input(self) -> bool:
        """Whether all input has been decompressed."""
        return not self._stream.unconsumed_tail

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Decompress to at most ``size`` bytes."""
        return self._stream.decompress(self._stream.unconsumed_tail + packed, size)


class Members:
    """All gzip, xz or bzip2 streams of a file, one after another, with zeros between them.

    Python's own file objects take a damaged stream after a whole one for the end of the file.
    """

    def __init__(self, source: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._source, self._new, self._member = source, decompressor, decompressor()

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end; raises ``EOFError`` for a truncated stream, and
        the decompressor's error for a damaged one."""
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


# First bytes -> decompressor. The name says nothing: a download is called `original`.
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": partial(Members, decompressor=_Gzip),
    b"\xfd7zXZ\x00": partial(Members, decompressor=lzma.LZMADecompressor),
    b"BZh": partial(Members, decompressor=bz2.BZ2Decompressor),
}

# First bytes of what is not read as text, neither plain nor unpacked, and what it is.
_FOREIGN: dict[bytes, str] = {
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\x04\x22\x4d\x18": "packed by lz4",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x1f\x9d": "packed by compress (.Z)",
    b"\x1f\xa0": "packed by compress (.z)",
    b"LZIP": "packed by lzip",
    b"\x89LZO": "packed by lzop",
    b"\x5d\x00\x00": "packed by the old lzma",
    b"\xff\x06\x00\x00sNaPpY": "packed by snappy",
    b"%PDF-": "a PDF",
    b"{\\rtf": "an RTF document",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3\x00": "a SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x7fELF": "a program",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"version https://git-lfs.": "a pointer of Git LFS in place of the file",
    b"<!DOCTYPE html": "a web page",
    b"<!doctype html": "a web page",
}
_HEAD = max(map(len, (*_PACKED, *_FOREIGN)))
_TAR = slice(257, 262)  # `ustar`
_BOM = b"\xef\xbb\xbf"


class Bounded(io.RawIOBase):
    """A stream that raises :class:`UserError` after ``limit`` bytes, for damaged input, and for
    truncated input unless that is ``allowed``."""

    def __init__(self, source: IO[bytes], limit: int, where: str, allowed: bool) -> None:
        self._source, self._left, self._where, self._allowed = source, limit, where, allowed

    def readable(self) -> bool:
        """True, for ``BufferedReader``."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into ``buffer``; returns their number, 0 at the end."""
        try:
            block = self._source.read(len(buffer))
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, EOFError) and self._allowed:
                return 0
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


def bounded(
    source: IO[bytes], packed_bytes: int, where: str, cut: bool = False
) -> io.BufferedReader:
    """``source``, bounded by what ``packed_bytes`` of text may unpack to; with ``cut`` it may be
    truncated."""
    limit = FREE_BYTES + MAX_EXPANSION * packed_bytes
    return io.BufferedReader(Bounded(source, limit, where, cut), _BUFFER)


def is_cut(path: Path, head_bytes: int | None) -> bool:
    """Whether a file was cut at ``head_bytes``; a shorter one is whole.

    Raises :class:`UserError` for a longer one.
    """
    size = path.stat().st_size
    if head_bytes is not None and size > head_bytes:
        raise UserError(
            f"{path} has {size:,} bytes, of which {head_bytes:,} were asked for.",
            "Delete it and fetch it again.",
        )
    return size == head_bytes


@contextmanager
def unpacked(path: Path, cut: bool = False) -> Iterator[io.BufferedReader]:
    """The decompressed bytes of a gzip, xz, bzip2 or plain file, recognised by its first bytes;
    with ``cut`` it may be truncated."""
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
        handle.seek(0)
        found = (unpacker for magic, unpacker in _PACKED.items() if head.startswith(magic))
        source = next(found, lambda plain: plain)(handle)
        yield bounded(source, path.stat().st_size, str(path), cut)


def check_text(stream: io.BufferedReader, where: str, *, utf16: bool = False) -> None:
    """Raise :class:`UserError` naming what ``stream`` is where its first bytes are those of a
    packing or of a kind of file that is no text (``utf16`` may be); reads nothing of it."""
    head = stream.peek(_TAR.stop)
    kinds = {**_FOREIGN, **dict.fromkeys(_PACKED, "packed twice")}
    found = next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)
    if head[_TAR] == b"ustar":
        found = "a tar archive"
    if found and not (utf16 and found.endswith("UTF-16")):
        raise UserError(
            f"{where} is {found}, where text in UTF-8 is expected, plain or in gzip, xz or bzip2.",
            "Correct `format` in the registry row, or unpack or convert the file and name what you "
            "get by `path`.",
        )


def lines(stream: IO[bytes], where: str, cut: bool = False) -> Iterator[bytes]:
    """Lines without their line ends, the first without a byte order mark; with ``cut``, an
    incomplete last line is left out.

    Only a line feed ends a line: Unicode's other separators occur inside sentences, and splitting
    at them would misalign parallel files.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UserError(
                f"{where}: line {number} is longer than {MAX_LINE_BYTES:,} bytes.",
                "Check that the file is the text that its registry row describes.",
            )
        if cut and not line.endswith(b"\n"):
            logger.info("%s: %d bytes of line %d left out at the cut", where, len(line), number)
            return
        yield (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n")


def file_lines(
    path: Path, left: Leftovers, head_bytes: int | None = None
) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the :func:`lines` of one file, or of its first ``head_bytes``, unpacked.
    What is not UTF-8 goes to ``left``."""
    cut = is_cut(path, head_bytes)
    with unpacked(path, cut) as stream:
        check_text(stream, str(path))
        for number, raw in enumerate(lines(stream, str(path), cut), start=1):
            left.lines = number
            if (text := left.text(number, raw)) is not None:
                yield number, text
