"""Data order: the sentences that each step of a stage of pre-training reads.

It depends on the number and lengths of the sentences alone, so it is known before anything is
trained; nothing here loads torch, for the text is also sampled where nothing is computed with a
model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ernie_m.config.pretrain import ByStep
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.lengths import PAIR_SPECIALS, SINGLE_SPECIALS, slots
from ernie_m.ragged import Sequences
from ernie_m.training.by_step import phases, value_at
from ernie_m.training.sampling import smoothed_probabilities

Array = np.ndarray

# Examples drawn to fill a token budget: a factor and a constant beyond the expected number.
DRAW_MARGIN, DRAW_EXTRA = 1.3, 16
# Sentences per block in a pass over a whole corpus: some 100 MiB of tokens at most.
BLOCK = 2**14


def class_of(sizes: Array, index: Array) -> Array:
    """Class of each sentence numbered by ``index``; classes of ``sizes`` are numbered through."""
    return np.searchsorted(np.cumsum(sizes), index, side="right")


@dataclass(frozen=True)
class Texts:
    """The dataset of one objective: sentences, numbered through its classes (a language or a pair).

    ``target`` is None for monolingual text. ``languages`` int64 ``[c, 2]`` gives the language row
    of each side of a class, ``sizes`` int64 ``[c]`` its number of sentences, ``names`` its name.
    Where the targets of a class are in several languages, ``target_rows`` maps sentence numbers to
    language rows. ``slot_ratio`` is the share of either side's tokens for which CAMLM adds slots.
    """

    source: Sequences
    target: Sequences | None
    languages: Array
    sizes: Array
    names: tuple[str, ...]
    target_rows: Callable[[Array], Array] | None = None
    slot_ratio: float = 0.0

    def sizes_of(self, index: Array) -> Array:
        """Tokens of source and target of the sentences ``index``, int64 ``[n, 2]``."""
        source = self.source.lengths_of(index)
        target = np.zeros_like(source) if self.target is None else self.target.lengths_of(index)
        return np.stack([source, target], axis=1)

    def documents_of(self, sizes: Array) -> Array:
        """Document lengths of sentences of ``sizes``, special tokens and slots included, int64."""
        if self.slot_ratio:
            sizes = sizes + slots(sizes, self.slot_ratio)
        return np.add(*sizes.T) + (SINGLE_SPECIALS if self.target is None else PAIR_SPECIALS)

    def lengths_of(self, index: Array) -> Array:
        """Document lengths of the sentences ``index``, int64."""
        return self.documents_of(self.sizes_of(index))

    def languages_of(self, index: Array) -> tuple[Array, Array]:
        """Language rows of source and target of the sentences ``index``, int64 each."""
        source, target = self.languages[class_of(self.sizes, index)].T
        return source, target if self.target_rows is None else self.target_rows(index)

    def blocks(self, number: int, every: int = 1) -> Iterator[Array]:
        """Numbers of every ``every``-th sentence of class ``number``, in blocks that bound
        memory."""
        last = int(self.sizes[: number + 1].sum())
        for first in range(last - int(self.sizes[number]), last, BLOCK * every):
            yield np.arange(first, min(first + BLOCK * every, last), every)

    @cached_property
    def moments(self) -> Array:
        """Mean document length, and mean of its square, by class, float64 ``[2, c]``; 0 for an
        empty class."""
        totals = np.zeros((2, len(self.sizes)))
        for number in range(len(self.sizes)):
            for block in self.blocks(number):
                lengths = self.lengths_of(block)
                totals[:, number] += lengths.sum(), (lengths**2).sum()
        return totals / np.maximum(self.sizes, 1)


def evenly_spaced(sizes: Array, most: int) -> Array:
    """Numbers of up to ``most`` evenly spaced sentences of each class, int64."""
    starts = np.cumsum(sizes) - sizes
    return np.concatenate(
        [
            start + np.linspace(0, size - 1, min(size, most)).astype(np.int64)
            for start, size in zip(starts, sizes, strict=True)
        ]
    )


@dataclass(frozen=True)
class Drawn:
    """Sentences of a step: their numbers ``index``, the ``keys`` of their random numbers (uint64),
    document ``lengths``, int64 ``[n]`` each, and ``sizes`` as of :meth:`Texts.sizes_of`."""

    index: Array
    keys: Array
    lengths: Array
    sizes: Array


@dataclass(frozen=True)
class DataOrder:
    """Data order of an objective: the sentences of each step, up to a budget of tokens.

    It depends on the number and lengths of the sentences alone, so back-translation knows it before
    there are pseudo tokens to train on. ``stage``, 1 or 2, has draws of its own: where both have
    the same objectives, the second would else repeat the batches of the first, masks and all.
    """

    objective: str
    texts: Texts
    budget: int
    alpha: ByStep[float]
    seed: int
    stage: int = 1

    @cached_property
    def _draws(self) -> dict[float, tuple[Array, int, float]]:
        """By exponent, the probability of each class, the number of candidates, and the tokens with
        which a batch is full.

        A batch ends with the sentence that fills it. To leave that one out would draw long
        sentences less often, the more so the smaller a budget is; by which it is too long on
        average is in the end of the budget instead (renewal theory).
        """
        found = {}
        for _, alpha in phases(self.alpha):
            probability = smoothed_probabilities(self.texts.sizes, alpha)
            mean, square = self.texts.moments @ probability
            count = int(self.budget / mean * DRAW_MARGIN) + DRAW_EXTRA
            found[alpha] = probability, count, max(0.0, self.budget - square / (2 * mean))
        return found

    def _candidates(self, step: int) -> tuple[Array, np.random.Generator]:
        sizes = self.texts.sizes
        probability, count, _ = self._draws[value_at(self.alpha, step)]
        rng = np.random.default_rng(
            [self.seed, OBJECTIVES.index(self.objective), step, self.stage - 1]
        )
        chosen = rng.choice(len(sizes), size=count, p=probability)
        first = (np.cumsum(sizes) - sizes)[chosen]
        return first + np.floor(rng.random(count) * sizes[chosen]).astype(np.int64), rng

    def _taken(self, lengths: Array, step: int) -> Array:
        """Whether candidates of these lengths, ``[..., count]``, are taken, at a step: until those
        before fill the batch."""
        _, _, full = self._draws[value_at(self.alpha, step)]
        return np.cumsum(lengths, axis=-1) - lengths <= full

    def at(self, step: int) -> Drawn:
        """The sentences of a step."""
        index, rng = self._candidates(step)
        sizes = self.texts.sizes_of(index)
        lengths = self.texts.documents_of(sizes)
        count = int(np.count_nonzero(self._taken(lengths, step)))
        return Drawn(index[:count], draw_keys(rng, count), lengths[:count], sizes[:count])

    def read_by(self, steps: int) -> Array:
        """Numbers of all sentences that the first ``steps`` steps read, sorted, int64."""
        numbers = []
        block_steps = max(1, BLOCK // max(count for _, count, _ in self._draws.values()))
        changes = (step for step, _ in phases(self.alpha) if step < steps)
        ends = sorted({*range(0, steps, block_steps), *changes, steps})
        for first, end in pairwise(ends):  # steps of a block have as many candidates each
            index = np.stack([self._candidates(step)[0] for step in range(first, end)])
            lengths = self.texts.lengths_of(index.ravel()).reshape(index.shape)
            numbers.append(np.unique(index[self._taken(lengths, first)]))
        return np.unique(np.concatenate(numbers))


def budget_of(objective: str, shares: dict[str, float], batch_tokens: int) -> int:
    """Token budget of an objective in a batch."""
    return round(batch_tokens * shares[objective] / sum(shares.values()))


def draw_keys(rng: np.random.Generator, count: int) -> Array:
    """Keys of the random numbers of ``count`` examples, uint64."""
    return rng.integers(0, 2**64, size=count, dtype=np.uint64)
