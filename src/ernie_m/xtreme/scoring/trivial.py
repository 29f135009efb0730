"""Predictions of baselines that need no pre-trained model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ernie_m.catalogue.tasks import Task
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
from ernie_m.xtreme.scoring.aggregate import mean
from ernie_m.xtreme.scoring.metrics import Metrics, measure
from ernie_m.xtreme.vectors.mining import Candidates, mine, sides

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|[。！？]|$)\s*")  # noqa: RUF001
# With more sentences than this, trigrams in more than this share of them are ignored: they say
# little and are most of the work, hours of it at BUCC's size.
LARGE_HEAP = 10_000
RARE_TRIGRAM = 0.01
# Pairs of sentences compared at a time.
BLOCK_CELLS = 1 << 23
# Examples that a classifier is fitted on, evenly spaced, as files may be sorted by class; more only
# take longer.
MOST_FITTED = 20_000
_CLOSING = (".", "!", "?", "\u3002", "\uff01", "\uff1f")
_MARKS = (r"\{", r"[`*]", r"[?\uff1f]", r"[(\uff08]", r"\d")
_SHAPES = (
    (re.compile(r"[A-Z]+"), "X"),
    (re.compile(r"[^\WA-Z\d_]+"), "x"),
    (re.compile(r"\d+"), "9"),
)


def _trigrams(
    texts: Sequence[str], others: Sequence[str], most: float = 1.0
) -> tuple[csr_matrix, csr_matrix]:
    """Binary character trigrams of each text, words padded with spaces; only trigrams that occur in
    at most the share ``most`` of the texts, or in two."""
    # Imported here: it takes longer to load than most baselines take to run.
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(
        analyzer="char_wb",
        ngram_range=(3, 3),
        binary=True,
        dtype=np.float64,
        max_df=max(2, int(most * (len(texts) + len(others)))),
    )
    both = counter.fit_transform([*texts, *others])
    return both[: len(texts)], both[len(texts) :]


def _some(train: Sequence[TextPair]) -> list[TextPair]:
    chosen = np.linspace(0, len(train) - 1, min(len(train), MOST_FITTED)).astype(int)
    return [train[number] for number in chosen.tolist()]


def _sizes(sets: csr_matrix) -> np.ndarray:
    return np.asarray(sets.sum(axis=1)).ravel()


def most_similar(
    ours: csr_matrix, theirs: csr_matrix, cells: int = BLOCK_CELLS
) -> tuple[np.ndarray, np.ndarray]:
    """For each row of ``ours`` the row of ``theirs`` with the highest Jaccard similarity of
    trigrams, int64 ``[n]``, the first among equals; and that similarity, float ``[n]``.

    Computed in blocks of rows, and only for pairs that share a trigram, to bound memory.
    """
    our_sizes, their_sizes, columns = _sizes(ours), _sizes(theirs), theirs.T.tocsr()
    rows = max(1, cells // theirs.shape[0])
    nearest, values = [], []
    for first in range(0, ours.shape[0], rows):
        jaccard = ours[first : first + rows] @ columns
        sizes = np.repeat(our_sizes[first : first + rows], np.diff(jaccard.indptr))
        jaccard.data /= sizes + their_sizes[jaccard.indices] - jaccard.data
        nearest.append(np.asarray(jaccard.argmax(axis=1)).ravel())
        values.append(jaccard.max(axis=1).toarray().ravel())
    return np.concatenate(nearest), np.concatenate(values)


def nearest_string(examples: Sequence[SentencePair]) -> list[Found]:
    """Retrieval by trigram overlap: the most similar foreign sentence."""
    ours, theirs = _trigrams([e.english for e in examples], [e.text for e in examples])
    nearest, _ = most_similar(ours, theirs)
    return [
        Found(id=e.id, target=examples[i].id)
        for e, i in zip(examples, nearest.tolist(), strict=True)
    ]


def mined_strings(dev: Sequence[MiningSentence], test: Sequence[MiningSentence]) -> list[Mined]:
    """Mining with trigram overlap as similarity."""
    most = RARE_TRIGRAM if len(test) > LARGE_HEAP else 1.0

    def compare(texts: Sequence[str], others: Sequence[str]) -> Candidates:
        ours, theirs = _trigrams(texts, others, most)
        columns, of_rows = most_similar(ours, theirs)
        rows, of_columns = most_similar(theirs, ours)
        pairs = [*enumerate(columns.tolist()), *zip(rows.tolist(), range(len(rows)), strict=True)]
        return dict(zip(pairs, [*of_rows.tolist(), *of_columns.tolist()], strict=True))

    return mine(dev, test, compare)


def mining_chance(examples: Sequence[MiningSentence]) -> Metrics:
    """Expected scores of random one-to-one pairs that use all of the smaller side."""
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
    """The most frequent name, the first in alphabetical order among equals."""
    return min(counts, key=lambda name: (-counts[name], name))


class Majority:
    """The most frequent class of the training examples."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        counts = Counter(example.label for example in train)
        self.label = most_frequent(counts)

    def __call__(self, examples: Sequence[TextPair]) -> list[Label]:
        return [Label(id=example.id, label=self.label) for example in examples]


