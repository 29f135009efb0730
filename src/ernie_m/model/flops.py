"""Arithmetic of a model.

A multiplication with its addition counts as two operations. Only useful work counts: no padding, no
recomputation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ernie_m.config.model import ModelSettings
from ernie_m.model.architecture import Architecture


def forward_flops(
    shape: Architecture | ModelSettings, vocabulary: int, lengths: ArrayLike, scored: float
) -> float:
    """Operations of one pass over documents of ``lengths`` tokens, of which ``scored`` go through
    the head over the ``vocabulary``."""
    lengths = np.asarray(lengths, dtype=np.float64)
    weights = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.ffn)
    attention = 4 * shape.layers * shape.width * float(np.square(lengths).sum())
    head = 2 * scored * shape.width * (shape.width + vocabulary)
    return 2 * weights * float(lengths.sum()) + attention + head


def training_flops(
    shape: Architecture | ModelSettings, vocabulary: int, lengths: ArrayLike, scored: float
) -> float:
    """Operations of one training step; the way back costs twice the way there."""
    return 3 * forward_flops(shape, vocabulary, lengths, scored)
