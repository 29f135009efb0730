"""Nearest neighbours among sentence vectors, in blocks of rows, so that memory stays bounded.

Vectors are unit length, float32 ``[n, D]``; similarities float32 ``[n, m]``, rows English, columns
foreign.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ernie_m.config.xtreme import PredictSettings

Array = np.ndarray
# Similarities per block, of which a few copies are in memory.
BLOCK_CELLS = 1 << 26


def similarities(ours: Array, theirs: Array, cells: int = BLOCK_CELLS) -> Iterator[Array]:
    """Cosines, by blocks of rows."""
    rows = max(1, cells // max(1, len(theirs)))
    for first in range(0, len(ours), rows):
        yield ours[first : first + rows] @ theirs.T


def _highest(similarity: Array, count: int) -> Array:
    """Each row's highest values, ``[n, count]``, or all where there are fewer."""
    count = min(count, similarity.shape[1])
    return np.partition(similarity, -count, axis=1)[:, -count:]


def margins(
    ours: Array, theirs: Array, neighbours: int, cells: int = BLOCK_CELLS
) -> Iterator[Array]:
    """Ratio margin, by blocks of rows: cosine over the mean cosine of both sentences' nearest
    neighbours.

    Similarities are computed twice, first for the neighbours: at BUCC's size they do not fit into
    memory.
    """
    row_means: list[Array] = []
    column_highest: Array | None = None
    for block in similarities(ours, theirs, cells):
        row_means.append(_highest(block, neighbours).mean(axis=1, keepdims=True))
        highest = _highest(block.T, neighbours)
        if column_highest is not None:
            highest = _highest(np.concatenate([column_highest, highest], axis=1), neighbours)
        column_highest = highest
    if column_highest is None:
        return
    column = column_highest.mean(axis=1, keepdims=True).T
    for row, block in zip(row_means, similarities(ours, theirs, cells), strict=True):
        yield block / np.maximum((row + column) / 2, 1e-6)


def nearest(ours: Array, theirs: Array, settings: PredictSettings) -> Array:
    """Row of the nearest of ``theirs`` to each of ``ours``, int64 ``[n]``; the first among
    equals."""
    if settings.scoring == "margin":
        blocks = margins(ours, theirs, settings.neighbours)
    else:
        blocks = similarities(ours, theirs)
    return np.concatenate([block.argmax(axis=1) for block in blocks])
