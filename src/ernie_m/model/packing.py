"""Documents of unequal length, and their packing into rows.

With short text, padding every example to the longest wastes most of a step. Packing several
examples into one row, separated by the attention mask, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ernie_m.model.attention import Stream, Table
from ernie_m.model.device import sent
from ernie_m.ragged import spans

PAD_ID = 1
IGNORE_INDEX = -100
# What a row holds where it is padding; all else is 0.
PADDING = {"ids": PAD_ID, "labels": IGNORE_INDEX, "groups": -1, "documents": -1}

Array = np.ndarray


@dataclass(frozen=True)
class Documents:
    """``n`` documents laid end to end; all arrays but ``lengths`` and ``table`` are int64 ``[N]``.

    ``labels`` holds the token to predict, or ``IGNORE_INDEX``. ``lengths`` and ``table`` (see
    :class:`Table`) are int64 ``[n]``; ``group`` is int64 ``[n]``, a tag of the caller's (objective
    and language) that is passed on to the packed rows.
    """

    ids: Array
    labels: Array
    streams: Array
    positions: Array
    languages: Array
    lengths: Array
    table: Array
    group: Array

    def __len__(self) -> int:
        return len(self.lengths)

    @staticmethod
    def join(parts: Sequence[Documents]) -> Documents:
        """Documents of all ``parts``, in order."""
        names = Documents.__dataclass_fields__
        return Documents(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def take(self, order: Array) -> Documents:
        """The documents numbered by ``order``, in that order."""
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[order]
        index = spans(starts[order], lengths)
        per_token = ("ids", "labels", "streams", "positions", "languages")
        per_document = ("lengths", "table", "group")
        return replace(
            self,
            **{n: getattr(self, n)[index] for n in per_token},
            **{n: getattr(self, n)[order] for n in per_document},
        )


def sentences(sequences: Sequence[Sequence[int]], languages: Sequence[int]) -> Documents:
    """Documents of token ids as they are (special tokens included), one per sequence.

    ``languages`` gives the language row of each sequence. For inference: there are no labels.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    total = int(lengths.sum())
    flat = (token for sequence in sequences for token in sequence)
    return Documents(
        ids=np.fromiter(flat, dtype=np.int64, count=total),
        labels=np.full(total, IGNORE_INDEX, dtype=np.int64),
        streams=np.full(total, Stream.SOURCE, dtype=np.int64),
        positions=np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths),
        languages=np.repeat(np.asarray(languages, dtype=np.int64), lengths),
        lengths=lengths,
        table=np.full(len(lengths), Table.ONE_SENTENCE, dtype=np.int64),
        group=np.zeros(len(lengths), dtype=np.int64),
    )


