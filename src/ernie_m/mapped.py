"""Arrays of a safetensors file as read-only memory maps.

Read by hand because the library copies arrays, and a corpus may be larger than memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ernie_m.bounded import parse_json

Array = np.ndarray

_TYPES = {"U16": np.uint16, "U32": np.uint32, "U64": np.uint64, "I64": np.int64}
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
