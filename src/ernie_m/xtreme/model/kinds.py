"""One interface for all kinds of trained tasks: examples to features, logits to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ernie_m.catalogue.tasks import Task
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.xtreme.files import Line
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.pairs import PairClassification
from ernie_m.xtreme.model.questions import Choice, QuestionAnswering
from ernie_m.xtreme.model.tagging import Tagging

Array = np.ndarray


class Kind(Protocol):
    """A kind of task: turns examples into features, and logits into predictions."""

    def featurise(self, examples: Sequence[Any], language: str) -> Features:
        """Documents of ``examples``, with targets."""

    def decode(
        self, examples: Sequence[Any], features: Features, logits: Sequence[Array]
    ) -> Sequence[Line]:
        """One prediction per example; ``logits[i]`` float ``[positions, outputs]`` of document
        i."""


def kind_of(task: Task, reader: Reader, settings: FinetuneSettings, choice: Choice) -> Kind:
    """The kind of ``task``; ``choice`` says how answers to questions are decoded."""
    if task.kind == "pair":
        return PairClassification(task.labels, reader)
    if task.kind == "tagging":
        return Tagging(task.labels, reader)
    return QuestionAnswering(reader, settings, choice)
