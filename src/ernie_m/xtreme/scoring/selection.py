"""How the step of a fine-tuning is selected: on English dev examples, or the last one.

Separate from the benchmark's metrics on purpose: a correction there must change scores, not models.
Each criterion is a plain English form of the task's main metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ernie_m.catalogue.tasks import Kind

CRITERION: dict[Kind, str] = {"pair": "accuracy", "tagging": "span F1", "qa": "word F1"}


def rule(kind: Kind, selection: Literal["english_dev", "last"]) -> str:
    """The selection rule in words."""
    if selection == "last":
        return "last step"
    return (
        f"highest {CRITERION[kind]} on English dev; of equals the lowest dev loss, then the first"
    )


def _word_f1(answer: str, expected: str) -> float:
    ours, theirs = answer.lower().split(), expected.lower().split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def criterion(kind: Kind, examples: Sequence[Any], predictions: Sequence[Any]) -> float:
    """The selection criterion, 0 to 1, higher is better."""
    pairs = list(zip(examples, predictions, strict=True))
    if kind == "pair":
        return float(np.mean([example.label == found.label for example, found in pairs]))
    if kind == "tagging":
        from seqeval.metrics import f1_score  # loads scikit-learn, which takes seconds

        expected = [example.tags for example in examples]
        return float(f1_score(expected, [found.tags for found in predictions], zero_division=0))
    return float(np.mean([_word_f1(found.answer, e.answers[0]) for e, found in pairs]))
