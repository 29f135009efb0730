"""Tagging: one tag per word, predicted at the word's first piece."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ernie_m.errors import UserError
from ernie_m.objectives.lengths import SINGLE_SPECIALS
from ernie_m.xtreme.files import TaggedSentence, Tags
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.layout import Reader, ragged

Array = np.ndarray
WORD_START = "▁"  # what SentencePiece writes for the space before a word
# Han and kana, which have no space before them in running text.
_UNSPACED = re.compile("[\u2e80-\u2fdf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Tagging:
    """See :class:`ernie_m.xtreme.model.kinds.Kind`.

    Words are encoded one by one, as XTREME does. A sentence too long for the encoder is split
    between words, and its predictions joined again.
    """

    def __init__(self, tags: Sequence[str], reader: Reader) -> None:
        self.tags = list(tags)
        self.reader = reader

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        room = self.reader.max_tokens - SINGLE_SPECIALS
        encoded = []
        for word, ids in zip(words, self.reader.tokenizer.encode_words(words), strict=True):
            lone = len(ids) > 1 and self.reader.tokenizer.piece(ids[0]) == WORD_START
            spaceless = lone and _UNSPACED.match(word)
            encoded.append((ids[1:] if spaceless else ids)[:room])
        return encoded

    def _parts(self, pieces: list[list[int]]) -> list[tuple[int, int]]:
        """Spans of words that fit into a document."""
        room = self.reader.max_tokens - SINGLE_SPECIALS
        parts, first, used = [], 0, 0
        for word, ids in enumerate(pieces):
            if used + len(ids) > room:
                parts.append((first, word))
                first, used = word, 0
            used += len(ids)
        return [*parts, (first, len(pieces))]

    def featurise(self, examples: Sequence[TaggedSentence], language: str) -> Features:
        texts, where, targets, owner = [], [], [], []
        for number, example in enumerate(examples):
            pieces = self._pieces(example.words)
            wanted = self._indices(example)
            for first, last in self._parts(pieces):
                lengths = [len(ids) for ids in pieces[first:last]]
                texts.append([piece for ids in pieces[first:last] for piece in ids])
                where.append(1 + np.cumsum([0, *lengths[:-1]])[: last - first])
                targets.append(wanted[first:last])
                owner.append(number)
        return Features(
            documents=self.reader.singles(texts, [language] * len(texts)),
            where=ragged(where),
            targets=ragged(targets),
            owner=np.array(owner),
        )

    def _indices(self, example: TaggedSentence) -> list[int]:
        for tag in example.tags:
            if tag not in self.tags:
                raise UserError(
                    f"Example {example.id} has the tag `{tag}`, which is none of "
                    f"{', '.join(self.tags)}.",
                    "Prepare the task's examples again.",
                )
        return [self.tags.index(tag) for tag in example.tags]

    def decode(
        self, examples: Sequence[TaggedSentence], features: Features, logits: Sequence[Array]
    ) -> list[Tags]:
        found: list[list[str]] = [[] for _ in examples]
        for number, rows in zip(features.owner.tolist(), logits, strict=True):
            found[number] += [self.tags[i] for i in rows.argmax(axis=1).tolist()]
        return [Tags(id=e.id, tags=tags) for e, tags in zip(examples, found, strict=True)]
