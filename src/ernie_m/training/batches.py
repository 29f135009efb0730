"""Which examples a step trains on.

A batch is a function of (seed, step) alone: the sampler's whole state is the step counter, so
nothing changes with shards, workers or a resume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ernie_m.model.packing import Documents, Packed, pack
from ernie_m.objectives import objectives
from ernie_m.objectives.lengths import PAIR_SPECIALS, SINGLE_SPECIALS, slots
from ernie_m.objectives.objectives import OBJECTIVES, Masking
from ernie_m.ragged import Ragged, Sequences

Array = np.ndarray

# Room for the spread of example lengths when drawing enough of them to fill a token budget.
DRAW_MARGIN, DRAW_EXTRA = 1.3, 16
# A group is `objective index * CLASSES + class`.
CLASSES = 1000
# Sentences that are looked at together where all of a corpus are: some 100 MiB of tokens at most.
BLOCK = 2**14


def class_of(sizes: Array, index: Array) -> Array:
    """Class of each sentence numbered by ``index``, classes of ``sizes`` laid one after another."""
    return np.searchsorted(np.cumsum(sizes), index, side="right")


@dataclass(frozen=True)
class Texts:
    """Sentences of one objective, classes (a language or a pair) laid one after another.

    ``target`` is None for monolingual text. ``languages`` int64 ``[c, 2]`` gives the language row
    of each side of a class, ``sizes`` int64 ``[c]`` its sentences, ``names`` its name. Where the
    targets of a class are not of one language, ``spoken`` ``[n]`` gives the row of each.
    ``slot_ratio`` is the share of either side's tokens beside which CAMLM puts a slot.
    """

    source: Sequences
    target: Sequences | None
    languages: Array
    sizes: Array
    names: tuple[str, ...]
    spoken: Array | None = None
    slot_ratio: float = 0.0

    def lengths_of(self, index: Array) -> Array:
        """Tokens of each document numbered by ``index`` once laid out, slots included, int64."""
        source = self.source.lengths_of(index)
        if self.target is None:
            return source + SINGLE_SPECIALS
        target = self.target.lengths_of(index)
        whole = source + target + PAIR_SPECIALS
        if self.slot_ratio:
            whole += slots(source, self.slot_ratio) + slots(target, self.slot_ratio)
        return whole

    def languages_of(self, index: Array) -> tuple[Array, Array]:
        """Language rows of either side of the sentences numbered by ``index``, int64 each."""
        source, target = self.languages[class_of(self.sizes, index)].T
        return source, target if self.spoken is None else self.spoken[index].astype(np.int64)

    def blocks(self, number: int, every: int = 1) -> Iterator[Array]:
        """Numbers of every ``every``-th sentence of class ``number``, as many at a time as fit any
        memory."""
        last = int(self.sizes[: number + 1].sum())
        for first in range(last - int(self.sizes[number]), last, BLOCK * every):
            yield np.arange(first, min(first + BLOCK * every, last), every)

    @cached_property
    def mean_lengths(self) -> Array:
        """Mean tokens of a document by class, float64 ``[c]``; 0 for an empty class."""
        totals = [
            sum(int(self.lengths_of(block).sum()) for block in self.blocks(number))
            for number in range(len(self.sizes))
        ]
        return np.array(totals, dtype=np.float64) / np.maximum(self.sizes, 1)


def smoothed(sizes: Array, alpha: float) -> Array:
    """Sampling probabilities ``p ~ (n / sum n) ** alpha``; empty classes get none."""
    share = np.where(sizes > 0, (sizes / max(sizes.sum(), 1)) ** alpha, 0.0)
    return share / share.sum()


@dataclass(frozen=True)
class Sampler:
    """Draws the batch of any step."""

    texts: dict[str, Texts]
    shares: dict[str, float]
    batch_tokens: int
    row_length: int
    alpha: float
    masking: Masking
    seed: int

    def batch(self, step: int) -> Packed:
        """Packed rows of step ``step``; ``groups`` is ``objective index * CLASSES + class``."""
        return pack(self.documents(step), self.row_length)

    def documents(self, step: int) -> Documents:
        """The examples of step ``step``."""
        total = sum(self.shares.values())
        parts = [
            self._draw(name, round(self.batch_tokens * share / total), step)
            for name, share in self.shares.items()
            if share > 0
        ]
        return Documents.join(parts)

    def _draw(self, objective: str, budget: int, step: int) -> Documents:
        texts = self.texts[objective]
        rng = np.random.default_rng([self.seed, OBJECTIVES.index(objective), step])
        probability = smoothed(texts.sizes, self.alpha)
        mean = float(probability @ texts.mean_lengths)
        count = int(budget / mean * DRAW_MARGIN) + DRAW_EXTRA
        chosen = rng.choice(len(texts.sizes), size=count, p=probability)
        first = np.cumsum(texts.sizes) - texts.sizes
        index = first[chosen] + np.floor(rng.random(count) * texts.sizes[chosen]).astype(np.int64)
        lengths = texts.lengths_of(index)
        fits = np.cumsum(lengths) <= max(budget, int(lengths[0]))
        return document_batch(objective, texts, index[fits], self.masking, rng)


def document_batch(
    objective: str, texts: Texts, index: Array, masking: Masking, rng: np.random.Generator
) -> Documents:
    """Documents of ``objective`` for the sentences numbered by ``index``.

    Pairs are laid out in either order, drawn by coin, as the sibling code stores both.
    """
    owner = class_of(texts.sizes, index)
    group = OBJECTIVES.index(objective) * CLASSES + owner
    source = texts.source.take(index)
    language, other = texts.languages_of(index)
    if texts.target is None:
        return objectives.mmlm(source, language, group, masking, rng)
    target = texts.target.take(index)
    if objective == "btmlm":
        return objectives.btmlm(source, target, (language, other), group, masking, rng)
    swap = rng.random(len(index)) < 0.5
    both = Ragged.join([source, target])
    here = np.arange(len(index))
    first = both.take(np.where(swap, here + len(index), here))
    second = both.take(np.where(swap, here, here + len(index)))
    languages = (np.where(swap, other, language), np.where(swap, language, other))
    build = objectives.tlm if objective == "tlm" else objectives.camlm
    return build(first, second, languages, group, masking, rng)
