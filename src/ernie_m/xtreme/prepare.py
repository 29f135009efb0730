"""Make the examples of one evaluation task.

Inputs: ``rows`` (for stand-ins, every ``rows-{train,valid,test}-{language}.parquet``). Outputs:
``examples`` (the files that :meth:`ernie_m.xtreme.catalogue.Task.files` names), ``stats``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ernie_m.config.xtreme import PrepareSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.xtreme.catalogue import ENGLISH, Task, task_of
from ernie_m.xtreme.files import Line, TaggedSentence, TextPair, by_language, write_lines
from ernie_m.xtreme.tasks.registry import MAKERS
from ernie_m.xtreme.tasks.sources import Examples, Sources

logger = logging.getLogger(__name__)


def _languages(rows: Sequence[Path]) -> list[str]:
    """Languages of the inputs, English first, then in the order given."""
    found = by_language(rows)
    if ENGLISH not in found:
        raise UserError(
            "No input has English rows.", "Keep `en` first in the config key `corpora.languages`."
        )
    return [ENGLISH, *(language for language in found if language != ENGLISH)]


def _labels(lines: Sequence[Line]) -> dict[str, int]:
    """How often each class, or each kind of tagged span, occurs."""
    counts: Counter[str] = Counter()
    for line in lines:
        if isinstance(line, TextPair):
            counts[line.label] += 1
        elif isinstance(line, TaggedSentence):
            counts.update(tag for tag in line.tags if tag.startswith("B-"))
    return dict(sorted(counts.items()))


def statistics(task: Task, examples: Examples) -> dict[str, Any]:
    """What a reader of the scores wants to know of the examples: how many, of what."""
    return {
        "task": task.name,
        "kind": task.kind,
        "category": task.category,
        "standin": task.standin,
        "files": {
            stem: {"examples": len(lines), "labels": _labels(lines)}
            for stem, lines in sorted(examples.items())
        },
    }


def _file(examples: Examples, path: Path, task: Task) -> list[Line]:
    lines = examples.get(path.stem, [])
    if not lines:
        raise UserError(
            f"The text has no examples for {path.stem} of {task.name}.",
            f"Leave out the language in `corpora.languages` or the task in `xtreme.tasks`, "
            f"or give {path.stem.split('-')[0]} more text in `corpora.split`.",
        )
    return lines


def run(job: Job[PrepareSettings]) -> None:
    """Write every example file asked for; raises :class:`UserError` for one that would be empty."""
    task = task_of(job.instance)
    rows = job.inputs("rows")
    examples = MAKERS[task.name](Sources(rows, _languages(rows), job.settings, job.seed))
    names = job.output_paths["examples"]
    for path, partial in zip(names, job.outputs("examples"), strict=True):
        write_lines(partial, _file(examples, path, task))
        logger.info("%s: %d examples", path.stem, len(examples[path.stem]))
    job.write_json("stats", statistics(task, examples))


if __name__ == "__main__":
    main(run, PrepareSettings)
