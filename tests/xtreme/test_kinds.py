"""From examples to documents and from scores back: what goes in must come out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.errors import UserError
from ernie_m.xtreme.files import EXAMPLE, Question, TaggedSentence, TextPair, read_lines
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.pairs import PairClassification, cut_longest_first
from ernie_m.xtreme.model.questions import (
    Choice,
    QuestionAnswering,
    answer_tokens,
    best_span,
    fullest_window,
    windows,
)
from ernie_m.xtreme.model.tagging import Tagging

TAGS = TASKS["standin_tagging"].labels


def one_hot(features, outputs: int) -> list[np.ndarray]:
    """The scores that a perfect model would give."""
    return [np.eye(outputs)[features.targets[i]] for i in range(len(features))]


def spans(features) -> list[np.ndarray]:
    found = []
    for i in range(len(features)):
        scores = np.zeros((len(features.where[i]), 2))
        start, end = features.targets[i]
        # A window without the answer points at <s>, and offers nothing else.
        scores[start, 0] = scores[end, 1] = 9
        found.append(scores)
    return found


@pytest.fixture(params=[24, 128])
def reader(request, tokenizer, shape) -> Reader:
    """Long and short documents, so that texts are cut, split and read in windows."""
    return Reader(tokenizer, shape, request.param, "own")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_perfect_scores_give_the_tags(examples, reader, language):
    lines = read_lines(examples["standin_tagging"][f"test-{language}"], TaggedSentence)
    kind = Tagging(TAGS, reader)
    features = kind.featurise(lines, language)
    assert features.documents.lengths.max() <= reader.max_tokens
    found = kind.decode(lines, features, one_hot(features, len(TAGS)))
    assert [tags.tags for tags in found] == [line.tags for line in lines]
    if reader.max_tokens == 128:
        assert len(features) == len(lines)


def test_tags_are_read_at_first_pieces(tokenizer, reader):
    words = ["balan", "korelminist", "tesor"]
    example = TaggedSentence(id="1", words=words, tags=["O", "B-CODE", "O"])
    features = Tagging(TAGS, reader).featurise([example], "en")
    lengths = [len(ids) for ids in tokenizer.encode_words(words)]
    assert features.where[0].tolist() == [1, 1 + lengths[0], 1 + lengths[0] + lengths[1]]


@given(
    st.lists(st.text("balnekorimtu ", min_size=1, max_size=60), min_size=1, max_size=30),
    st.integers(16, 40),
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_split_sentences_are_joined_again(tokenizer, shape, words, longest):
    """Whatever the length: no word is lost or cut in two, each is read at its first piece."""
    reader = Reader(tokenizer, shape, longest, "own")
    tags = [TAGS[number % len(TAGS)] for number in range(len(words))]
    example = TaggedSentence(id="1", words=words, tags=tags)
    kind = Tagging(TAGS, reader)
    features = kind.featurise([example], "en")
    assert features.documents.lengths.max() <= longest
    assert kind.decode([example], features, one_hot(features, len(TAGS)))[0].tags == tags
    pieces = iter(kind._pieces(words))
    starts = np.cumsum([0, *features.documents.lengths])
    for number in range(len(features)):
        document = features.documents.ids[starts[number] + 1 : starts[number + 1] - 1].tolist()
        expected, places = [], []
        for _ in features.where[number]:
            places.append(1 + len(expected))
            expected += next(pieces)
        assert document == expected and features.where[number].tolist() == places
    assert next(pieces, None) is None


def test_a_word_longer_than_a_document_is_cut(tokenizer, shape):
    reader = Reader(tokenizer, shape, 16, "own")
    example = TaggedSentence(id="1", words=["q" * 99, "balan"], tags=["B-CODE", "O"])
    kind = Tagging(TAGS, reader)
    features = kind.featurise([example], "en")
    assert kind.decode([example], features, one_hot(features, len(TAGS)))[0].tags == example.tags


def answering(reader: Reader, **changed) -> QuestionAnswering:
    settings = FinetuneSettings(**{"max_query_tokens": 32, **changed})
    return QuestionAnswering(reader, settings, Choice(longest=100))


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_perfect_scores_give_the_answer(examples, tokenizer, shape, language):
    lines = read_lines(examples["standin_qa"][f"test-{language}"], Question)
    kind = answering(Reader(tokenizer, shape, 128, "own"), stride=16)
    features = kind.featurise(lines, language)
    found = kind.decode(lines, features, spans(features))
    assert [answer.answer for answer in found] == [line.answers[0] for line in lines]


def test_answers_are_found_through_windows(examples, tokenizer, shape):
    lines = read_lines(examples["standin_qa"]["test-en"], Question)
    kind = answering(Reader(tokenizer, shape, 64, "own"), stride=28)
    features = kind.featurise(lines, "en")
    assert len(features) > len(lines) and features.documents.lengths.max() <= 64
    whole = {
        o
        for o, t in zip(features.owner.tolist(), range(len(features)), strict=True)
        if features.targets[t].any()
    }
    found = kind.decode(lines, features, spans(features))
    for number in whole:
        assert found[number].answer == lines[number].answers[0]


@given(st.integers(0, 90), st.integers(1, 30), st.integers(1, 40))
def test_windows_cover_every_token(tokens, room, step):
    found = list(windows(tokens, room, step))
    assert {i for a, b in found for i in range(a, b)} == set(range(tokens))
    assert all(b - a <= room for a, b in found)
    assert all(after - before == min(step, room) for (before, _), (after, _) in pairwise(found))


def test_windows_overlap_by_the_stride_or_begin_at_each_step(tokenizer, shape):
    reader = Reader(tokenizer, shape, 64, "own")
    assert answering(reader, stride=28)._windows(100, 10) == [
        (0, 50),
        (22, 72),
        (44, 94),
        (66, 100),
    ]
    with pytest.raises(UserError, match="no room for a context beside a question of 10"):
        answering(Reader(tokenizer, shape, 14, "own"))._windows(100, 10)
    by_step = answering(reader, window_step=40)._windows(100, 10)
    assert by_step == [(0, 50), (40, 90), (80, 100)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_the_fullest_window_has_most_on_the_poorer_side(tokens, room, step):
    runs = list(windows(tokens, room, step))
    for token, chosen in enumerate(fullest_window(runs).tolist()):
        context = [
            (min(token - a, b - 1 - token) + 0.01 * (b - a), -number)
            for number, (a, b) in enumerate(runs)
            if a <= token < b
        ]
        assert -max(context)[1] == chosen


@given(
    st.integers(0, 10_000),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 4),
    st.booleans(),
)
def test_best_span_is_the_best_of_those_allowed(seed, tokens, longest, n_best, max_context):
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((tokens, 2))
    fullest = generator.random(tokens) < 0.5
    value, first, last = best_span(scores, Choice(longest, n_best, max_context), fullest)
    starts, ends = (
        sorted(range(tokens), key=lambda i: -side[i])[: n_best or None] for side in scores.T
    )
    every = [
        scores[i, 0] + scores[j, 1]
        for i in starts
        for j in ends
        if i <= j < i + longest and (fullest[i] or not max_context)
    ]
    assert value == pytest.approx(max(every, default=-np.inf))
    if every:
        assert value == pytest.approx(scores[first, 0] + scores[last, 1])
        assert first <= last < first + longest


def test_an_answer_cut_by_its_window_is_not_in_it():
    pieces = [(0, 3), (4, 7), (7, 7), (8, 12)]
    assert answer_tokens(pieces, 4, 12) == (1, 3)
    assert answer_tokens(pieces, 5, 6) == (1, 1)
    assert answer_tokens(pieces, 8, 15) is None
    assert answer_tokens(pieces, 20, 22) is None


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 40))
def test_the_longer_text_gives_way_first(first, second, room):
    kept = cut_longest_first(first, second, room)
    # What popping from the longer one, a token at a time, would leave.
    slow = [first, second]
    while sum(slow) > room:
        slow[0 if slow[0] > slow[1] else 1] -= 1
    assert sum(kept) == sum(slow) and abs(kept[0] - slow[0]) <= 1
    assert kept[0] <= first and kept[1] <= second


@pytest.mark.parametrize("task", ["standin_classification", "standin_paraphrase"])
def test_perfect_scores_give_the_class(examples, reader, task):
    lines = read_lines(examples[task]["test-de"], TextPair)
    kind = PairClassification(TASKS[task].labels, reader)
    features = kind.featurise(lines, "de")
    assert features.documents.lengths.max() <= reader.max_tokens
    found = kind.decode(lines, features, one_hot(features, len(TASKS[task].labels)))
    assert [label.label for label in found] == [line.label for line in lines]


def test_both_texts_carry_their_language(examples, tokenizer, shape):
    lines = read_lines(examples["standin_paraphrase"]["test-zh"], TextPair)
    kind = PairClassification(("different", "same"), Reader(tokenizer, shape, 128, "own"))
    features = kind.featurise(lines[:1], "zh")
    first = len(tokenizer.encode([lines[0].first])[0]) + 2
    rows = features.documents.languages
    assert set(rows[:first].tolist()) == {0} and set(rows[first:].tolist()) == {2}
    none = PairClassification(("different", "same"), Reader(tokenizer, shape, 128, "none"))
    assert set(none.featurise(lines[:1], "zh").documents.languages.tolist()) == {-1}


def test_one_text_is_read_alone_and_cut(examples, tokenizer, shape):
    lines = read_lines(examples["standin_classification"]["test-zh"], TextPair)
    reader = Reader(tokenizer, shape, 8, "own")
    kind = PairClassification(TASKS["standin_classification"].labels, reader)
    documents = kind.featurise(lines, "zh").documents
    pieces = tokenizer.encode([line.first for line in lines])
    assert documents.lengths.tolist() == [min(8, len(ids) + 2) for ids in pieces]
    assert documents.ids[: documents.lengths[0]].tolist() == [0, *pieces[0][:6], 2]
    assert set(documents.languages.tolist()) == {2}
    with pytest.raises(ValueError, match="come together"):
        TextPair(id="1", first="a", second="b", first_language="en", label="x")


@pytest.mark.parametrize("task", ["standin_classification", "standin_tagging"])
def test_a_label_outside_the_set_is_named(examples, tokenizer, shape, task):
    reader = Reader(tokenizer, shape, 128, "own")
    kinds = {"pair": PairClassification, "tagging": Tagging}
    lines = read_lines(examples[task]["test-en"], EXAMPLE[TASKS[task].kind])
    with pytest.raises(UserError, match="none of O"):
        kinds[TASKS[task].kind](["O"], reader).featurise(lines, "en")


def test_a_document_longer_than_the_position_table_is_refused(tokenizer, shape):
    with pytest.raises(UserError, match="128 tokens"):
        Reader(tokenizer, shape, 129, "own")
