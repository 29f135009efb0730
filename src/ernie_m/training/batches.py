"""Collation and the dataloader of pre-training.

A batch is a function of (seed, stage, step) alone: the dataloader's whole state is the step
counter, so batches do not change with shards, workers or a resume. Every process draws all
sentences of a batch, which reads their lengths only, and makes its own rows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ernie_m.config.pretrain import ByStep
from ernie_m.model.packing import Documents, Packed, first_documents, pack
from ernie_m.objectives import OBJECTIVES, objectives
from ernie_m.objectives.draws import Purpose, uniform
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Ragged
from ernie_m.training.by_step import value_at
from ernie_m.training.order import DataOrder, Drawn, Texts, budget_of, class_of

Array = np.ndarray

# A group is `objective index * CLASSES + class`.
CLASSES = 1000


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """First and exclusive last of ``count`` that a part gets; all get as many, or one fewer."""
    return count * part // parts, count * (part + 1) // parts


@dataclass(frozen=True)
class Batch:
    """The rows of a batch that one process makes, and what all processes know of all rows.

    ``rows`` has no labels if there are fewer rows than processes and none for this one.
    ``row_count`` is the number of rows, ``lengths`` int64 ``[n]`` has the documents' lengths,
    ``predicted`` the numbers of predicted tokens by objective index, none of them 0.
    """

    rows: Packed
    row_count: int
    lengths: Array
    predicted: dict[int, int]

    def pinned(self) -> Batch:
        """The same with rows in pinned memory."""
        return replace(self, rows=self.rows.pinned())


@dataclass(frozen=True)
class DataLoader:
    """Stateless dataloader: makes the batch of any step.

    ``ratios`` are the masking ratios by objective that change by step; ``masking`` has the first.
    """

    texts: dict[str, Texts]
    shares: dict[str, float]
    batch_tokens: int
    row_length: int
    alpha: ByStep[float]
    masking: Masking
    seed: int
    ratios: Mapping[str, ByStep[float]] = field(default_factory=dict)
    stage: int = 1

    def dropout_seed(self, step: int, rank: int = 0) -> int:
        """Of torch's random numbers in a step, of which only dropout takes any."""
        return self.seed * 1_000_003 + step + (rank << 40) + (self.stage - 1 << 56)

    @cached_property
    def _orders(self) -> list[DataOrder]:
        budgets = {name: budget_of(name, self.shares, self.batch_tokens) for name in self.texts}
        return [
            DataOrder(name, texts, budgets[name], self.alpha, self.seed, self.stage)
            for name, texts in self.texts.items()
        ]

    def masking_at(self, step: int) -> Masking:
        """The masking of a step."""
        now = {name: value_at(ratio, step) for name, ratio in self.ratios.items()}
        return replace(self.masking, ratio=self.masking.ratio | now)

    def batch(self, step: int, rank: int = 0, size: int = 1) -> Batch:
        """The batch of step ``step`` with the rows of process ``rank`` of ``size``, packed;
        ``groups`` is ``objective index * CLASSES + class``."""
        drawn = [order.at(step) for order in self._orders]
        masking = self.masking_at(step)
        lengths = np.concatenate([own.lengths for own in drawn])
        firsts = first_documents(lengths, self.row_length)
        row_count = len(firsts) - 1
        first, last = share(row_count, rank, size)
        made = self._collate(drawn, masking, firsts[first], firsts[max(last, first + 1)])
        rows = pack(made, self.row_length)
        return Batch(
            rows=rows if first < last else rows.part(0, 0),
            row_count=row_count,
            lengths=lengths,
            predicted=self._predicted(drawn, masking),
        )

    def documents(self, step: int) -> Documents:
        """The examples of step ``step``, not packed."""
        drawn = [order.at(step) for order in self._orders]
        return self._collate(drawn, self.masking_at(step), 0, sum(len(own.index) for own in drawn))

    def _collate(self, drawn: list[Drawn], masking: Masking, first: int, last: int) -> Documents:
        """The examples ``first`` to ``last``, the last one excluded, of all that were drawn."""
        parts = []
        for order, own in zip(self._orders, drawn, strict=True):
            part = slice(max(first, 0), max(last, 0))
            index, keys = own.index[part], own.keys[part]
            if len(index):
                parts.append(collate(order.objective, order.texts, index, masking, keys))
            first, last = first - len(own.index), last - len(own.index)
        return Documents.join(parts)

    def _predicted(self, drawn: list[Drawn], masking: Masking) -> dict[int, int]:
        counts = {}
        for order, own in zip(self._orders, drawn, strict=True):
            wanted = objectives.predicted(order.objective, own.sizes, masking, own.keys)
            counts[OBJECTIVES.index(order.objective)] = int(wanted.sum())
        return {objective: count for objective, count in counts.items() if count}


def collate(objective: str, texts: Texts, index: Array, masking: Masking, keys: Array) -> Documents:
    """Collate the sentences ``index`` into documents of ``objective``; ``keys`` (uint64 ``[n]``)
    are those of their random numbers.

    The two sides of a pair are swapped with probability 0.5; InfoXLM's code stores both orders.
    """
    owner = class_of(texts.sizes, index)
    group = OBJECTIVES.index(objective) * CLASSES + owner
    source = texts.source.take(index)
    language, other = texts.languages_of(index)
    if texts.target is None:
        return objectives.mmlm(source, language, group, masking, keys)
    target = texts.target.take(index)
    if objective == "btmlm":
        return objectives.btmlm(source, target, (language, other), group, masking, keys)
    swap = uniform(keys, Purpose.SWAP) < 0.5
    both = Ragged.join([source, target])
    straight = np.arange(len(index))
    first = both.take(np.where(swap, straight + len(index), straight))
    second = both.take(np.where(swap, straight, straight + len(index)))
    languages = (np.where(swap, other, language), np.where(swap, language, other))
    build = objectives.tlm if objective == "tlm" else objectives.camlm
    return build(first, second, languages, group, masking, keys)