@dataclass(frozen=True)
class Scored:
    """The tokens to predict: flat positions in the rows, labels and groups, int64 ``[N]`` each."""

    where: Tensor
    labels: Tensor
    groups: Tensor

    def to(self, device: torch.device) -> Scored:
        """The same on ``device``."""
        return Scored(*(sent(tensor, device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Packed:
    """Rows of packed documents.

    Tensors are int64 ``[R, L]``: ids, labels, positions, languages, streams, tables, groups and
    documents (number within the row, -1 on padding). ``rows`` and ``starts`` (int64 ``[n]``) say
    where document ``i`` lies: ``[rows[i], starts[i] : starts[i] + lengths[i]]``.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    languages: Tensor
    streams: Tensor
    tables: Tensor
    groups: Tensor
    documents: Tensor
    rows: Array
    starts: Array
    lengths: Array

    def to(self, device: torch.device) -> Packed:
        """The same rows with their tensors on ``device``."""
        moved = {n: sent(v, device) for n, v in vars(self).items() if isinstance(v, Tensor)}
        return Packed(**(vars(self) | moved))

    def padded(self, count: int) -> Packed:
        """The same with rows of padding behind them, ``count`` rows in all."""
        more = (0, 0, 0, count - len(self.ids))
        tensors = {
            n: F.pad(v, more, value=PADDING.get(n, 0))
            for n, v in vars(self).items()
            if isinstance(v, Tensor)
        }
        return Packed(**(vars(self) | tensors))

    def pinned(self) -> Packed:
        """The same rows in pinned memory, from which copies to a GPU are asynchronous."""
        pinned = {n: v.pin_memory() for n, v in vars(self).items() if isinstance(v, Tensor)}
        return Packed(**(vars(self) | pinned))

    def part(self, first: int, last: int) -> Packed:
        """Rows ``first`` to ``last``, the last one excluded. If empty, one dummy row without
        labels, so that all ranks run the same collectives."""
        rows = slice(first, last) if first < last else slice(0, 1)
        tensors = {n: v[rows] for n, v in vars(self).items() if isinstance(v, Tensor)}
        if first >= last:
            tensors["labels"] = torch.full_like(tensors["labels"], IGNORE_INDEX)
        inside = (self.rows >= first) & (self.rows < last)
        return Packed(
            **tensors,  # type: ignore[arg-type]
            rows=self.rows[inside] - rows.start,
            starts=self.starts[inside],
            lengths=self.lengths[inside],
        )

    def scored(self) -> Scored:
        """The tokens to predict, in the order of the rows."""
        labels = self.labels.flatten()
        where = (labels != IGNORE_INDEX).nonzero().squeeze(1)
        return Scored(where, labels[where], self.groups.flatten()[where])

    def flat_index(self) -> Array:
        """Index into the rows laid end to end of every token, document by document."""
        return spans(self.rows * self.ids.shape[1] + self.starts, self.lengths)


def first_documents(lengths: Array, row_length: int, one_per_row: bool = False) -> Array:
    """Number of the first document of each row, and of all documents, int64 ``[R + 1]``.

    Next-fit packing in order: a row takes documents while they fit, so rows from any row on do not
    depend on those before. Raises ``ValueError`` when a document is longer than a row, or there are
    none.
    """
    if not len(lengths) or lengths.max() > row_length:
        raise ValueError(f"documents must be 1 to {row_length} tokens long")
    if one_per_row:
        return np.arange(len(lengths) + 1)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    # By document: the first one after the row that would start with it.
    following = np.searchsorted(ends, ends + row_length, side="right") - 1
    firsts, count = np.zeros(1, dtype=np.int64), len(lengths)
    while firsts[-1] < count:  # twice as many rows each time
        firsts = np.concatenate([firsts, following[firsts]])
        following = following[following]
    return firsts[: np.searchsorted(firsts, count) + 1]


def pack(documents: Documents, row_length: int, one_per_row: bool = False) -> Packed:
    """Pack documents, in order, into rows of ``row_length`` tokens.

    ``one_per_row`` pads each document to a row of its own, so that results do not depend on its
    neighbours, bit for bit. Raises as :func:`first_documents`.
    """
    firsts = first_documents(documents.lengths, row_length, one_per_row)
    count = len(firsts) - 1
    rows = np.repeat(np.arange(count), np.diff(firsts))
    before = np.cumsum(documents.lengths) - documents.lengths
    starts = before - before[firsts[:-1]][rows]
    within = np.arange(len(rows)) - firsts[rows]
    index = spans(rows * row_length + starts, documents.lengths)

    def scatter(name: str, values: Array) -> Tensor:
        out = np.full(count * row_length, PADDING.get(name, 0), dtype=np.int64)
        out[index] = values
        return torch.from_numpy(out.reshape(count, row_length))

    per_token = ("ids", "labels", "positions", "languages", "streams")
    per_document = {"tables": documents.table, "groups": documents.group, "documents": within}
    return Packed(
        **{name: scatter(name, getattr(documents, name)) for name in per_token},
        **{
            name: scatter(name, np.repeat(values, documents.lengths))
            for name, values in per_document.items()
        },
        rows=rows,
        starts=starts,
        lengths=documents.lengths,
    )
