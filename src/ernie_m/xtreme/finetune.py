"""Fine-tune a pre-trained encoder on one task's examples, in English or in all its languages.

Inputs: ``model`` (a pre-trained checkpoint), ``tokenizer``, ``train`` (one file of examples per
language) and ``dev`` (one in English). Outputs: ``model`` (encoder and head at the selected step),
``curves``, ``metrics``. A run takes seconds to minutes, so after a failure it restarts and does not
resume.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ernie_m.catalogue.tasks import ENGLISH, Task, task_of
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.model import checkpoint
from ernie_m.model.device import autocast, best_device, device_of
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.schedule import update
from ernie_m.xtreme.files import EXAMPLE, Line, each_line, language_of
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.heads import TaskModel, encoder_weights, loss
from ernie_m.xtreme.model.inference import predict_logits
from ernie_m.xtreme.model.kinds import Kind, kind_of
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.optimiser import optimiser, rate, set_rate
from ernie_m.xtreme.model.questions import Choice
from ernie_m.xtreme.scoring.selection import criterion, rule

logger = logging.getLogger(__name__)
# How answers are decoded on dev; prediction has its own settings.
DEV_CHOICE = Choice(longest=100)
# Training examples held as Python objects at a time; features are stored as arrays.
BLOCK_EXAMPLES = 1 << 15


def _model(path: Path, task: Task, settings: FinetuneSettings) -> TaskModel:
    """The pre-trained encoder with a newly initialised head."""
    weights, shape, _ = checkpoint.read(path)
    model = TaskModel(replace(shape, dropout=settings.dropout), task, settings.dropout)
    checkpoint.fill(model.encoder, encoder_weights(weights), path)
    return model


def _examples(path: Path, task: Task) -> Iterator[list[Line]]:
    """The examples of a file in blocks; raises :class:`UserError` if there are none."""
    lines = each_line(path, EXAMPLE[task.kind])
    if not (block := list(islice(lines, BLOCK_EXAMPLES))):
        raise UserError(f"{path} has no examples.", "Prepare the task's examples again.")
    while block:
        yield block
        block = list(islice(lines, BLOCK_EXAMPLES))


@dataclass(frozen=True)
class Dev:
    """English development examples and their features."""

    task: Task
    kind: Kind
    examples: Sequence[Any]
    features: Features

    def evaluate(self, model: TaskModel) -> tuple[float, float]:
        """Selection criterion (0 to 1) and mean loss."""
        logits, mean_loss = predict_logits(self.task, model, self.features)
        predictions = self.kind.decode(self.examples, self.features, logits)
        return criterion(self.task.kind, self.examples, predictions), mean_loss


def batches(count: int, size: int, epochs: int, seed: int) -> list[np.ndarray]:
    """Batches of document numbers for all updates; documents are reshuffled every epoch."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(count) for _ in range(epochs)]
    return [order[first : first + size] for order in orders for first in range(0, count, size)]


def evaluation_steps(steps: int, times: int, every: int = 0) -> set[int]:
    """Steps after which dev is evaluated: ``times`` evenly spaced ones, or every ``every`` steps;
    always the last."""
    if every:
        return {*range(every, steps + 1, every), steps}
    return {max(1, round(steps * k / times)) for k in range(1, times + 1)}


