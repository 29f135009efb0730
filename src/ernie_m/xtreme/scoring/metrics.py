"""Reported metrics, in percent. Only scoring and baselines import this.

Every metric is XTREME's (its evaluate.py); a test compares them on XTREME's mock files.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Sequence, Set
from functools import cache
from typing import Any

import numpy as np

from ernie_m.catalogue.tasks import ENGLISH, Task

Metrics = dict[str, float]
Words = Callable[[str, str], list[str]]


def accuracy(expected: Sequence[str], predicted: Sequence[str]) -> Metrics:
    """Share of equal labels."""
    same = [one == other for one, other in zip(expected, predicted, strict=True)]
    return {"accuracy": 100 * float(np.mean(same))}


def pair_f1(expected: Set[tuple[str, str]], predicted: Set[tuple[str, str]]) -> Metrics:
    """Precision, recall and F1 of pairs as sets (BUCC)."""
    correct = len(expected & predicted)
    return {
        "precision": 100 * correct / len(predicted) if predicted else 0.0,
        "recall": 100 * correct / len(expected) if expected else 0.0,
        "f1": 200 * correct / (len(predicted) + len(expected)) if predicted or expected else 0.0,
    }


def _as_span_tag(tag: str) -> str:
    """Prefix a tag that has no BIO prefix with its own first letter.

    seqeval 0.0.12, which XTREME uses, reads `NOUN` like that: adjacent equal tags are one span,
    except those that begin with S (`SCONJ`, `SYM`). Later versions remove the first letter from the
    name, so that `CCONJ` and `SCONJ` become the same; with an explicit prefix both versions agree.
    """
    return tag if tag == "O" or "-" in tag else f"{tag[0]}-{tag}"


def span_f1(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Metrics:
    """Precision, recall and F1 of whole spans (seqeval), one sequence of tags per sentence."""
    # Imported here: it loads scikit-learn, which takes longer than most scoring.
    from seqeval.metrics import f1_score, precision_score, recall_score

    # seqeval warns about every tag that is not in one of its schemes.
    warnings.filterwarnings("ignore", "(?s).*seems not to be NE tag", UserWarning)
    ours, theirs = (
        [[_as_span_tag(tag) for tag in tags] for tags in side] for side in (expected, predicted)
    )
    return {
        "precision": 100 * float(precision_score(ours, theirs, zero_division=0)),
        "recall": 100 * float(recall_score(ours, theirs, zero_division=0)),
        "f1": 100 * float(f1_score(ours, theirs, zero_division=0)),
    }


def squad_words(text: str, language: str) -> list[str]:
    """Words as SQuAD 1.1 compares them: English rules in every language."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


# MLQA's articles. In Arabic the prefix is removed anywhere; the other alternative of the official
# expression cannot match.
_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
}


@cache
def _punctuation() -> frozenset[str]:
    """Unicode's punctuation, and ASCII's punctuation and symbols."""
    every = map(chr, range(sys.maxunicode))
    unicode = (character for character in every if unicodedata.category(character)[0] == "P")
    return frozenset(unicode) | frozenset(string.punctuation)


def mlqa_words(text: str, language: str) -> list[str]:
    """Words as MLQA compares them: without the language's articles, Chinese by characters."""
    kept = "".join(character for character in text.lower() if character not in _punctuation())
    if language in _ARTICLES:
        kept = re.sub(_ARTICLES[language], " ", kept)
    if language == "zh":
        kept = re.sub("([\u4e00-\u9fa5])", r" \1 ", kept)
    return kept.split()


def own_words(text: str, language: str) -> list[str]:
    """Words as stand-ins compare them: lower case, without punctuation, Han and kana one by one in
    every language (as MLQA does in Chinese; XTREME's English rules take whole sentences for words
    there).
    """
    kept = []
    for character in text.lower():
        name = unicodedata.name(character, "")
        if name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA")):
            kept.append(f" {character} ")
        elif not unicodedata.category(character).startswith("P"):
            kept.append(character)
    return "".join(kept).split()


WORDS: dict[str, Words] = {"squad": squad_words, "mlqa": mlqa_words, "own": own_words}


def _answer(ours: list[str], theirs: list[str]) -> tuple[float, float]:
    """Exact match and word F1; the F1 of two answers without words is 0 (SQuAD 1.1)."""
    common = sum((Counter(ours) & Counter(theirs)).values())
    return float(ours == theirs), 2 * common / (len(ours) + len(theirs)) if common else 0.0


def answer_f1(
    expected: Sequence[Sequence[str]], found: Sequence[str | None], words: Words, language: str
) -> Metrics:
    """Exact match and word F1, each the maximum over a question's reference answers, averaged over
    questions; a missing prediction (None) scores 0."""
    best = np.zeros((len(expected), 2))
    for row, (answers, predicted) in enumerate(zip(expected, found, strict=True)):
        if predicted is not None:
            ours = words(predicted, language)
            best[row] = np.max([_answer(ours, words(each, language)) for each in answers], axis=0)
    exact, f1 = 100 * best.mean(axis=0)
    return {"exact_match": float(exact), "f1": float(f1)}


def measure(
    task: Task, language: str, examples: Sequence[Any], predictions: Sequence[Any]
) -> Metrics:
    """All metrics of a task in one language."""
    if task.kind == "retrieval":
        return accuracy([e.id for e in examples], [p.target for p in predictions])
    if task.kind == "mining":
        gold = {(e.partner, e.id) for e in examples if e.language == ENGLISH and e.partner}
        return pair_f1(gold, {(p.source, p.target) for p in predictions})
    if task.kind == "pair":
        return accuracy([e.label for e in examples], [p.label for p in predictions])
    if task.kind == "tagging":
        return span_f1([e.tags for e in examples], [p.tags for p in predictions])
    expected, predicted = [e.answers for e in examples], [p.answer for p in predictions]
    return answer_f1(expected, predicted, WORDS[task.answers], language)
