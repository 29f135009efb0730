"""Checkpoints that are kept for good, as results."""

from __future__ import annotations

from functools import partial
from typing import Any

from ernie_m.job import Job
from ernie_m.model.checkpoint import save_weights
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer
from ernie_m.training.stage import facts_of


class Keeper(Callback):
    """Writes the weights after every ``keep_every`` steps to `step<number>/` beside the model, with
    a record of its own: from then on they can be evaluated, exported or continued.

    It comes before the callback that saves the state of a step, so that none is left out.
    """

    every_rank = True

    def __init__(self, job: Job[Any]) -> None:
        self.job = job

    def on_step_end(self, trainer: Trainer) -> None:
        """Keep the weights if it is time to; those of the last step are the model."""
        every, step = trainer.settings.keep_every, trainer.progress.step
        if not every or step % every or trainer.last or trainer.end < trainer.settings.steps:
            return
        trainer.means()  # checks the losses: diverged weights are no result
        weights, shape = trainer.engine.weights(), trainer.engine.model.shape
        if trainer.engine.processes.first:
            facts = facts_of(self.job, step)
            save = partial(save_weights, named=weights, shape=shape, extra=facts)
            self.job.write_part(f"step{step}", "model", save)
