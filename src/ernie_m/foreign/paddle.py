"""PaddlePaddle's ``.pdparams``: a pickle of NumPy arrays, read without executing it.

A pickle is a program that calls the functions it names. Here every name is refused but the few that
arrays need, and these are mapped to functions of this module that take numbers and bytes only.
NumPy gets nothing but bytes whose length was checked.
"""

from __future__ import annotations

import math
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

# Paddle's table from structured to internal names, stored with the tensors.
_NAMES = "StructuredToParameterName@@"
_TYPES = ("f2", "f4", "f8", "i4", "i8")


class _Type:
    """Replaces ``numpy.dtype``: a code such as ``f4``, little-endian."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in _TYPES:
            raise pickle.UnpicklingError(f"an array is of type {code!r}")
        self.code = str(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError("an array is not little-endian")


class _Array:
    """Replaces ``numpy.ndarray``; its state is version, shape, type, order, bytes."""

    value: np.ndarray

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Type) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array is not stored as numbers")
        size = int(kind.code[1]) * math.prod(shape)
        if any(not isinstance(n, int) or n < 0 for n in shape) or size != len(data):
            raise pickle.UnpicklingError("an array has not as many numbers as its shape says")
        flat = np.frombuffer(data, dtype="<" + kind.code)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: object, code: object) -> bytes:
    """Replaces ``_codecs.encode``, with which pickles of protocol 2 store bytes."""
    if not isinstance(text, str) or code != "latin1":
        raise pickle.UnpicklingError("it encodes something else than bytes")
    return text.encode("latin1")


_ALLOWED = {
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")
        return _ALLOWED[module, name]


class _Bounded:
    """A file that refuses to be asked for more than it has, before memory is taken for it."""

    def __init__(self, handle: BinaryIO, size: int) -> None:
        self.handle, self.size = handle, size
        self.readline, self.tell = handle.readline, handle.tell

    def read(self, count: int) -> bytes:
        if count > self.size:
            raise pickle.UnpicklingError("it asks for more bytes than the file has")
        return self.handle.read(count)


def _check_sizes(handle: BinaryIO, size: int) -> None:
    """Raise ``pickle.UnpicklingError`` for a pickle that asks for more than the file has: lengths,
    and numbers of its memo, a table that grows to the highest."""
    for operation, argument, _ in pickletools.genops(cast(Any, _Bounded(handle, size))):
        if "PUT" in operation.name and cast(int, argument) > size:
            raise pickle.UnpicklingError("it numbers more objects than the file has bytes")
    handle.seek(0)


def _load(handle: BinaryIO) -> dict[str, Tensor]:
    _check_sizes(handle, os.fstat(handle.fileno()).st_size)
    content = _Unpickler(handle).load()
    if not isinstance(content, dict):
        raise pickle.UnpicklingError("it holds no named arrays")
    arrays = {name: value for name, value in content.items() if name != _NAMES}
    if not all(isinstance(n, str) and isinstance(v, _Array) for n, v in arrays.items()):
        raise pickle.UnpicklingError("it holds something else than named arrays")
    return {name: torch.from_numpy(array.value.copy()) for name, array in arrays.items()}


def read_pdparams(path: Path) -> dict[str, Tensor]:
    """Tensors by name, as stored (linear weights ``[in, out]``).

    Raises ``pickle.UnpicklingError`` for anything but arrays of numbers, ``EOFError`` for a
    truncated file.
    """
    try:
        with path.open("rb") as handle:
            return _load(handle)
    except (AttributeError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise pickle.UnpicklingError(f"it is damaged ({error})") from None
