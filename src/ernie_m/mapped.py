"""Arrays of safetensors files that may be larger than memory: read as maps, written in pieces.

By hand because the library copies arrays.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any, Self

import numpy as np

from ernie_m.bounded import parse_json
from ernie_m.ragged import Ragged

Array = np.ndarray

# safetensors orders arrays by type, then by name.
_TYPES = {"U64": np.uint64, "I64": np.int64, "U32": np.uint32, "U16": np.uint16}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_LENGTH_BYTES = 8
_MAX_HEADER = 1 << 20


def map_arrays(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and one-dimensional integer arrays of a safetensors file, which is a length, a JSON
    header, then the arrays' bytes. Raises :class:`ValueError` where it is none, or is cut off."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - _LENGTH_BYTES):
            raise ValueError("it has no header")
        header = handle.read(length)
    # One map a file: each holds a file descriptor, of which a process has about a thousand. Plain
    # arrays of it, since numpy's class for maps makes look-ups of a few numbers twice as slow.
    content = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))[_LENGTH_BYTES + length :]
    try:
        entries = parse_json(header.decode())
        metadata = {name: str(text) for name, text in entries.pop("__metadata__", {}).items()}
        return metadata, {name: _view(content, **entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its header is not understood ({error})") from None


def _view(content: Array, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    kind = np.dtype(_TYPES[dtype])
    (length,) = shape
    first, last = data_offsets
    if last - first != length * kind.itemsize or not 0 <= first <= last <= len(content):
        raise ValueError("the file is cut off")
    return content[first:last].view(kind)


def joined(facts: dict[str, str]) -> dict[str, str]:
    """Facts as one entry of a file's metadata: safetensors writes several in an order that varies
    from run to run."""
    return {"ernie_m": "\n".join(f"{key}={facts[key]}" for key in sorted(facts))}


def parted(metadata: dict[str, str]) -> dict[str, str]:
    """The facts that :func:`joined` put into the metadata; none if it did not."""
    lines = metadata.get("ernie_m", "").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


class ArrayWriter:
    """Appends to the arrays of a safetensors file, which is written when the ``with`` ends.

    The file's header gives the sizes of the arrays behind it, so each array is first written to a
    temporary file of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.with_name(f".arrays-{path.name}")
        shutil.rmtree(self._folder, ignore_errors=True)  # left by a killed job
        self._folder.mkdir()
        self._arrays: dict[str, str] = {}
        self._ends: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self._write()
        finally:  # also when the disk is full: these files fill it
            shutil.rmtree(self._folder)

    def metadata(self) -> dict[str, str]:
        """The file's metadata, asked for at the end."""
        raise NotImplementedError

    def append(self, name: str, values: Array) -> None:
        """Append to the array ``name``; all pieces have one type."""
        self._arrays[name] = _NAMES[values.dtype]
        with (self._folder / name).open("ab") as handle:
            handle.write(np.ascontiguousarray(values).tobytes())

    def append_sequences(self, prefix: str, sequences: Ragged) -> None:
        """Append to the arrays ``<prefix>tokens`` and ``<prefix>offsets``."""
        # Offsets continue those of the last piece; their leading 0 is stored once.
        first = 1 if prefix in self._ends else 0
        end = self._ends.get(prefix, 0)
        self.append(f"{prefix}offsets", sequences.offsets[first:] + end)
        self.append(f"{prefix}tokens", sequences.tokens)
        self._ends[prefix] = end + len(sequences.tokens)

    @property
    def tokens(self) -> int:
        """Tokens so far, of all sequences."""
        return sum(self._ends.values())

    def _write(self) -> None:
        """Write header and arrays into one file."""
        rank = list(_TYPES).index
        names = sorted(self._arrays, key=lambda name: (rank(self._arrays[name]), name))
        header: dict[str, Any] = {"__metadata__": self.metadata()}
        end = 0
        for name in names:
            size = (self._folder / name).stat().st_size
            header[name] = {
                "dtype": self._arrays[name],
                "shape": [size // np.dtype(_TYPES[self._arrays[name]]).itemsize],
                "data_offsets": [end, end + size],
            }
            end += size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        with self._path.open("wb") as sink:
            sink.write(struct.pack("<Q", len(text)) + text)
            for name in names:
                with (self._folder / name).open("rb") as source:
                    shutil.copyfileobj(source, sink, 1 << 20)
