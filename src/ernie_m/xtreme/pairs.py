"""Pair classification: one of several classes for two texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ernie_m.errors import UserError
from ernie_m.objectives.lengths import PAIR_SPECIALS
from ernie_m.xtreme.features import Features
from ernie_m.xtreme.files import Label, TextPair
from ernie_m.xtreme.layout import Reader, ragged

Array = np.ndarray


def cut_longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens kept of either text: the longer one gives way until both fit (ERNIE-M's reader)."""
    if first + second <= room:
        return first, second
    half = room // 2
    if first <= half:
        return first, room - first
    if second <= room - half:
        return room - second, second
    return half, room - half


class PairClassification:
    """See :class:`ernie_m.xtreme.kinds.Kind`."""

    def __init__(self, labels: Sequence[str], reader: Reader) -> None:
        self.labels = list(labels)
        self.reader = reader

    def featurise(self, examples: Sequence[TextPair], language: str) -> Features:
        firsts, seconds = [], []
        sides = [[e.first for e in examples], [e.second for e in examples]]
        tokens = [self.reader.tokenizer.encode(side) for side in sides]
        room = self.reader.max_tokens - PAIR_SPECIALS
        for first, second in zip(*tokens, strict=True):
            kept = cut_longest_first(len(first), len(second), room)
            firsts.append(first[: kept[0]])
            seconds.append(second[: kept[1]])
        documents = self.reader.pairs(
            firsts,
            seconds,
            [e.first_language for e in examples],
            [e.second_language for e in examples],
        )
        return Features(
            documents=documents,
            where=ragged([[0]] * len(examples)),
            targets=ragged([[self._index(example)] for example in examples]),
            owner=np.arange(len(examples)),
        )

    def _index(self, example: TextPair) -> int:
        if example.label not in self.labels:
            raise UserError(
                f"Example {example.id} has the class `{example.label}`, which is none of "
                f"{', '.join(self.labels)}.",
                "Prepare the task's examples again.",
            )
        return self.labels.index(example.label)

    def decode(
        self, examples: Sequence[TextPair], features: Features, scores: Sequence[Array]
    ) -> list[Label]:
        return [
            Label(id=example.id, label=self.labels[int(row[0].argmax())])
            for example, row in zip(examples, scores, strict=True)
        ]
