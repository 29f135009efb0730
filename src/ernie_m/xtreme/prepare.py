"""Make the examples of one evaluation task.

Inputs: ``rows`` (for tasks made from held-out rows, every
``rows-{train,valid,test}-{language}.parquet``) or ``files`` (the sources of a published task).
Outputs: ``examples`` (the files that :meth:`ernie_m.catalogue.tasks.Task.files` names), ``stats``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, Task, task_of
from ernie_m.config.xtreme import PrepareSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.xtreme.examples import made, published
from ernie_m.xtreme.files import Line, TaggedSentence, TextPair, by_language, write_lines
from ernie_m.xtreme.standins.sources import Sources

logger = logging.getLogger(__name__)


def _languages(rows: Sequence[Path]) -> list[str]:
    """Languages of the inputs, English first, then in the order given."""
    files = by_language(rows)
    if ENGLISH not in files:
        raise UserError(
            "No input has English rows.", "Keep `en` first in the config key `corpora.languages`."
        )
    return [ENGLISH, *(language for language in files if language != ENGLISH)]


def _labels(line: Line) -> list[str]:
    """The class of an example, or its tags."""
    if isinstance(line, TextPair):
        return [line.label]
    return line.tags if isinstance(line, TaggedSentence) else []


def _counted(label: str) -> bool:
    """Whether a label is counted: all classes and parts of speech, and B- tags, one per span."""
    return label.startswith("B-") or (label != "O" and not label.startswith("I-"))


@dataclass
class CheckedLines:
    """Counts lines and checks their labels while they are written."""

    task: Task
    stem: str
    count: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def through(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines; raises :class:`UserError` for a label that the task does not have, and
        if there are no lines."""
        for line in lines:
            self.count += 1
            labels = _labels(line)
            if strange := [label for label in labels if label not in self.task.labels]:
                raise UserError(
                    f"Example {self.count} of {self.stem} of {self.task.name} has the label "
                    f"`{strange[0]}`, not one of {', '.join(self.task.labels)}.",
                    "Compare the task's source files with what their publisher offers.",
                )
            self.labels.update(label for label in labels if _counted(label))
            yield line
        if not self.count:
            raise self._empty()

    def _empty(self) -> UserError:
        what = f"{self.stem} of {self.task.name}."
        if self.task.published:
            return UserError(
                f"The source files have no examples for {what}",
                "Compare the files with the task's row in the registry of sources.",
            )
        return UserError(
            f"The text has no examples for {what}",
            f"Leave out the language in `corpora.languages` or the task in `xtreme.tasks`, "
            f"or give {self.stem.split('-')[0]} more text in `corpora.deal`.",
        )

    def statistics(self) -> dict[str, Any]:
        """Number of examples, and of each label."""
        return {"examples": self.count, "labels": dict(sorted(self.labels.items()))}


def _examples(
    job: Job[PrepareSettings], task: Task, stems: Sequence[str]
) -> Iterator[tuple[str, Iterable[Line]]]:
    """Each stem with its examples, in the given order."""
    if task.published:
        yield from published(task.name, job.inputs("files"), stems)
        return
    rows = job.inputs("rows")
    examples = made(task.name, Sources(rows, _languages(rows), job.settings, job.seed))
    for stem in stems:
        yield stem, examples.get(stem, [])


def run(job: Job[PrepareSettings]) -> None:
    """Write all example files; raises :class:`UserError` for one that would be empty."""
    task = task_of(job.instance)
    stems = [path.stem for path in job.output_paths["examples"]]
    partial = dict(zip(stems, job.outputs("examples"), strict=True))
    files = {}
    for stem, lines in _examples(job, task, stems):
        checked = CheckedLines(task, stem)
        write_lines(partial[stem], checked.through(lines))
        files[stem] = checked.statistics()
        logger.info("%s: %d examples", stem, checked.count)
    about = {"task": task.name, "kind": task.kind, "category": task.category}
    job.write_json("stats", {**about, "standin": task.standin, "files": files})


if __name__ == "__main__":
    main(run, PrepareSettings)
