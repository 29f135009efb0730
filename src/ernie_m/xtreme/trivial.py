"""Predictions that need no model, to set beside those of one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.tree import DecisionTreeClassifier

from ernie_m.xtreme.catalogue import Task
from ernie_m.xtreme.files import (
    Answer,
    Found,
    Label,
    Mined,
    MiningSentence,
    Question,
    SentencePair,
    TaggedSentence,
    Tags,
    TextPair,
)
from ernie_m.xtreme.metrics import Metrics, measure
from ernie_m.xtreme.mining import mine, sides
from ernie_m.xtreme.scores import mean

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|[。！？]|$)\s*")  # noqa: RUF001
# Sentences of a heap up to which every two are compared, and pairs that a tree is fitted on:
# more would take hours, or memory that no job has.
MOST_COMPARED = 10_000
MOST_FITTED = 20_000
_SHAPES = (
    (re.compile(r"[A-Z]+"), "X"),
    (re.compile(r"[^\WA-Z\d_]+"), "x"),
    (re.compile(r"\d+"), "9"),
)


def _trigrams(texts: Sequence[str], others: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
    """Which character trigrams each text has (0 or 1), words padded with spaces."""
    counter = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), binary=True, dtype=np.float64)
    both = counter.fit_transform([*texts, *others])
    return both[: len(texts)], both[len(texts) :]


def _sizes(sets: csr_matrix) -> np.ndarray:
    return np.asarray(sets.sum(axis=1)).ravel()


def jaccard(texts: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Shared character trigrams over all of both, float ``[n, m]``."""
    ours, theirs = _trigrams(texts, others)
    shared = (ours @ theirs.T).toarray()
    return shared / np.maximum(_sizes(ours)[:, None] + _sizes(theirs)[None] - shared, 1)


def nearest_string(examples: Sequence[SentencePair]) -> list[Found]:
    """The foreign sentence that shares most trigrams with the English one."""
    likeness = jaccard([e.english for e in examples], [e.text for e in examples])
    return [
        Found(id=e.id, target=examples[int(i)].id)
        for e, i in zip(examples, likeness.argmax(axis=1), strict=True)
    ]


def mined_strings(dev: Sequence[MiningSentence], test: Sequence[MiningSentence]) -> list[Mined]:
    """Mining with trigram overlap as similarity."""
    return mine(dev, test, lambda texts, others: [jaccard(texts, others)])


def mining_chance(examples: Sequence[MiningSentence]) -> Metrics:
    """Expected scores of matching the smaller side at random, one to one."""
    english, foreign = sides(examples)
    gold = sum(example.partner is not None for example in english)
    fewer, more = sorted((len(english), len(foreign)))
    correct = gold / more
    return {
        "precision": 100 * correct / fewer,
        "recall": 100 * correct / max(gold, 1),
        "f1": 200 * correct / (fewer + gold),
    }


def most_frequent(counts: Counter[str]) -> str:
    """Of equally frequent ones the first by name."""
    return min(counts, key=lambda name: (-counts[name], name))


class Majority:
    """The most frequent class of the training examples."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        counts = Counter(example.label for example in train)
        self.label = most_frequent(counts)

    def __call__(self, examples: Sequence[TextPair]) -> list[Label]:
        return [Label(id=example.id, label=self.label) for example in examples]


class OverlapTree:
    """A small decision tree over how much the strings of a pair share, fitted in English."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        self.tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=10, random_state=0)
        train = train[:MOST_FITTED]
        self.tree.fit(self._features(train), [example.label for example in train])

    @staticmethod
    def _features(examples: Sequence[TextPair]) -> np.ndarray:
        """Jaccard, share of the first's trigrams in the second, ratio of lengths."""
        firsts, seconds = [e.first for e in examples], [e.second for e in examples]
        ours, theirs = _trigrams(firsts, seconds)
        shared = np.asarray(ours.multiply(theirs).sum(axis=1)).ravel()
        sizes = _sizes(ours), _sizes(theirs)
        lengths = [np.array([len(text) for text in side]) for side in (firsts, seconds)]
        return np.stack(
            [
                shared / np.maximum(sizes[0] + sizes[1] - shared, 1),
                shared / np.maximum(sizes[0], 1),
                lengths[0] / (lengths[0] + lengths[1]),
            ],
            axis=1,
        )

    def __call__(self, examples: Sequence[TextPair]) -> list[Label]:
        labels = self.tree.predict(self._features(examples)).tolist()
        return [Label(id=e.id, label=label) for e, label in zip(examples, labels, strict=True)]


class MajorityTag:
    """The most frequent tag of the training words; of spans that is none."""

    def __init__(self, train: Sequence[TaggedSentence]) -> None:
        self.tag = most_frequent(Counter(tag for example in train for tag in example.tags))

    def __call__(self, examples: Sequence[TaggedSentence]) -> list[Tags]:
        return [Tags(id=e.id, tags=[self.tag] * len(e.words)) for e in examples]


def word_shape(word: str) -> str:
    """``Xx`` for Reolink, ``x_x`` for entity_id, ``X9`` for IPV6."""
    for pattern, sign in _SHAPES:
        word = pattern.sub(sign, word)
    return word


class WordList:
    """Each word's most frequent tag in English training; of an unknown word, its shape's."""

    def __init__(self, train: Sequence[TaggedSentence]) -> None:
        seen: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for example in train:
            for word, tag in zip(example.words, example.tags, strict=True):
                seen["word", word][tag] += 1
                seen["shape", word_shape(word)][tag] += 1
        self.tags = {key: most_frequent(counts) for key, counts in seen.items()}
        self.other = MajorityTag(train).tag

    def _tag(self, word: str) -> str:
        shape = ("shape", word_shape(word))
        return self.tags.get(("word", word)) or self.tags.get(shape, self.other)

    def __call__(self, examples: Sequence[TaggedSentence]) -> list[Tags]:
        return [Tags(id=e.id, tags=[self._tag(word) for word in e.words]) for e in examples]


def sentences(context: str) -> list[str]:
    """A context cut at full stops, question and exclamation marks."""
    return [found.strip() for found in _SENTENCE.findall(context) if found.strip()]


def first_sentence(examples: Sequence[Question]) -> list[Answer]:
    """The first sentence of the context."""
    return [Answer(id=e.id, answer=sentences(e.context)[0]) for e in examples]


def likest_sentence(examples: Sequence[Question]) -> list[Answer]:
    """The sentence that has most of the question's trigrams."""
    answers = []
    for example in examples:
        told = sentences(example.context)
        ours, theirs = _trigrams([example.question], told)
        shared = (ours @ theirs.T).toarray()[0]
        answers.append(Answer(id=example.id, answer=told[int(shared.argmax())]))
    return answers


def sentence_chance(task: Task, language: str, examples: Sequence[Question]) -> Metrics:
    """Expected scores of a sentence of the context drawn at random."""
    rows: list[Metrics] = []
    for example in examples:
        guesses = [Answer(id=example.id, answer=told) for told in sentences(example.context)]
        each = measure(task, language, [example] * len(guesses), guesses)
        rows.append(each)
    return mean(rows, list(rows[0]))
