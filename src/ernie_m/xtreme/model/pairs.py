"""Classification: one of several classes for two texts, or for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ernie_m.errors import UserError
from ernie_m.model.packing import Documents
from ernie_m.objectives.lengths import PAIR_SPECIALS, SINGLE_SPECIALS
from ernie_m.xtreme.files import Label, TextPair
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.layout import Reader, ragged

Array = np.ndarray


def cut_longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens kept of each text: the longer one is truncated first (ERNIE-M's reader)."""
    if first + second <= room:
        return first, second
    half = room // 2
    if first <= half:
        return first, room - first
    if second <= room - half:
        return room - second, second
    return half, room - half


class PairClassification:
    """See :class:`ernie_m.xtreme.model.kinds.Kind`."""

    def __init__(self, labels: Sequence[str], reader: Reader) -> None:
        self.labels = list(labels)
        self.reader = reader

    def featurise(self, examples: Sequence[TextPair], language: str) -> Features:
        return Features(
            documents=self._documents(examples),
            where=ragged([[0]] * len(examples)),
            targets=ragged([[self._index(example)] for example in examples]),
            owner=np.arange(len(examples)),
        )

    def _documents(self, examples: Sequence[TextPair]) -> Documents:
        """One truncated document per example; either all have a second text, or none."""
        firsts = self.reader.tokenizer.encode([e.first for e in examples])
        first_languages = [e.first_language for e in examples]
        others = [(e.second, e.second_language or "") for e in examples if e.second is not None]
        if not others:
            room = self.reader.max_tokens - SINGLE_SPECIALS
            return self.reader.singles([ids[:room] for ids in firsts], first_languages)
        seconds = self.reader.tokenizer.encode([text for text, _ in others])
        room = self.reader.max_tokens - PAIR_SPECIALS
        kept = [
            cut_longest_first(len(a), len(b), room) for a, b in zip(firsts, seconds, strict=True)
        ]
        return self.reader.pairs(
            [ids[:n] for ids, (n, _) in zip(firsts, kept, strict=True)],
            [ids[:n] for ids, (_, n) in zip(seconds, kept, strict=True)],
            first_languages,
            [language for _, language in others],
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
        self, examples: Sequence[TextPair], features: Features, logits: Sequence[Array]
    ) -> list[Label]:
        return [
            Label(id=example.id, label=self.labels[int(row[0].argmax())])
            for example, row in zip(examples, logits, strict=True)
        ]
