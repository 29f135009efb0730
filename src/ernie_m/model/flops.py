"""Arithmetic of a model, and how much of it a device can do.

A multiplication with its addition counts as two operations. Only useful work counts: no padding, no
recomputation.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from ernie_m.model.architecture import Architecture

MATRIX = {"cpu": 1024, "cuda": 8192}


def forward_flops(shape: Architecture, lengths: np.ndarray, scored: int) -> float:
    """Operations of one pass over documents of ``lengths`` tokens, of which ``scored`` go through
    the head."""
    lengths = np.asarray(lengths, dtype=np.float64)
    weights = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.ffn)
    attention = 4 * shape.layers * shape.width * float(np.square(lengths).sum())
    head = 2 * scored * shape.width * (shape.width + shape.vocabulary)
    return 2 * weights * float(lengths.sum()) + attention + head


def training_flops(shape: Architecture, lengths: np.ndarray, scored: int) -> float:
    """Operations of one training step; the way back costs twice the way there."""
    return 3 * forward_flops(shape, lengths, scored)


def matrix_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Operations per second of a large matrix product, the best of as many as fit ``seconds``."""
    size = MATRIX[device.type]
    left = torch.randn(size, size, device=device).to(dtype)
    out = torch.empty_like(left)
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        torch.mm(left, left, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - before)
    return 2 * size**3 / best
