"""Question answering: the piece of a context that answers a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ernie_m.objectives.layout import PAIR_SPECIALS
from ernie_m.xtreme.features import Features
from ernie_m.xtreme.files import Answer, Question
from ernie_m.xtreme.layout import Reader, ragged

Array = np.ndarray
Span = tuple[int, int]


@dataclass(frozen=True)
class SpanFeatures(Features):
    """``characters[i]`` holds where in the context each readable token of document ``i`` stands;
    the first, ``<s>``, stands for "not in this window" and nowhere."""

    characters: list[list[Span]]


def windows(tokens: int, room: int, stride: int) -> Iterator[Span]:
    """Runs of at most ``room`` tokens that cover all, each starting ``room - stride`` after the
    one before, so that neighbours share ``stride`` tokens."""
    first = 0
    while True:
        last = min(first + room, tokens)
        yield first, last
        if last == tokens:
            return
        first += max(1, room - stride)


def answer_tokens(spans: Sequence[Span], start: int, end: int) -> Span | None:
    """First and last token with a character of ``[start, end)``; None when one end is cut off."""
    inside = [i for i, (a, b) in enumerate(spans) if a < end and b > start and a < b]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    whole = spans[first][0] <= start and spans[last][1] >= end
    return (first, last) if whole else None


def best_span(scores: Array, longest: int) -> tuple[float, int, int]:
    """Highest start + end score over spans of 1 to ``longest`` tokens.

    ``scores`` is float ``[tokens, 2]``. Returns the score, the first and the last token.
    """
    total = scores[:, :1] + scores[:, 1][None]
    index = np.arange(len(scores))
    length = index[None] - index[:, None] + 1
    total = np.where((length >= 1) & (length <= longest), total, -np.inf)
    first, last = np.unravel_index(int(total.argmax()), total.shape)
    return float(total[first, last]), int(first), int(last)


class QuestionAnswering:
    """See :class:`ernie_m.xtreme.kinds.Kind`. A context too long for the encoder is read in
    windows; one without the answer is trained to point at ``<s>``, as in ERNIE-M."""

    def __init__(self, reader: Reader, stride: int, max_query: int, max_answer: int) -> None:
        self.reader = reader
        self.stride = stride
        self.max_query = max_query
        self.max_answer = max_answer

    def featurise(self, examples: Sequence[Question], language: str) -> SpanFeatures:
        encode = self.reader.tokenizer.encode_with_offsets
        queries = [
            ids[: self.max_query]
            for ids in self.reader.tokenizer.encode([example.question for example in examples])
        ]
        contexts = encode([example.context for example in examples])
        firsts, seconds, targets, owner, characters = [], [], [], [], []
        for number, (example, query) in enumerate(zip(examples, queries, strict=True)):
            ids, spans = contexts[number]
            room = self.reader.max_tokens - PAIR_SPECIALS - len(query)
            for first, last in windows(len(ids), room, self.stride):
                inside = spans[first:last]
                start = example.starts[0]
                answer = answer_tokens(inside, start, start + len(example.answers[0]))
                firsts.append(query)
                seconds.append(ids[first:last])
                targets.append([0, 0] if answer is None else [1 + answer[0], 1 + answer[1]])
                owner.append(number)
                characters.append([(0, 0), *inside])
        languages = [language] * len(owner)
        context_starts = [PAIR_SPECIALS - 1 + len(query) for query in firsts]
        return SpanFeatures(
            documents=self.reader.pairs(firsts, seconds, languages, languages),
            where=ragged(
                [
                    [0, *range(start, start + len(ids))]
                    for start, ids in zip(context_starts, seconds, strict=True)
                ]
            ),
            targets=ragged(targets),
            owner=np.array(owner),
            characters=characters,
        )

    def decode(
        self, examples: Sequence[Question], features: Features, scores: Sequence[Array]
    ) -> list[Answer]:
        """The best span of any window, as it is written in the context; "not here" never wins."""
        assert isinstance(features, SpanFeatures)
        best: list[tuple[float, int, int]] = [(-np.inf, 0, 0)] * len(examples)
        for document, number in enumerate(features.owner.tolist()):
            if len(scores[document]) < 2:
                continue
            value, first, last = best_span(scores[document][1:], self.max_answer)
            if value > best[number][0]:
                spans = features.characters[document]
                best[number] = (value, spans[first + 1][0], spans[last + 1][1])
        return [
            Answer(id=example.id, answer=example.context[start:end])
            for example, (_, start, end) in zip(examples, best, strict=True)
        ]
