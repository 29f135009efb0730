"""The numbers that are reported, in percent. Only scoring and baselines import this."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from seqeval.metrics import f1_score, precision_score, recall_score
from sklearn.metrics import accuracy_score

from ernie_m.xtreme.catalogue import ENGLISH

Metrics = dict[str, float]


def retrieval(examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """Share of English sentences whose nearest foreign one is their translation."""
    expected = [example.id for example in examples]
    return {"accuracy": 100 * float(accuracy_score(expected, [p.target for p in predictions]))}


def mining(examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """Precision, recall and F1 of mined pairs as sets (BUCC)."""
    gold = {(e.partner, e.id) for e in examples if e.language == ENGLISH and e.partner}
    found = {(p.source, p.target) for p in predictions}
    correct = len(gold & found)
    return {
        "precision": 100 * correct / len(found) if found else 0.0,
        "recall": 100 * correct / len(gold) if gold else 0.0,
        "f1": 200 * correct / (len(found) + len(gold)) if found or gold else 0.0,
    }


def pair(examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """Share of pairs given their class."""
    expected = [example.label for example in examples]
    return {"accuracy": 100 * float(accuracy_score(expected, [p.label for p in predictions]))}


def tagging(examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """Precision, recall and F1 of whole spans (seqeval, as XTREME on PAN-X)."""
    expected, found = [e.tags for e in examples], [p.tags for p in predictions]
    return {
        "precision": 100 * float(precision_score(expected, found, zero_division=0)),
        "recall": 100 * float(recall_score(expected, found, zero_division=0)),
        "f1": 100 * float(f1_score(expected, found, zero_division=0)),
    }


def answer_words(text: str) -> list[str]:
    """Words by which answers are compared: lower case, without punctuation, Han and kana one by
    one (as MLQA does for Chinese; XTREME's English splitting has whole sentences as words there).
    """
    kept = []
    for character in text.lower():
        name = unicodedata.name(character, "")
        if name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA")):
            kept.append(f" {character} ")
        elif not unicodedata.category(character).startswith("P"):
            kept.append(character)
    return "".join(kept).split()


def _answer(found: str, expected: str) -> tuple[float, float]:
    ours, theirs = answer_words(found), answer_words(expected)
    common = sum((Counter(ours) & Counter(theirs)).values())
    f1 = 2 * common / (len(ours) + len(theirs)) if common else float(ours == theirs)
    return float(ours == theirs), f1


def qa(examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """Exact match and word F1, each the best over the right answers, averaged over questions."""
    best = [
        np.max([_answer(found.answer, answer) for answer in example.answers], axis=0)
        for example, found in zip(examples, predictions, strict=True)
    ]
    exact, f1 = 100 * np.mean(best, axis=0)
    return {"exact_match": float(exact), "f1": float(f1)}


METRICS: dict[str, Callable[[Sequence[Any], Sequence[Any]], Metrics]] = {
    "retrieval": retrieval,
    "mining": mining,
    "pair": pair,
    "tagging": tagging,
    "qa": qa,
}
