"""Sequences of unequal length laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Ragged:
    """``n`` sequences: ``tokens`` integer ``[N]``, ``offsets`` int64 ``[n + 1]``."""

    tokens: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """int64 ``[n]``."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> Array:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], values: int) -> Ragged:
        """``sequences`` in the smallest unsigned type of 16 bits or more that holds ``values``
        different tokens."""
        kind = np.uint16 if values <= np.iinfo(np.uint16).max else np.uint32
        offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
        np.cumsum([len(sequence) for sequence in sequences], out=offsets[1:])
        flat = (token for sequence in sequences for token in sequence)
        return cls(np.fromiter(flat, dtype=kind, count=int(offsets[-1])), offsets)

    def take(self, order: Array) -> Ragged:
        """The sequences numbered by ``order``, in that order, as int64."""
        lengths = self.lengths[order]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = np.repeat(self.offsets[order] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.tokens[index].astype(np.int64), offsets)

    def cut(self, longest: int) -> Ragged:
        """The same sequences, each cut to its first ``longest`` tokens."""
        lengths = np.minimum(self.lengths, longest)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = np.repeat(self.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.tokens[index], offsets)

    @staticmethod
    def join(parts: Sequence[Ragged]) -> Ragged:
        """Sequences of all ``parts``, in order."""
        starts = np.cumsum([0, *(len(part.tokens) for part in parts)])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        tokens = [part.tokens for part in parts] or [np.zeros(0, dtype=np.int64)]
        return Ragged(np.concatenate(tokens), np.concatenate([*offsets, starts[-1:]]))
