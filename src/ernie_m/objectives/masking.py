"""Choosing the tokens to predict, and what the model sees in their place."""

from __future__ import annotations

import numpy as np

from ernie_m.objectives.layout import FIRST_PIECE

Array = np.ndarray


def select(sentence: Array, candidate: Array, ratio: float, rng: np.random.Generator) -> Array:
    """Choose ``floor(ratio * n + u)`` of each sentence's ``n`` candidates, u uniform in [0, 1).

    ``sentence`` is int64 ``[N]`` (non-decreasing number of each token's sentence), ``candidate``
    bool ``[N]``. At least one and at most ``n - 1`` are chosen where ``n`` is 2 or more: a
    sentence with no visible token gives nothing to read. A single candidate is chosen by the same
    rule as it stands. Returns bool ``[N]``. The count is fairseq's.
    """
    where = np.flatnonzero(candidate)
    owner = sentence[where]
    sizes = np.bincount(owner, minlength=int(sentence[-1]) + 1)
    wanted = np.floor(ratio * sizes + rng.random(len(sizes))).astype(np.int64)
    wanted = np.where(sizes > 1, np.clip(wanted, 1, sizes - 1), np.minimum(wanted, sizes))
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
    """Replace chosen ids: by a random piece, by themselves, else by ``<mask>``.

    ``ids`` int64 ``[N]``, ``chosen`` bool ``[N]``; returns new ids. ``<mask>`` is the last id, so
    random pieces are drawn from ``FIRST_PIECE`` up to it, special tokens never among them.
    """
    out = np.where(chosen, mask_id, ids)
    draw = rng.random(len(ids))
    random_ids = rng.integers(FIRST_PIECE, mask_id, size=len(ids))
    out = np.where(chosen & (draw < random_share), random_ids, out)
    kept = chosen & (draw >= random_share) & (draw < random_share + keep_share)
    return np.where(kept, ids, out)
