"""The tasks by name: what kind each is, and which files it has.

Every stage reads a task here; what a kind of task means to a stage is in that stage's own modules,
so that a change to one task's making does not disturb the fine-tuning of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ernie_m.errors import UserError

Kind = Literal["retrieval", "mining", "pair", "tagging", "qa"]
ENGLISH = "en"

# XTREME's four groups (its Table 1), by kind of task.
CATEGORIES: dict[str, str] = {
    "retrieval": "retrieval",
    "mining": "retrieval",
    "pair": "classification",
    "tagging": "tagging",
    "qa": "qa",
}
# The number that stands for a task of this kind; XTREME's task score for each.
MAIN_METRIC: dict[str, str] = {
    "retrieval": "accuracy",
    "mining": "f1",
    "pair": "accuracy",
    "tagging": "f1",
    "qa": "f1",
}


@dataclass(frozen=True)
class Task:
    """One evaluation task.

    ``labels`` are classes (pair) or BIO tags with ``O`` first (tagging). ``standin`` marks a task
    that only has the shape of an XTREME task.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    standin: bool = False

    @property
    def category(self) -> str:
        """XTREME's group: retrieval, classification, tagging or qa."""
        return CATEGORIES[self.kind]

    @property
    def metric(self) -> str:
        """Name of the main metric."""
        return MAIN_METRIC[self.kind]

    @property
    def trained(self) -> bool:
        """Whether the encoder is fine-tuned, or used as pre-training left it."""
        return self.kind not in ("retrieval", "mining")

    def files(self, languages: Sequence[str]) -> dict[str, list[str]]:
        """Example files by split: ``{"train": [...], "dev": [...], "test": [...]}``.

        Retrieval and mining set English against each other language, so English has no file of
        its own; mining tunes its threshold on a dev file of each language (as BUCC does).
        """
        foreign = [language for language in languages if language != ENGLISH]
        if self.trained:
            dev = [f"dev-{ENGLISH}.jsonl"]
            test = [f"test-{language}.jsonl" for language in languages]
            return {"train": [f"train-{ENGLISH}.jsonl"], "dev": dev, "test": test}
        dev = [f"dev-{language}.jsonl" for language in foreign] if self.kind == "mining" else []
        return {"train": [], "dev": dev, "test": [f"test-{language}.jsonl" for language in foreign]}


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("standin_retrieval", "retrieval", standin=True),
        Task("standin_mining", "mining", standin=True),
        Task(
            "standin_classification",
            "pair",
            labels=("belongs", "same_integration", "other_integration"),
            standin=True,
        ),
        Task("standin_paraphrase", "pair", labels=("different", "same"), standin=True),
        Task(
            "standin_tagging",
            "tagging",
            labels=("O", "B-PRODUCT", "I-PRODUCT", "B-LABEL", "I-LABEL", "B-CODE", "I-CODE"),
            standin=True,
        ),
        Task("standin_qa", "qa", standin=True),
    )
}


def task_of(instance: str) -> Task:
    """The task whose name is the first part of a job's instance; raises :class:`UserError`."""
    name = instance.split("/")[0]
    if name not in TASKS:
        raise UserError(
            f"There is no evaluation task `{name}`.", f"Choose among {', '.join(TASKS)}."
        )
    return TASKS[name]
