"""Score one task's predictions.

Inputs: ``test`` and ``predictions`` (one file per language each). Output: ``scores``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ernie_m.catalogue.tasks import XTREME, Task, task_of
from ernie_m.config.xtreme import ScoreSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.xtreme.files import EXAMPLE, PREDICTION, Mined, by_language, read_lines
from ernie_m.xtreme.scoring.aggregate import header, size, summary, task_score
from ernie_m.xtreme.scoring.metrics import measure

logger = logging.getLogger(__name__)
AGAIN = "Predict again from the examples that are scored; scoring never guesses."


def check(task: Task, path: Path, examples: Sequence[Any], predictions: Sequence[Any]) -> None:
    """Raise :class:`UserError` unless ``predictions`` answer exactly ``examples``."""
    if task.kind == "mining":
        _check_pairs(path, examples, predictions)
        return
    if len(predictions) != len(examples):
        raise UserError(
            f"{path} has {len(predictions)} predictions for {len(examples)} examples.", AGAIN
        )
    known = {example.id for example in examples}
    for line, (example, found) in enumerate(zip(examples, predictions, strict=True), start=1):
        where = f"{path}, line {line}:"
        if found.id != example.id:
            raise UserError(f"{where} `{found.id}` stands where `{example.id}` should.", AGAIN)
        if task.kind == "tagging" and len(found.tags) != len(example.words):
            count = f"{len(found.tags)} tags for {len(example.words)} words"
            raise UserError(f"{where} {count}.", AGAIN)
        if task.kind == "pair" and found.label not in task.labels:
            raise UserError(f"{where} there is no class `{found.label}`.", AGAIN)
        if task.kind == "tagging" and (wrong := set(found.tags) - set(task.labels)):
            raise UserError(f"{where} there is no tag `{min(wrong)}`.", AGAIN)
        if task.kind == "retrieval" and found.target not in known:
            raise UserError(f"{where} there is no sentence `{found.target}`.", AGAIN)


def _check_pairs(path: Path, examples: Sequence[Any], predictions: Sequence[Mined]) -> None:
    known = {example.id for example in examples}
    seen: set[tuple[str, str]] = set()
    for line, found in enumerate(predictions, start=1):
        for id in (found.source, found.target):
            if id not in known:
                raise UserError(f"{path}, line {line}: there is no sentence `{id}`.", AGAIN)
        if (found.source, found.target) in seen:
            raise UserError(f"{path}, line {line}: the pair is there already.", AGAIN)
        seen.add((found.source, found.target))


def run(job: Job[ScoreSettings]) -> None:
    """Score every language; raises :class:`UserError` when files do not match."""
    task = task_of(job.instance)
    test, predictions = by_language(job.inputs("test")), by_language(job.inputs("predictions"))
    if unpaired := sorted(test.keys() ^ predictions.keys()):
        raise UserError(
            f"{task.name} has examples or predictions, but not both, in {', '.join(unpaired)}.",
            "Give a test file and a predictions file of every language.",
        )
    languages, sizes = {}, {}
    for language, path in test.items():
        examples = read_lines(path, EXAMPLE[task.kind])
        found = read_lines(predictions[language], PREDICTION[task.kind])
        check(task, predictions[language], examples, found)
        languages[language] = measure(task, language, examples, found)
        sizes[language] = size(task, examples)
    # Every language of a published task counts, however small.
    least = 0 if task.published else job.settings.min_examples
    scores = {**header(task), **summary(languages, sizes, least)}
    if task.name in XTREME:
        scores["score"] = task_score(task, scores["average"])
    job.write_json("scores", scores)
    logger.info("%s: %s", job.instance, scores["average"])


if __name__ == "__main__":
    main(run, ScoreSettings)
