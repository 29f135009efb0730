"""Attention masks: which token may attend to which, as one small table per objective.

Each token belongs to a *document* (one training example; several are packed into a row) and to
one of four *streams*. A token attends to another when both belong to the same document and the
table of the document's objective allows its stream to attend to the other's. That is the whole
rule.

Sources: Figure 1 of the paper for the rows of slots, and for the rows it does not draw the only
choice without leaks (if a token attended to the other sentence, it would pass tokens of the slot's
own sentence to the slot, from the second layer on).
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask


class Stream(IntEnum):
    """A token's role in its document: a token of the source or target, or a slot that predicts one,
    either in its place (MMLM, TLM, BTMLM) or as an extra token (CAMLM, generation)."""

    SOURCE = 0
    TARGET = 1
    SOURCE_SLOT = 2
    TARGET_SLOT = 3


class Table(IntEnum):
    """Index of an objective's table in :data:`TABLES`."""

    ONE_SENTENCE = 0  # MMLM
    EVERYTHING = 1  # TLM, and the training step of BTMLM
    CROSS = 2  # CAMLM, and the generation step of BTMLM


#          reads:  S  T  s  t
TABLES = torch.tensor(
    [
        # S             T             s             t
        [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]],
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]],
    ],
    dtype=torch.bool,
)


@cache
def _kept_on(device: torch.device, tables: Tensor) -> Tensor:
    """A copy that is made once."""
    return tables.to(device)


def allowed(documents: Tensor, streams: Tensor, tables: Tensor) -> Tensor:
    """Attention mask of packed rows, block-diagonal by document.

    ``documents``, ``streams`` and ``tables`` are int64 ``[R, L]``: document number within the row
    (-1 where the row is padding), :class:`Stream` and :class:`Table` of each token. Returns bool
    ``[R, L, L]``, True where the query (second axis) may attend to the key (third axis). Padding
    attends to padding only, so that no row of the mask is empty.
    """
    reads = _kept_on(streams.device, TABLES)[tables, streams]
    cells = reads.gather(2, streams.unsqueeze(1).expand(-1, streams.shape[1], -1))
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return same & (cells | (documents < 0).unsqueeze(2))


def block_mask(documents: Tensor, streams: Tensor, tables: Tensor) -> BlockMask:
    """:func:`allowed` for FlexAttention, which skips fully masked blocks."""
    reads = _kept_on(streams.device, TABLES)

    def rule(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        cell = reads[tables[row, query], streams[row, query], streams[row, key]]
        same = documents[row, query] == documents[row, key]
        return same & (cell | (documents[row, query] < 0))

    rows, length = documents.shape
    return create_block_mask(rule, rows, None, length, length, device=str(documents.device))
