"""Texts of a task as documents for the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ernie_m.errors import UserError
from ernie_m.model.architecture import POSITION_OFFSET, Architecture
from ernie_m.model.attention import Stream, Table
from ernie_m.model.packing import IGNORE_INDEX, Documents
from ernie_m.objectives.layout import Layout, pair, single
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.vocabulary import Tokenizer

Array = np.ndarray
Ids = Sequence[Sequence[int]]


def ragged(sequences: Sequence[Sequence[int]] | Sequence[Array]) -> Ragged:
    """Sequences of integers, int64, laid end to end."""
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    flat = (value for sequence in sequences for value in sequence)
    return Ragged(np.fromiter(flat, dtype=np.int64, count=int(offsets[-1])), offsets)


def _documents(layout: Layout) -> Documents:
    """Documents with full self-attention: ``SOURCE`` stream, one-sentence table."""
    count, total = len(layout.lengths), len(layout.ids)
    return Documents(
        ids=layout.ids,
        labels=np.full(total, IGNORE_INDEX, dtype=np.int64),
        streams=np.full(total, Stream.SOURCE, dtype=np.int64),
        positions=layout.positions,
        languages=layout.languages,
        lengths=layout.lengths,
        table=np.full(count, Table.ONE_SENTENCE, dtype=np.int64),
        group=np.zeros(count, dtype=np.int64),
    )


@dataclass(frozen=True)
class Reader:
    """Tokenizer and input layout of an encoder.

    ``max_tokens`` is the longest document, special tokens included; with ``language_embedding``
    ``own`` texts get the embedding of their language, with ``none`` they get none.
    """

    tokenizer: Tokenizer
    shape: Architecture
    max_tokens: int
    language_embedding: Literal["own", "none"]

    def __post_init__(self) -> None:
        if self.tokenizer.sha256 != self.shape.tokenizer:
            raise UserError(
                f"The checkpoint was made with another tokenizer than {self.tokenizer.path}.",
                "Give the tokenizer of the same run as the checkpoint.",
            )
        room = self.shape.max_positions - POSITION_OFFSET
        if self.max_tokens > room:
            raise UserError(
                f"The encoder has positions for {room} tokens, fewer than {self.max_tokens}.",
                "Lower `xtreme.finetune.max_tokens`, or raise `model.max_positions`.",
            )

    def _rows(self, languages: Sequence[str]) -> Array:
        """Row of each text's language in the language embedding; -1 for none.

        A language without pre-training gets none: benchmarks have many, and the row of another
        language would be wrong.
        """
        known = self.shape.languages if self.language_embedding == "own" else ()
        row = {language: number for number, language in enumerate(known)}
        return np.array([row.get(language, -1) for language in languages], dtype=np.int64)

    def singles(self, texts: Ids, languages: Sequence[str]) -> Documents:
        """``<s> x </s>``; the caller truncates."""
        return _documents(single(ragged(texts), self._rows(languages)))

    def pairs(
        self, first: Ids, second: Ids, firsts: Sequence[str], seconds: Sequence[str]
    ) -> Documents:
        """``<s> x </s></s> y </s>``, positions as in pre-training; the caller truncates."""
        rows = self._rows(firsts), self._rows(seconds)
        return _documents(pair(ragged(first), ragged(second), *rows, self.shape.pair_positions))
