"""Sequences of unequal length: end to end in one array, or in the files where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np

Array = np.ndarray


def spans(first: Array, lengths: Array) -> Array:
    """``first[i]``, ``first[i] + 1``, ... for ``lengths[i]`` places of each sequence ``i``."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(first - before, lengths) + np.arange(int(lengths.sum()))


def smallest_type(values: int) -> np.dtype:
    """The smallest unsigned type of 16 bits or more that holds ``values`` different tokens."""
    return np.dtype(np.uint16 if values <= np.iinfo(np.uint16).max else np.uint32)


class Sequences(Protocol):
    """``n`` sequences of tokens, wherever they lie."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Array: ...

    def lengths_of(self, order: Array) -> Array:
        """Tokens of the sequences numbered by ``order``, int64."""

    def take(self, order: Array) -> Ragged:
        """The sequences numbered by ``order``, in that order, as int64 in memory."""


@dataclass(frozen=True)
class Ragged:
    """``n`` sequences end to end: ``tokens`` integer ``[N]``, ``offsets`` int64 ``[n + 1]``."""

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

    def fault(self, count: int) -> str | None:
        """What is wrong with ``count`` sequences that were read from a file; None if nothing is."""
        offsets = self.offsets
        if self.tokens.dtype.kind not in "iu" or offsets.dtype != np.int64:
            return "its arrays are of other types"
        if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(self.tokens):
            return "its counts do not agree"
        return "its offsets fall" if (offsets[1:] < offsets[:-1]).any() else None

    def id_fault(self, values: int) -> str | None:
        """The same of ids that are not below ``values``; reads all tokens."""
        kind = np.iinfo(self.tokens.dtype)
        if not len(self.tokens) or 0 <= kind.min <= kind.max < values:
            return None
        least, most = int(self.tokens.min()) if kind.min else 0, int(self.tokens.max())
        wrong = least if least < 0 else most
        return None if 0 <= wrong < values else f"it has the id {wrong}, of {values} ids"

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], values: int) -> Ragged:
        """``sequences`` in the smallest type that holds ``values`` different tokens."""
        offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
        np.cumsum([len(sequence) for sequence in sequences], out=offsets[1:])
        flat = (token for sequence in sequences for token in sequence)
        return cls(np.fromiter(flat, smallest_type(values), int(offsets[-1])), offsets)

    def lengths_of(self, order: Array) -> Array:
        """Tokens of the sequences numbered by ``order``, int64."""
        return self.offsets[order + 1] - self.offsets[order]

    def take(self, order: Array) -> Ragged:
        """The sequences numbered by ``order``, in that order, as int64."""
        lengths = self.lengths_of(order)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = self.tokens[spans(self.offsets[order], lengths)]
        return Ragged(tokens.astype(np.int64, copy=False), offsets)

    def cut(self, longest: int) -> Ragged:
        """Each sequence's first ``longest`` tokens."""
        lengths = np.minimum(self.lengths, longest)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Ragged(self.tokens[spans(self.offsets[:-1], lengths)], offsets)

    @staticmethod
    def join(parts: Sequence[Ragged]) -> Ragged:
        """Sequences of all ``parts``, in order."""
        starts = np.cumsum([0, *(len(part.tokens) for part in parts)])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        tokens = [part.tokens for part in parts] or [np.zeros(0, dtype=np.int64)]
        return Ragged(np.concatenate(tokens), np.concatenate([*offsets, starts[-1:]]))


@dataclass(frozen=True)
class Chained:
    """Sequences of all ``parts``, in order, each cut to its first ``longest`` tokens.

    They stay where they lie, as a rule in memory maps; only what is taken is read.
    """

    parts: tuple[Ragged, ...]
    longest: int

    @cached_property
    def starts(self) -> Array:
        """Number of the first sequence of each part, and of all sequences, int64 ``[p + 1]``."""
        return np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Array:
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.parts[part][index - int(self.starts[part])][: self.longest]

    def _places(self, order: Array) -> tuple[Array, list[tuple[Ragged, slice, Array]]]:
        """What sorts ``order``; and each part that is asked for, its span of the sorted numbers,
        and these as numbers within it."""
        by_number = np.argsort(order)
        edges = np.searchsorted(order, self.starts, sorter=by_number)
        within = order[by_number] - np.repeat(self.starts[:-1], np.diff(edges))
        spans = zip(self.parts, pairwise(edges.tolist()), strict=True)
        return by_number, [
            (part, slice(*span), within[slice(*span)]) for part, span in spans if span[0] < span[1]
        ]

    def _bounds(self, places: Sequence[tuple[Ragged, slice, Array]]) -> tuple[Array, Array]:
        """First token within its part, and tokens, of each sequence of ``places``, int64."""
        count = places[-1][1].stop if places else 0
        first, last = (np.zeros(count, dtype=np.int64) for _ in range(2))
        for part, span, within in places:
            first[span] = part.offsets[within]
            last[span] = part.offsets[1:][within]
        return first, np.minimum(last - first, self.longest)

    def lengths_of(self, order: Array) -> Array:
        """Tokens of the sequences numbered by ``order``, int64."""
        by_number, places = self._places(order)
        lengths = np.zeros(len(order), dtype=np.int64)
        lengths[by_number] = self._bounds(places)[1]
        return lengths

    def cut(self) -> dict[str, int]:
        """How many sequences and tokens there are, and how many are cut."""
        found = dict.fromkeys(("texts", "texts_cut", "tokens", "tokens_cut"), 0)
        for part in self.parts:
            excess = np.maximum(part.lengths - self.longest, 0)
            found["texts"] += len(part)
            found["texts_cut"] += int(np.count_nonzero(excess))
            found["tokens"] += int(part.offsets[-1] - part.offsets[0])
            found["tokens_cut"] += int(excess.sum())
        return found

    def take(self, order: Array) -> Ragged:
        """The sequences numbered by ``order``, in that order, as int64 in memory."""
        by_number, places = self._places(order)
        first, lengths = self._bounds(places)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = spans(first, lengths)
        tokens = np.empty(offsets[-1], dtype=np.int64)
        for part, span, _ in places:
            own = slice(offsets[span.start], offsets[span.stop])
            tokens[own] = part.tokens[index[own]]
        return Ragged(tokens, offsets).take(np.argsort(by_number))


@dataclass(frozen=True)
class Picked:
    """Those of other sequences that ``index`` numbers, int64 ``[n]``, in its order."""

    sequences: Sequences
    index: Array

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> Array:
        return self.sequences[int(self.index[index])]

    def lengths_of(self, order: Array) -> Array:
        """Tokens of the sequences numbered by ``order``, int64."""
        return self.sequences.lengths_of(self.index[order])

    def take(self, order: Array) -> Ragged:
        """The sequences numbered by ``order``, in that order, as int64 in memory."""
        return self.sequences.take(self.index[order])
