"""Encoded sentences in safetensors files, memory-mapped.

A monolingual shard holds ``tokens`` (uint16, or uint32 for more than 65,535 ids) ``[N]``,
``offsets`` int64 ``[n + 1]`` and ``keys`` uint64 ``[n]``, the hash of each sentence's row id; a
parallel shard holds ``source_tokens``, ``source_offsets``, ``target_tokens``, ``target_offsets``
and ``keys``. They hold no special tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.bounded import parse_json
from ernie_m.corpora.hashing import hash64
from ernie_m.errors import UserError
from ernie_m.mapped import map_arrays
from ernie_m.ragged import Ragged

SCHEMA = 1
SIDES = {"mono": ("",), "parallel": ("source_", "target_")}


@dataclass(frozen=True)
class Shard:
    """One shard; ``sides`` and ``languages`` have one entry for monolingual text, two for pairs."""

    languages: tuple[str, ...]
    tokenizer: str
    keys: np.ndarray
    sides: tuple[Ragged, ...]

    def __len__(self) -> int:
        return len(self.keys)


def sentence_keys(ids: Sequence[str]) -> np.ndarray:
    """BLAKE2b-64 of row ids, uint64 ``[n]``: they identify sentences whatever their order."""
    return np.array([hash64(name) for name in ids], dtype=np.uint64)


def read_shard(path: Path, tokenizer: str | None = None) -> Shard:
    """A shard whose arrays are read-only memory maps.

    Raises :class:`UserError` when the file is damaged or not a shard, or was encoded with another
    tokenizer than ``tokenizer`` (its SHA-256).
    """
    facts, arrays = _read(path)
    if tokenizer is not None and facts["tokenizer"] != tokenizer:
        raise UserError(
            f"{path} was encoded with tokenizer {facts['tokenizer'][:12]}, "
            f"not with {tokenizer[:12]}.",
            "Run tokenizer.pack again with this tokenizer.",
        )
    try:
        sides = tuple(
            Ragged(arrays[f"{prefix}tokens"], arrays[f"{prefix}offsets"])
            for prefix in SIDES[facts["kind"]]
        )
        shard = Shard(tuple(facts["languages"]), facts["tokenizer"], arrays["keys"], sides)
    except KeyError as error:
        raise _damaged(path, f"it lacks {error}") from None
    if shard.keys.dtype != np.uint64:
        raise _damaged(path, "its arrays are of other types")
    for side in sides:
        if fault := side.fault(facts["sentences"]):
            raise _damaged(path, fault)
    if len(shard) != facts["sentences"]:
        raise _damaged(path, "its counts do not agree")
    return shard


def check_ids(path: Path, shard: Shard, vocabulary: int) -> None:
    """Raise :class:`UserError` for a shard with ids beyond the ``vocabulary``; reads all of it."""
    for side in shard.sides:
        if fault := side.id_fault(vocabulary):
            raise _damaged(path, fault)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is not a whole shard: {reason}.",
        "Delete it and run tokenizer.pack again.",
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        metadata, arrays = map_arrays(path)
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    try:
        facts = parse_json(metadata["ernie_m"])
        _check_facts(facts)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"its header is not understood ({error})") from None
    return facts, arrays


def _check_facts(facts: Mapping[str, Any]) -> None:
    if facts["schema"] != SCHEMA:
        raise ValueError(f"schema {facts['schema']}, not {SCHEMA}")
    languages = facts["languages"]
    if len(languages) != len(SIDES[facts["kind"]]) or not all(
        isinstance(code, str) for code in languages
    ):
        raise ValueError("languages do not fit the kind")
    if not isinstance(facts["sentences"], int):
        raise ValueError("no number of sentences")
    if not isinstance(facts["tokenizer"], str):
        raise ValueError("no tokenizer")
