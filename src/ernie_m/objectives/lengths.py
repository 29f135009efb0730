"""Length limits of texts: one rule for encoding, training and generation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Array = np.ndarray

SINGLE_SPECIALS, PAIR_SPECIALS = 2, 4


def slots(lengths: Array, ratio: float) -> Array:
    """Number of slots of a text of each of ``lengths`` tokens, int64: the share ``ratio`` of them,
    at least one. The same for CAMLM's mask slots and for the placeholders of generation."""
    return np.minimum(lengths, 1).astype(np.int64) * np.maximum(
        1, np.round(ratio * lengths).astype(np.int64)
    )


def max_text_tokens(objective: str, row_length: int, ratio: float = 0.0) -> int:
    """Most tokens of a text (of either side of a pair) for which an example of ``objective`` fits
    into a row, special tokens and slots included.

    ``ratio`` is CAMLM's share of slots, or BTMLM's of placeholders; the other objectives have none.
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
    """Most tokens of a stored text, of which one or two (``sides``) make an example: as many as the
    longest row holds without slots."""
    return max_text_tokens("mmlm" if sides == 1 else "tlm", max(row_lengths))
