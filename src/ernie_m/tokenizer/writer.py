"""Streaming writer of encoded shards, which may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ernie_m.mapped import ArrayWriter
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import SCHEMA, SIDES


class ShardWriter(ArrayWriter):
    """Appends sentences to a shard."""

    def __init__(self, path: Path, languages: Sequence[str], tokenizer: str) -> None:
        super().__init__(path)
        self._languages, self._tokenizer = list(languages), tokenizer
        self._kind = "mono" if len(languages) == 1 else "parallel"
        self.sentences = 0

    def add(self, keys: np.ndarray, sides: Sequence[Ragged]) -> None:
        """Append sentences: ``keys`` uint64 ``[n]``, and ``n`` sequences of each side."""
        self.append("keys", keys)
        for prefix, side in zip(SIDES[self._kind], sides, strict=True):
            self.append_sequences(prefix, side)
        self.sentences += len(keys)

    def metadata(self) -> dict[str, str]:
        """What a reader checks."""
        facts = {
            "schema": SCHEMA,
            "kind": self._kind,
            "languages": self._languages,
            "tokenizer": self._tokenizer,
            "sentences": self.sentences,
            "tokens": self.tokens,
        }
        return {"ernie_m": json.dumps(facts, sort_keys=True)}
