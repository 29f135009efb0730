"""Features: examples as inputs of the encoder and of a task's head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ernie_m.model.packing import Documents, Packed, pack
from ernie_m.ragged import Ragged

Array = np.ndarray

# Shortest row: it packs several short documents; longer rows would only cost attention.
ROW_TOKENS = 128
# Arrays with a value per token, which take nearly all of the memory.
PER_TOKEN = ("ids", "labels", "streams", "positions", "languages")
PER_DOCUMENT = ("lengths", "table", "group")


def _narrow(values: Array) -> Array:
    """The same integers in the smallest signed type that holds all of them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return values.astype(np.min_scalar_type(min(low, -1 - high)))


def _taken(ragged: Ragged, order: Array) -> tuple[Array, Array]:
    """Sequences ``order`` laid end to end, and their lengths, int64."""
    lengths = ragged.offsets[order + 1] - ragged.offsets[order]
    return np.concatenate([ragged[i] for i in order.tolist()]).astype(np.int64), lengths


@dataclass(frozen=True)
class Batch:
    """Packed documents, and the positions that the head reads.

    ``where`` int64 ``[N]`` indexes the rows laid end to end; ``counts`` int64 ``[n]`` is the number
    of these positions per document; ``targets`` int64 ``[M]`` are the documents' targets end to
    end.
    """

    packed: Packed
    where: Tensor
    counts: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Features:
    """``n`` documents made from examples; an example that is too long gives several.

    ``where``: positions of document ``i`` that the head reads. ``targets``: the labels there (one
    class per position), or for questions the two indices into ``where[i]`` at which the answer
    starts and ends. ``owner`` int64 ``[n]`` is the number of a document's example.
    """

    documents: Documents
    where: Ragged
    targets: Ragged
    owner: Array

    def __len__(self) -> int:
        return len(self.documents)

    def narrowed(self) -> Features:
        """The same with integers in the smallest types that hold them, a fifth of the memory;
        batches widen them again. For training only, as :meth:`join`."""
        documents = {name: _narrow(getattr(self.documents, name)) for name in PER_TOKEN}
        return Features(
            documents=replace(self.documents, **documents),
            where=replace(self.where, tokens=_narrow(self.where.tokens)),
            targets=replace(self.targets, tokens=_narrow(self.targets.tokens)),
            owner=self.owner,
        )

    @staticmethod
    def join(parts: Sequence[Features]) -> Features:
        """Documents of all ``parts``, in order, owners numbered through; for training only."""
        owners = [part.owner.max(initial=-1) + 1 for part in parts]
        firsts = np.cumsum([0, *owners[:-1]])
        return Features(
            documents=Documents.join([part.documents for part in parts]),
            where=Ragged.join([part.where for part in parts]),
            targets=Ragged.join([part.targets for part in parts]),
            owner=np.concatenate([p.owner + n for p, n in zip(parts, firsts, strict=True)]),
        )

    def batch(self, order: Array) -> Batch:
        """Documents ``order``, packed."""
        documents = self._taken(order)
        packed = pack(documents, max(ROW_TOKENS, int(documents.lengths.max())))
        where, counts = _taken(self.where, order)
        targets, _ = _taken(self.targets, order)
        first = packed.rows * packed.ids.shape[1] + packed.starts
        return Batch(
            packed=packed,
            where=torch.from_numpy(np.repeat(first, counts) + where),
            counts=torch.from_numpy(counts),
            targets=torch.from_numpy(targets),
        )

    @cached_property
    def _starts(self) -> Array:
        return np.cumsum(self.documents.lengths) - self.documents.lengths

    def _taken(self, order: Array) -> Documents:
        """``documents.take(order)`` at a cost independent of the number of documents: a step on
        XNLI takes 32 of six million."""
        ends = self._starts[order] + self.documents.lengths[order]
        spans = zip(self._starts[order].tolist(), ends.tolist(), strict=True)
        index = np.concatenate([np.arange(first, last) for first, last in spans])
        return replace(
            self.documents,
            **{name: getattr(self.documents, name)[index] for name in PER_TOKEN},
            **{name: getattr(self.documents, name)[order] for name in PER_DOCUMENT},
        )

    def by_length(self, size: int) -> Iterator[Array]:
        """Batches of ``size`` documents of similar length, covering all."""
        order = np.argsort(self.documents.lengths, kind="stable")
        for first in range(0, len(order), size):
            yield order[first : first + size]