class OverlapTree:
    """A small decision tree on the string overlap of a pair, fitted in English."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        from sklearn.tree import DecisionTreeClassifier

        self.tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=10, random_state=0)
        train = _some(train)
        self.tree.fit(self._features(train), [example.label for example in train])

    @staticmethod
    def _features(examples: Sequence[TextPair]) -> np.ndarray:
        """Jaccard similarity, share of the first's trigrams in the second, ratio of lengths."""
        firsts, seconds = [e.first for e in examples], [e.second or "" for e in examples]
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


class SurfaceTree:
    """For single texts: a small decision tree on length and punctuation, which all languages share,
    fitted in English."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        from sklearn.tree import DecisionTreeClassifier

        self.tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, random_state=0)
        train = _some(train)
        self.tree.fit(self._features(train), [example.label for example in train])

    @staticmethod
    def _features(examples: Sequence[TextPair]) -> np.ndarray:
        """Characters, words, sentences, whether the text ends in a full stop or the like, and
        counts of marks."""
        texts = [example.first for example in examples]
        return np.array(
            [
                [len(text), len(text.split()), len(sentences(text)), text[-1:] in _CLOSING]
                + [len(re.findall(mark, text)) for mark in _MARKS]
                for text in texts
            ],
            dtype=np.float64,
        )

    def __call__(self, examples: Sequence[TextPair]) -> list[Label]:
        labels = self.tree.predict(self._features(examples)).tolist()
        return [Label(id=e.id, label=label) for e, label in zip(examples, labels, strict=True)]


class TrigramModel:
    """For single texts: logistic regression on character trigrams, fitted in English. It knows
    English words, and words of other languages that are spelt alike."""

    def __init__(self, train: Sequence[TextPair]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        train = _some(train)
        self.model = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        self.model.fit([e.first for e in train], [example.label for example in train])

    def __call__(self, examples: Sequence[TextPair]) -> list[Label]:
        labels = self.model.predict([e.first for e in examples]).tolist()
        return [Label(id=e.id, label=label) for e, label in zip(examples, labels, strict=True)]


class MajorityTag:
    """The most frequent tag of the training words; for spans that is `O`."""

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
    """Each word's most frequent tag in English training; for an unknown word, its shape's."""

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
    """The sentences of a context, split at full stops, question and exclamation marks."""
    return [found.strip() for found in _SENTENCE.findall(context) if found.strip()]


def first_sentence(examples: Sequence[Question]) -> list[Answer]:
    """The first sentence of the context."""
    return [Answer(id=e.id, answer=sentences(e.context)[0]) for e in examples]


def most_similar_sentence(examples: Sequence[Question]) -> list[Answer]:
    """The sentence of the context that shares most trigrams with the question."""
    answers = []
    for example in examples:
        candidates = sentences(example.context)
        ours, theirs = _trigrams([example.question], candidates)
        shared = (ours @ theirs.T).toarray()[0]
        answers.append(Answer(id=example.id, answer=candidates[int(shared.argmax())]))
    return answers


def sentence_chance(task: Task, language: str, examples: Sequence[Question]) -> Metrics:
    """Expected scores of a random sentence of the context."""
    rows: list[Metrics] = []
    for example in examples:
        guesses = [
            Answer(id=example.id, answer=sentence) for sentence in sentences(example.context)
        ]
        each = measure(task, language, [example] * len(guesses), guesses)
        rows.append(each)
    return mean(rows, list(rows[0]))
