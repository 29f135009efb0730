"""Sampling probability of each language or pair: p ~ (n / sum n) ** alpha (XLM, section 3.1).

``n`` is the number of encoded sequences, as in XLM and fairseq.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def smoothed_probabilities(sizes: np.ndarray, alpha: float) -> np.ndarray:
    """Sampling probabilities ``p ~ (n / sum n) ** alpha``; 0 for empty classes."""
    share = np.where(sizes > 0, (sizes / max(sizes.sum(), 1)) ** alpha, 0.0)
    return share / share.sum()


def sampling_shares(sizes: Mapping[str, float], alpha: float) -> dict[str, float]:
    """The same by name. Raises ``ValueError`` when all are empty."""
    if not any(sizes.values()):
        raise ValueError("there is nothing to draw from")
    shares = smoothed_probabilities(np.array(list(sizes.values()), dtype=float), alpha)
    return dict(zip(sizes, shares.tolist(), strict=True))
