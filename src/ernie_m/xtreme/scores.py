"""Scores of a task over languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ernie_m.xtreme.catalogue import ENGLISH, Task
from ernie_m.xtreme.metrics import METRICS, Metrics

# Of metrics in percent; finer digits mean nothing with hundreds of examples.
DIGITS = 4


def mean(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Metrics:
    """Plain mean over languages, each as heavy as another (XTREME); empty for no language."""
    return {
        name: round(float(np.mean([row[name] for row in rows])), DIGITS) for name in names if rows
    }


def summary(
    languages: Mapping[str, Metrics], sizes: Mapping[str, int], least: int
) -> dict[str, Any]:
    """Scores by language with their averages.

    ``average`` is over all languages, English included (XTREME's rule), ``transfer`` over all but
    English. Languages of fewer than ``least`` examples are shown and not averaged.
    """
    rows = {
        language: {
            **{name: round(value, DIGITS) for name, value in metrics.items()},
            "n": sizes[language],
            "averaged": sizes[language] >= least,
        }
        for language, metrics in languages.items()
    }
    names = list(next(iter(languages.values()), {}))
    counted = {language: row for language, row in rows.items() if row["averaged"]}
    foreign = [row for language, row in counted.items() if language != ENGLISH]
    return {
        "languages": rows,
        "average": mean(list(counted.values()), names),
        "transfer": mean(foreign, names),
    }


def size(task: Task, examples: Sequence[Any]) -> int:
    """What a language's score is out of: examples, or for mining true pairs."""
    if task.kind != "mining":
        return len(examples)
    return sum(example.language == ENGLISH and example.partner is not None for example in examples)


def header(task: Task) -> dict[str, Any]:
    """What every scores file says of its task."""
    return {
        "task": task.name,
        "kind": task.kind,
        "category": task.category,
        "standin": task.standin,
        "metric": task.metric,
    }


def measure(task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """The task's metrics in percent, main one included."""
    return METRICS[task.kind](examples, predictions)
