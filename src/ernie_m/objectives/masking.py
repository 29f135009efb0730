"""Masking: which tokens to predict, and what replaces them."""

from __future__ import annotations

import numpy as np

from ernie_m.objectives.draws import Purpose, uniform
from ernie_m.objectives.layout import FIRST_PIECE
from ernie_m.ragged import spans

Array = np.ndarray
# Bits of a sort key: the sentence, random ones, the place among its candidates. Rows have at most a
# million tokens; that the earlier of two tokens wins a tie shifts shares by a millionth.
SENTENCE_BITS, RANDOM_BITS, PLACE_BITS = 24, 20, 20


def replacement_counts(sizes: Array, ratio: float, uniforms: Array) -> Array:
    """Number of tokens to replace in sentences of ``sizes`` tokens, int64 of their shape.

    ``floor(ratio * size + u)`` with u of ``uniforms`` in [0, 1), as in fairseq. With two tokens or
    more, at least one and at most all but one: without a visible token there is no context.
    """
    counts = np.floor(ratio * sizes + uniforms).astype(np.int64)
    return np.where(sizes > 1, np.clip(counts, 1, sizes - 1), np.minimum(counts, sizes))


def select(random: Array, sizes: Array, wanted: Array) -> Array:
    """Choose ``wanted[i]`` of the ``sizes[i]`` tokens of sentence ``i`` uniformly at random.

    ``random`` (uint64 ``[N]``) are random bits of all tokens, sentence after sentence; ``sizes``
    and ``wanted`` are int64 ``[n]``. Returns the chosen tokens' numbers among all, int64.

    A sort by sentence and random bits puts the chosen first. One sort of plain numbers is ten times
    as fast as one by two keys.
    """
    if len(sizes) > 2**SENTENCE_BITS:
        raise ValueError(f"more than 2 ** {SENTENCE_BITS} sentences at once")
    first = np.cumsum(sizes) - sizes
    # A sentence's part of the key, less its first token's number: adding a token's makes a place.
    sentence = np.arange(len(sizes)) << (RANDOM_BITS + PLACE_BITS)
    key = random >> np.uint64(64 - RANDOM_BITS)
    key <<= np.uint64(PLACE_BITS)
    key += np.repeat(sentence - first, sizes).view(np.uint64)
    key += np.arange(len(random), dtype=np.uint64)
    key.sort()
    place = key[spans(first, wanted)] & np.uint64(2**PLACE_BITS - 1)
    return np.repeat(first, wanted) + place.astype(np.int64)


def corrupt(
    ids: Array,
    where: Array,
    mask_id: int,
    random_share: float,
    keep_share: float,
    keys: Array,
    place: Array,
) -> Array:
    """Replace the ids at ``where`` by a random piece (``random_share``), by themselves
    (``keep_share``), or by ``<mask>``.

    ``ids`` int64 ``[N]``; ``where`` int64 ``[k]``, whose tokens have ``keys`` and ``place``
    (:mod:`ernie_m.objectives.draws`); returns new ids. ``<mask>`` is the last id, so random pieces
    are drawn from ``FIRST_PIECE`` up to it, never special tokens.
    """
    draw = uniform(keys, Purpose.REPLACE, place)
    pieces = uniform(keys, Purpose.PIECE, place) * (mask_id - FIRST_PIECE)
    random_ids = FIRST_PIECE + pieces.astype(np.int64)
    kept_or_masked = np.where(draw < random_share + keep_share, ids[where], mask_id)
    out = ids.copy()
    out[where] = np.where(draw < random_share, random_ids, kept_or_masked)
    return out
