"""Masking: which tokens to predict, and what replaces them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ernie_m.objectives.layout import FIRST_PIECE

Array = np.ndarray


def replacement_counts(sizes: Array, ratio: float, rng: np.random.Generator) -> Array:
    """Number of tokens to replace in sentences of ``sizes`` tokens, int64 ``[n]``.

    ``floor(ratio * size + u)`` with u uniform in [0, 1), as in fairseq. With two tokens or more, at
    least one and at most all but one: without a visible token there is no context.
    """
    wanted = np.floor(ratio * sizes + rng.random(len(sizes))).astype(np.int64)
    return np.where(sizes > 1, np.clip(wanted, 1, sizes - 1), np.minimum(wanted, sizes))


def select(
    sentence: Array,
    candidate: Array,
    count: Callable[[Array], Array],
    rng: np.random.Generator,
) -> Array:
    """Choose ``count(n)`` of each sentence's ``n`` candidates uniformly at random.

    ``sentence`` is int64 ``[N]`` (non-decreasing number of each token's sentence), ``candidate``
    bool ``[N]``; ``count`` turns int64 ``[n]`` into int64 ``[n]``. Returns bool ``[N]``.
    """
    where = np.flatnonzero(candidate)
    owner = sentence[where]
    sizes = np.bincount(owner, minlength=int(sentence[-1]) + 1)
    wanted = count(sizes)
    order = np.lexsort((rng.random(len(where)), owner))
    rank = np.arange(len(where)) - (np.cumsum(sizes) - sizes)[owner[order]]
    chosen = np.zeros(len(sentence), dtype=bool)
    chosen[where[order[rank < wanted[owner[order]]]]] = True
    return chosen


def corrupt(
    ids: Array,
    chosen: Array,
    mask_id: int,
    random_share: float,
    keep_share: float,
    rng: np.random.Generator,
) -> Array:
    """Replace chosen ids by a random piece (``random_share``), by themselves (``keep_share``), or
    by ``<mask>``.

    ``ids`` int64 ``[N]``, ``chosen`` bool ``[N]``; returns new ids. ``<mask>`` is the last id, so
    random pieces are drawn from ``FIRST_PIECE`` up to it, never special tokens.
    """
    out = np.where(chosen, mask_id, ids)
    draw = rng.random(len(ids))
    random_ids = rng.integers(FIRST_PIECE, mask_id, size=len(ids))
    out = np.where(chosen & (draw < random_share), random_ids, out)
    kept = chosen & (draw >= random_share) & (draw < random_share + keep_share)
    return np.where(kept, ids, out)
