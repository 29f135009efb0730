"""Scores of a task over languages, and of the benchmark over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ernie_m.catalogue.tasks import ENGLISH, TASKS, XTREME, Task
from ernie_m.xtreme.scoring.metrics import Metrics

# Digits of metrics in percent; more mean nothing with hundreds of examples.
DIGITS = 4


def mean(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Metrics:
    """Unweighted mean over languages (XTREME); empty for no language."""
    return {
        name: round(float(np.mean([row[name] for row in rows])), DIGITS) for name in names if rows
    }


def summary(
    languages: Mapping[str, Metrics], sizes: Mapping[str, int], least: int
) -> dict[str, Any]:
    """Scores by language with their averages.

    ``average`` is over all languages, English included (XTREME's rule), ``transfer`` over all but
    English. Languages of fewer than ``least`` examples are listed but not averaged.
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
    counted = [language for language, row in rows.items() if row["averaged"]]
    return {
        "languages": rows,
        "average": mean([languages[language] for language in counted], names),
        "transfer": mean([languages[code] for code in counted if code != ENGLISH], names),
    }


def size(task: Task, examples: Sequence[Any]) -> int:
    """Number of examples behind a language's score; for mining, of true pairs."""
    if task.kind != "mining":
        return len(examples)
    return sum(example.language == ENGLISH and example.partner is not None for example in examples)


def header(task: Task) -> dict[str, Any]:
    """Fields that describe the task in every scores file."""
    return {
        "task": task.name,
        "kind": task.kind,
        "category": task.category,
        "standin": task.standin,
        "metric": task.metric,
    }


def task_score(task: Task, average: Mapping[str, float]) -> float:
    """The task's score in XTREME's means, from its averages over languages."""
    if task.kind == "qa":
        return round((average["exact_match"] + average["f1"]) / 2, DIGITS)
    return average[task.metric]


def benchmark(scores: Mapping[str, float]) -> dict[str, Any]:
    """XTREME's means of task scores: of each complete group, and overall.

    ``overall`` is the mean of the nine tasks, not of the four groups; it is absent unless all nine
    have scores. Tasks outside the benchmark are ignored.
    """
    groups: dict[str, list[str]] = {}
    for name in XTREME:
        groups.setdefault(TASKS[name].category, []).append(name)
    means: dict[str, Any] = {
        "groups": {
            group: round(float(np.mean([scores[name] for name in names])), DIGITS)
            for group, names in groups.items()
            if all(name in scores for name in names)
        }
    }
    if all(name in scores for name in XTREME):
        means["overall"] = round(float(np.mean([scores[name] for name in XTREME])), DIGITS)
    return means
