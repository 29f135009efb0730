"""Streaming writer of encoded shards, which may be larger than memory.

The header of a safetensors file gives the sizes of the arrays behind it, so each array is first
written to a temporary file of its own.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import SCHEMA, SIDES

_NAMES = {"uint16": "U16", "uint32": "U32", "uint64": "U64", "int64": "I64"}
# safetensors orders arrays by type, then by name.
_RANK = {"U64": 0, "I64": 1, "U32": 2, "U16": 3}


class ShardWriter:
    """Appends sentences to a shard; :meth:`close` writes the file."""

    def __init__(self, path: Path, languages: Sequence[str], tokenizer: str) -> None:
        self._path, self._languages, self._tokenizer = path, list(languages), tokenizer
        self._kind = "mono" if len(languages) == 1 else "parallel"
        self._folder = path.with_name(f".arrays-{path.name}")
        shutil.rmtree(self._folder, ignore_errors=True)  # left by a killed job
        self._folder.mkdir()
        self._ends = [0] * len(languages)
        self._arrays: dict[str, tuple[np.dtype, Path]] = {}
        self.sentences = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.close()
        finally:  # also when the disk is full: these files fill it
            shutil.rmtree(self._folder)

    @property
    def tokens(self) -> int:
        """Tokens so far, of all sides."""
        return sum(self._ends)

    def add(self, keys: np.ndarray, sides: Sequence[Ragged]) -> None:
        """Append sentences: ``keys`` uint64 ``[n]``, and ``n`` sequences of each side."""
        self._append("keys", keys)
        for number, (prefix, side) in enumerate(zip(SIDES[self._kind], sides, strict=True)):
            # Offsets continue those of the last block; their leading 0 is stored once.
            first = 1 if f"{prefix}offsets" in self._arrays else 0
            self._append(f"{prefix}offsets", side.offsets[first:] + self._ends[number])
            self._append(f"{prefix}tokens", side.tokens)
            self._ends[number] += len(side.tokens)
        self.sentences += len(keys)

    def _append(self, name: str, values: np.ndarray) -> None:
        path = self._folder / name
        self._arrays[name] = values.dtype, path
        with path.open("ab") as handle:
            handle.write(np.ascontiguousarray(values).tobytes())

    def close(self) -> None:
        """Write header and arrays into one file."""
        facts = {
            "schema": SCHEMA,
            "kind": self._kind,
            "languages": self._languages,
            "tokenizer": self._tokenizer,
            "sentences": self.sentences,
            "tokens": self.tokens,
        }
        names = sorted(self._arrays, key=lambda name: (_RANK[self._type(name)], name))
        header: dict[str, Any] = {"__metadata__": {"ernie_m": json.dumps(facts, sort_keys=True)}}
        end = 0
        for name in names:
            size = self._arrays[name][1].stat().st_size
            header[name] = {
                "dtype": self._type(name),
                "shape": [size // self._arrays[name][0].itemsize],
                "data_offsets": [end, end + size],
            }
            end += size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        with self._path.open("wb") as sink:
            sink.write(struct.pack("<Q", len(text)) + text)
            for name in names:
                with self._arrays[name][1].open("rb") as source:
                    shutil.copyfileobj(source, sink, 1 << 20)

    def _type(self, name: str) -> str:
        return _NAMES[self._arrays[name][0].name]
