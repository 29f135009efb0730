"""Which examples a step trains on.

A batch is a function of (seed, step) alone: the sampler's whole state is the step counter, so
nothing changes with shards, workers or a resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ernie_m.model.packing import Documents, Packed, pack
from ernie_m.objectives import objectives
from ernie_m.objectives.layout import PAIR_SPECIALS, SINGLE_SPECIALS
from ernie_m.objectives.objectives import OBJECTIVES, Masking
from ernie_m.ragged import Ragged

Array = np.ndarray

# Room for the spread of example lengths when drawing enough of them to fill a token budget.
DRAW_MARGIN, DRAW_EXTRA = 1.3, 16
# A group is `objective index * CLASSES + class`.
CLASSES = 1000


@dataclass(frozen=True)
class Texts:
    """Sentences of one objective, classes (a language or a pair) laid one after another.

    ``target`` is None for monolingual text. ``languages`` int64 ``[n, 2]`` gives the language row
    of each side; ``sizes`` int64 ``[c]`` the sentences of each class; ``names`` their names.
    """

    source: Ragged
    target: Ragged | None
    languages: Array
    sizes: Array
    names: tuple[str, ...]

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each document once laid out, int64 ``[n]``."""
        if self.target is None:
            return self.source.lengths + SINGLE_SPECIALS
        return self.source.lengths + self.target.lengths + PAIR_SPECIALS

    @cached_property
    def classes(self) -> Array:
        """Class of each sentence, int64 ``[n]``."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


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
        lengths = texts.lengths
        probability = smoothed(texts.sizes, self.alpha)
        mean = float(probability @ _class_means(lengths, texts.sizes))
        count = int(budget / mean * DRAW_MARGIN) + DRAW_EXTRA
        chosen = rng.choice(len(texts.sizes), size=count, p=probability)
        first = np.cumsum(texts.sizes) - texts.sizes
        index = first[chosen] + np.floor(rng.random(count) * texts.sizes[chosen]).astype(np.int64)
        fits = np.cumsum(lengths[index]) <= max(budget, int(lengths[index[0]]))
        return document_batch(objective, texts, index[fits], self.masking, rng)


def _class_means(lengths: Array, sizes: Array) -> Array:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return np.bincount(owner, lengths, minlength=len(sizes)) / np.maximum(sizes, 1)


def document_batch(
    objective: str, texts: Texts, index: Array, masking: Masking, rng: np.random.Generator
) -> Documents:
    """Documents of ``objective`` for the sentences numbered by ``index``.

    Pairs are laid out in either order, drawn by coin, as the sibling code stores both.
    """
    owner = texts.classes[index]
    group = OBJECTIVES.index(objective) * CLASSES + owner
    source = texts.source.take(index)
    language, other = texts.languages[index].T
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
