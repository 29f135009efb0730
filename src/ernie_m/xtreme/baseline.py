"""Score baselines without a model on one task: chance, majority class, string overlap.

Inputs: ``test`` (one file per language); for trained tasks ``train`` (English); for mining ``dev``
(one file per language). Output: ``scores``, as in scoring but by baseline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ernie_m.catalogue.tasks import Task, task_of
from ernie_m.config.xtreme import ScoreSettings
from ernie_m.job import Job, main
from ernie_m.xtreme.files import EXAMPLE, by_language, read_lines
from ernie_m.xtreme.scoring import trivial
from ernie_m.xtreme.scoring.aggregate import header, size, summary
from ernie_m.xtreme.scoring.metrics import Metrics, measure

logger = logging.getLogger(__name__)
Measured = Callable[[str, Sequence[Any]], Metrics]


def _baselines(
    task: Task,
    train: Sequence[Any],
    dev: Mapping[str, Sequence[Any]],
    test: Mapping[str, Sequence[Any]],
) -> dict[str, Measured]:
    """By name, a function that scores the test examples of one language."""

    def of(predict: Callable[[Sequence[Any]], Sequence[Any]]) -> Measured:
        return lambda language, examples: measure(task, language, examples, predict(examples))

    if task.kind == "retrieval":
        return {
            "chance": lambda _, examples: {"accuracy": 100 / len(examples)},
            "string_overlap": of(trivial.nearest_string),
        }
    if task.kind == "mining":
        return {
            "chance": lambda _, examples: trivial.mining_chance(examples),
            "string_overlap": lambda language, examples: measure(
                task, language, examples, trivial.mined_strings(dev[language], examples)
            ),
        }
    if task.kind == "pair":
        either = {
            "chance": lambda _, examples: {"accuracy": 100 / len(task.labels)},
            "majority": of(trivial.Majority(train)),
        }
        if train[0].second is not None:
            return {**either, "string_overlap": of(trivial.OverlapTree(train))}
        return {
            **either,
            "surface": of(trivial.SurfaceTree(train)),
            "trigrams": of(trivial.TrigramModel(train)),
        }
    if task.kind == "tagging":
        return {
            "majority": of(trivial.MajorityTag(train)),
            "word_list": of(trivial.WordList(train)),
        }
    return {
        "chance": lambda language, examples: trivial.sentence_chance(task, language, examples),
        "first_sentence": of(trivial.first_sentence),
        "string_overlap": of(trivial.most_similar_sentence),
    }


def run(job: Job[ScoreSettings]) -> None:
    """Score every baseline in every language."""
    task = task_of(job.instance)

    def read(name: str) -> dict[str, list[Any]]:
        files = by_language(job.input_paths.get(name, []))
        return {lang: list(read_lines(path, EXAMPLE[task.kind])) for lang, path in files.items()}

    test, dev = read("test"), read("dev")
    train = [example for examples in read("train").values() for example in examples]
    sizes = {language: size(task, examples) for language, examples in test.items()}
    least = 0 if task.published else job.settings.min_examples
    baselines = {}
    for name, scored in _baselines(task, train, dev, test).items():
        languages = {language: scored(language, examples) for language, examples in test.items()}
        baselines[name] = summary(languages, sizes, least)
        logger.info("%s, %s: %s", task.name, name, baselines[name]["average"])
    job.write_json("scores", {**header(task), "baselines": baselines})


if __name__ == "__main__":
    main(run, ScoreSettings)
