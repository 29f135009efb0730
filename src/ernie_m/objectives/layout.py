"""Input layout: ``<s> x </s>`` and ``<s> x </s></s> y </s>``.

The first separator belongs to the source, the second to the target; the paper does not say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ernie_m.objectives.lengths import SINGLE_SPECIALS
from ernie_m.ragged import Ragged

BOS_ID, PAD_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
FIRST_PIECE = 4

Array = np.ndarray


@dataclass(frozen=True)
class Layout:
    """Documents before masking; arrays are int64 ``[N]`` but ``special`` and ``target``, bool.

    ``document`` numbers the tokens' documents; ``lengths`` is int64 ``[n]``.
    """

    ids: Array
    special: Array
    target: Array
    positions: Array
    languages: Array
    document: Array
    lengths: Array

    @property
    def sentence(self) -> Array:
        """Number of each token's sentence: two per document, source then target."""
        return 2 * self.document + self.target

    @property
    def place(self) -> Array:
        """Place of each token in its document, from 0."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(len(self.ids)) - starts[self.document]


def _interleave(parts: list[Ragged]) -> tuple[Array, Array, Array]:
    """Concatenate sequence ``i`` of every part: tokens, part numbers, lengths ``[n]``."""
    count = len(parts[0])
    joined = Ragged.join(parts)
    order = np.arange(count * len(parts)).reshape(len(parts), count).T.ravel()
    part_of = np.repeat(np.tile(np.arange(len(parts)), count), joined.lengths[order])
    lengths = np.sum([part.lengths for part in parts], axis=0)
    return joined.take(order).tokens, part_of, lengths


def _constant(token: int, count: int) -> Ragged:
    return Ragged(np.full(count, token, dtype=np.int64), np.arange(count + 1))


def single(source: Ragged, language: Array) -> Layout:
    """``<s> x </s>``; ``language`` is int64 ``[n]``."""
    count = len(source)
    ids, part, lengths = _interleave([_constant(BOS_ID, count), source, _constant(EOS_ID, count)])
    document = np.repeat(np.arange(count), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Layout(
        ids=ids,
        special=part != 1,
        target=np.zeros(len(ids), dtype=bool),
        positions=np.arange(len(ids)) - starts,
        languages=language[document],
        document=document,
        lengths=lengths,
    )


def pair(
    source: Ragged, target: Ragged, source_language: Array, target_language: Array, positions: str
) -> Layout:
    """``<s> x </s></s> y </s>``; languages are int64 ``[n]``.

    ``positions`` is ``continuous`` (as in the paper's figure) or ``reset`` (the target starts again
    at 0, as in XLM, so that translations have similar positions).
    """
    count = len(source)
    eos = _constant(EOS_ID, count)
    ids, part, lengths = _interleave([_constant(BOS_ID, count), source, eos, eos, target, eos])
    document = np.repeat(np.arange(count), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_target = part >= 3
    position = np.arange(len(ids)) - starts
    if positions == "reset":
        position = position - is_target * (source.lengths + SINGLE_SPECIALS)[document]
    return Layout(
        ids=ids,
        special=(part != 1) & (part != 4),
        target=is_target,
        positions=position,
        languages=np.where(is_target, target_language[document], source_language[document]),
        document=document,
        lengths=lengths,
    )
