"""How many tokens a text may have: one rule for encoding, training and generation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Array = np.ndarray

SINGLE_SPECIALS, PAIR_SPECIALS = 2, 4


def slots(lengths: Array, ratio: float) -> Array:
    """How many of its tokens a text of each of ``lengths`` gets slots for, int64: the share
    ``ratio``, at least one. Counts CAMLM's mask slots and step A's placeholders alike."""
    return np.minimum(lengths, 1).astype(np.int64) * np.maximum(
        1, np.round(ratio * lengths).astype(np.int64)
    )


def max_text_tokens(objective: str, row_length: int, ratio: float = 0.0) -> int:
    """Most tokens of a text of ``objective`` (of either side of a pair) whose example fits into a
    row, special tokens and slots included.

    ``ratio`` is CAMLM's share of slots, or BTMLM's of placeholders; the others add none.
    """
    text = np.arange(1, row_length + 1)
    extra = slots(text, ratio)
    total = {
        "mmlm": text + SINGLE_SPECIALS,
        "tlm": 2 * text + PAIR_SPECIALS,
        "camlm": 2 * (text + extra) + PAIR_SPECIALS,
        "btmlm": text + extra + PAIR_SPECIALS,
    }
    return int((total[objective] <= row_length).sum())


def max_stored_tokens(sides: int, row_lengths: Iterable[int]) -> int:
    """Most tokens of an encoded text, one or both ``sides`` of which make an example: what the
    longest of the rows has room for beside no slots."""
    return max_text_tokens("mmlm" if sides == 1 else "tlm", max(row_lengths))
