"""FLOPs of a model.

A multiply-add counts as two. Only useful work is counted: no padding, no recomputation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ernie_m.config.model import ModelSettings
from ernie_m.model.architecture import Architecture


def forward_flops(
    shape: Architecture | ModelSettings, vocabulary: int, lengths: ArrayLike, scored: float
) -> float:
    """FLOPs of a forward pass over documents of ``lengths`` tokens, ``scored`` of which go through
    the LM head over the ``vocabulary``."""
    lengths = np.asarray(lengths, dtype=np.float64)
    weights = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.ffn)
    attention = 4 * shape.layers * shape.width * float(np.square(lengths).sum())
    head = 2 * scored * shape.width * (shape.width + vocabulary)
    return 2 * weights * float(lengths.sum()) + attention + head


def training_flops(
    shape: Architecture | ModelSettings, vocabulary: int, lengths: ArrayLike, scored: float
) -> float:
    """FLOPs of a training step; the backward pass costs twice the forward pass."""
    return 3 * forward_flops(shape, vocabulary, lengths, scored)
