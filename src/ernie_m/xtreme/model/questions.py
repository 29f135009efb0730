"""Extractive question answering: the span of a context that answers a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.errors import UserError
from ernie_m.objectives.lengths import PAIR_SPECIALS
from ernie_m.xtreme.files import Answer, Question
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.layout import Reader, ragged

Array = np.ndarray
Span = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """How an answer is decoded: at most ``longest`` tokens; from the ``n_best`` starts and ends of
    a window, 0 for all; with ``max_context`` only in the window with most context around its first
    token."""

    longest: int
    n_best: int = 0
    max_context: bool = False


@dataclass(frozen=True)
class SpanFeatures(Features):
    """``characters[i]`` holds the character span in the context of each token in ``where[i]``; the
    first, ``<s>``, means "not in this window" and has none. ``fullest[i]`` says for each token but
    the first whether this is the window with most context around it."""

    characters: list[list[Span]]
    fullest: list[Array]


def windows(tokens: int, room: int, step: int) -> Iterator[Span]:
    """Windows of at most ``room`` tokens that cover all, each starting ``step`` (or ``room``, if
    that is less) after the one before."""
    first = 0
    while True:
        last = min(first + room, tokens)
        yield first, last
        if last == tokens:
            return
        first += min(step, room)


def fullest_window(spans: Sequence[Span]) -> Array:
    """Number of the window in which each token has most context, int64 ``[tokens]``.

    Context is the smaller number of tokens to either side, with the window's length as tie-breaker,
    then the first window (as in BERT's SQuAD script).
    """
    tokens = np.arange(spans[-1][1])
    context = np.full((len(spans), len(tokens)), -1.0)
    for number, (first, last) in enumerate(spans):
        inside = tokens[first:last]
        sides = np.minimum(inside - first, last - 1 - inside)
        context[number, first:last] = sides + 0.01 * (last - first)
    return context.argmax(axis=0)


def answer_tokens(spans: Sequence[Span], start: int, end: int) -> Span | None:
    """First and last token that overlap ``[start, end)``; None when the answer is cut off."""
    inside = [i for i, (a, b) in enumerate(spans) if a < end and b > start and a < b]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    whole = spans[first][0] <= start and spans[last][1] >= end
    return (first, last) if whole else None


def _among_best(logits: Array, count: int) -> Array:
    """Which of ``logits`` are the ``count`` highest, the first among equals; 0 for all."""
    chosen = np.zeros(len(logits), dtype=bool)
    chosen[np.argsort(-logits, kind="stable")[: count or None]] = True
    return chosen


def best_span(logits: Array, choice: Choice, fullest: Array) -> tuple[float, int, int]:
    """Highest sum of start and end logits over the spans that ``choice`` allows; minus infinity if
    there are none.

    ``logits`` is float ``[tokens, 2]``, ``fullest`` bool ``[tokens]``. Returns the sum, the first
    and the last token.
    """
    total = logits[:, :1] + logits[:, 1][None]
    index = np.arange(len(logits))
    length = index[None] - index[:, None] + 1
    starts = _among_best(logits[:, 0], choice.n_best)
    if choice.max_context:
        starts &= fullest
    ends = _among_best(logits[:, 1], choice.n_best)
    allowed = (length >= 1) & (length <= choice.longest) & starts[:, None] & ends[None]
    total = np.where(allowed, total, -np.inf)
    first, last = np.unravel_index(int(total.argmax()), total.shape)
    return float(total[first, last]), int(first), int(last)


class QuestionAnswering:
    """See :class:`ernie_m.xtreme.model.kinds.Kind`. A context too long for the encoder is read in
    windows; one without the answer is trained to point at ``<s>``, as in ERNIE-M."""

    def __init__(self, reader: Reader, settings: FinetuneSettings, choice: Choice) -> None:
        self.reader = reader
        self.settings = settings
        self.choice = choice

    def _windows(self, tokens: int, query: int) -> list[Span]:
        room = self.reader.max_tokens - PAIR_SPECIALS - query
        if room < 1:
            raise UserError(
                f"Rows of {self.reader.max_tokens} tokens have no room for a context beside a "
                f"question of {query}.",
                "Raise `xtreme.finetune.max_tokens` or lower `xtreme.finetune.max_query_tokens`.",
            )
        step = self.settings.window_step or max(1, room - self.settings.stride)
        return list(windows(tokens, room, step))

    def featurise(self, examples: Sequence[Question], language: str) -> SpanFeatures:
        encode = self.reader.tokenizer.encode_with_offsets
        queries = [
            ids[: self.settings.max_query_tokens]
            for ids in self.reader.tokenizer.encode([example.question for example in examples])
        ]
        contexts = encode([example.context for example in examples])
        firsts, seconds, targets, owner, characters, fullest = [], [], [], [], [], []
        for number, (example, query) in enumerate(zip(examples, queries, strict=True)):
            ids, spans = contexts[number]
            runs = self._windows(len(ids), len(query))
            best = fullest_window(runs)
            for window, (first, last) in enumerate(runs):
                inside = spans[first:last]
                start = example.starts[0]
                answer = answer_tokens(inside, start, start + len(example.answers[0]))
                firsts.append(query)
                seconds.append(ids[first:last])
                targets.append([0, 0] if answer is None else [1 + answer[0], 1 + answer[1]])
                owner.append(number)
                characters.append([(0, 0), *inside])
                fullest.append(best[first:last] == window)
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
            fullest=fullest,
        )

    def decode(
        self, examples: Sequence[Question], features: Features, logits: Sequence[Array]
    ) -> list[Answer]:
        """The text of the best span over all windows; ``<s>`` ("not here") is never chosen."""
        assert isinstance(features, SpanFeatures)
        best: list[tuple[float, int, int]] = [(-np.inf, 0, 0)] * len(examples)
        for document, number in enumerate(features.owner.tolist()):
            if len(logits[document]) < 2:
                continue
            value, first, last = best_span(
                logits[document][1:], self.choice, features.fullest[document]
            )
            if value > best[number][0]:
                spans = features.characters[document]
                best[number] = (value, spans[first + 1][0], spans[last + 1][1])
        return [
            Answer(id=example.id, answer=example.context[start:end])
            for example, (_, start, end) in zip(examples, best, strict=True)
        ]