class Finetuning:
    """A fine-tuning run that keeps the weights of the selected step."""

    def __init__(
        self, task: Task, model: TaskModel, dev: Dev, settings: FinetuneSettings, seed: int
    ) -> None:
        self.task, self.model, self.dev, self.settings = task, model, dev, settings
        self.seed = seed
        self.planned_steps = 0
        self.curve: list[dict[str, float]] = []
        self.best: tuple[float, float] = (-1.0, 0.0)
        self.evaluations_since_best = 0
        self.kept: dict[str, float] = {}
        self.kept_weights: dict[str, Tensor] = {}

    def train(self, features: Features) -> None:
        """Run all updates, or stop early when patience runs out.

        The learning rate is scheduled over all updates in either case.
        """
        settings = self.settings
        plan = batches(len(features), settings.batch_size, settings.epochs, self.seed)
        self.planned_steps = len(plan)
        evaluation_points = evaluation_steps(
            len(plan), settings.evaluations, settings.evaluate_every
        )
        adam = optimiser(self.model, self.model.encoder.shape.layers, settings)
        losses: list[float] = []
        self.model.train()
        for step, order in enumerate(plan):
            now = rate(step, len(plan), settings)
            set_rate(adam, now)
            batch = features.batch(order)
            with autocast(device_of(self.model), "auto"):
                logits = self.model(batch)
            value = loss(self.task, logits.float(), batch)
            losses.append(self._finite(value, step))
            value.backward()
            update(self.model, adam, settings.clip_norm)
            if step + 1 in evaluation_points:
                self._evaluate(step + 1, float(np.mean(losses)), now)
                losses = []
                if settings.patience and self.evaluations_since_best >= settings.patience:
                    logger.info(
                        "no better score in %d looks; stopping", self.evaluations_since_best
                    )
                    return

    def _finite(self, value: Tensor, step: int) -> float:
        if not torch.isfinite(value):
            raise UserError(
                f"The loss of {self.task.name} is {value.item()} at step {step + 1}.",
                "Lower `xtreme.finetune.learning_rate`.",
            )
        return value.item()

    def _evaluate(self, step: int, train_loss: float, now: float) -> None:
        value, dev_loss = self.dev.evaluate(self.model)
        point = {"train_loss": train_loss, "dev_loss": dev_loss, "dev_criterion": value}
        self.curve.append({"step": step, "learning_rate": now, **point})
        logger.info("step %d: train %.3f, dev %.3f, criterion %.3f", step, *point.values())
        better = (value, -dev_loss) > self.best
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        self.best = max(self.best, (value, -dev_loss))
        if better or not self.kept or self.settings.selection == "last":
            self.kept = self.curve[-1]
            self.kept_weights = {k: v.clone() for k, v in self.model.state_dict().items()}

    def metrics(self) -> dict[str, Any]:
        """Updates run and planned, the selected step, and the selection rule."""
        return {
            "task": self.task.name,
            "standin": self.task.standin,
            "rule": rule(self.task.kind, self.settings.selection),
            "steps": self.curve[-1]["step"],
            "planned_steps": self.planned_steps,
            "best_step": self.kept["step"],
            "dev_criterion": self.kept["dev_criterion"],
            "dev_loss": self.kept["dev_loss"],
        }


def _training(paths: Sequence[Path], task: Task, kind: Kind) -> Features:
    """Features of all training files, narrowed so that XNLI's six million examples in 15 languages
    take a few GB."""
    return Features.join(
        [
            kind.featurise(examples, language_of(path)).narrowed()
            for path in paths
            for examples in _examples(path, task)
        ]
    )


def run(job: Job[FinetuneSettings]) -> None:
    """Fine-tune and write the best step; raises :class:`UserError` for inputs that do not fit."""
    # One thread: runs are parallel jobs, and the number of threads changes the last bits.
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    task, settings = task_of(job.instance), job.settings
    model = _model(job.input("model"), task, settings).to(best_device())
    tokenizer = Tokenizer(job.input("tokenizer"))
    reader = Reader(
        tokenizer, model.encoder.shape, settings.max_tokens, settings.language_embedding
    )
    kind = kind_of(task, reader, settings, DEV_CHOICE)
    dev = [example for block in _examples(job.input("dev"), task) for example in block]
    finetuning = Finetuning(
        task, model, Dev(task, kind, dev, kind.featurise(dev, ENGLISH)), settings, job.seed
    )
    finetuning.train(_training(job.inputs("train"), task, kind))
    model.load_state_dict(finetuning.kept_weights)
    extra = {"task": task.name, "finetune": settings.model_dump_json()}
    checkpoint.save(job.output("model"), model, model.encoder.shape, extra)
    lines = (json.dumps(point, sort_keys=True) + "\n" for point in finetuning.curve)
    job.output("curves").write_text("".join(lines), encoding="utf-8")
    job.write_json("metrics", finetuning.metrics())


if __name__ == "__main__":
    main(run, FinetuneSettings, own_step=True)
