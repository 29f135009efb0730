"""The training loop shared by both pre-training stages."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ernie_m.config.pretrain import StageSettings
from ernie_m.errors import UserError
from ernie_m.training.batches import Batch, DataLoader
from ernie_m.training.callbacks import Callback
from ernie_m.training.engine import Engine
from ernie_m.training.losses import GroupMeans, group_means
from ernie_m.training.prefetch import prefetched
from ernie_m.training.schedule import linear_schedule
from ernie_m.training.state import Progress, State
from ernie_m.training.validation import Losses, Validation, overall

logger = logging.getLogger(__name__)
# Steps between all-reduces of the ranks' decisions, like those to stop or to save.
SYNC_EVERY = 10
# Weight of the newest loss in the moving average to which a loss explosion is compared.
TREND = 0.05


class Trainer:
    """Runs a pre-training stage from its newest saved state to step ``end``, by default its
    last."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        dataloader: DataLoader,
        validation: Validation,
        settings: StageSettings,
        state: State,
        callbacks: Sequence[Callback] = (),
        end: int | None = None,
    ) -> None:
        self.name = name
        self.engine = engine
        self.dataloader = dataloader
        self.validation = validation
        self.settings = settings
        self.state = state
        self.callbacks = callbacks
        self.end = settings.steps if end is None else end
        self.progress = Progress()
        self.clock = time.monotonic()
        self.final: Losses = {}

    def run(self) -> int:
        """Train to step ``end``; returns the step it resumed from, 0 for a fresh start."""
        self.engine.processes.begin()  # for the first, which holds the lock on the state
        self.progress = self.state.restore()
        resumed = self.progress.step
        self.engine.losses.train()
        for callback in self.callbacks:
            callback.on_start(self)
        self.clock = time.monotonic()
        try:
            for batch in prefetched(self._batch, resumed, self.end):
                self._train_step(batch)
            if not self.final:  # resumed after the last step
                self.final = self.validation.losses(self.engine)
        finally:
            for callback in self.callbacks:
                callback.on_end()
        return resumed

    def _batch(self, step: int) -> Batch:
        processes = self.engine.processes
        batch = self.dataloader.batch(step, processes.rank, processes.size)
        return batch.pinned() if processes.device.type == "cuda" else batch

    def _train_step(self, batch: Batch) -> None:
        norm = self._step(batch)
        for callback in self.callbacks:
            callback.on_step(self, batch)
        if self.progress.step % self.settings.evaluate_every == 0 or self.last:
            self._evaluate(norm)
        for callback in self.callbacks:
            callback.on_step_end(self)
        if self.agreed(any(callback.wants_losses() for callback in self.callbacks)):
            means = self.means()
            for callback in self.callbacks:
                callback.on_losses(self, means)

    @property
    def last(self) -> bool:
        """Whether the last step was taken."""
        return self.progress.step == self.end

    def _step(self, batch: Batch) -> torch.Tensor:
        step, optimiser = self.progress.step, self.settings.optimiser
        rank = self.engine.processes.rank
        torch.manual_seed(self.dataloader.dropout_seed(step, rank))  # so resumption is exact
        schedule = linear_schedule(
            step, self.settings.steps, optimiser.warmup_steps, optimiser.decay_steps
        )
        loss = self.engine.backward(batch)
        if self._loss_ok(loss):
            norm = self.engine.update(optimiser.learning_rate * schedule)
        else:
            self.engine.discard_gradients()
            norm = torch.zeros(())
        self.progress.step += 1
        self.progress.tokens += int(batch.lengths.sum())
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now
        return norm

    @property
    def _looks_at_steps(self) -> bool:
        """Whether the loss of each step is looked at. A GPU would be waited for, and is only to
        `skip`; otherwise divergence is found when the losses are next read."""
        skip = self.settings.on_divergence == "skip"
        return skip or self.engine.processes.device.type == "cpu"

    def _sound(self, loss: float) -> bool:
        """Whether a loss is a number and no explosion; their moving mean takes it in if so."""
        trend, limit = self.progress.trend, self.settings.explosion
        if not math.isfinite(loss) or (trend and limit and loss > limit * trend):
            return False
        self.progress.trend = loss if not trend else trend + TREND * (loss - trend)
        return True

    def _loss_ok(self, share: torch.Tensor) -> bool:
        """Whether the loss allows the step."""
        if not self._looks_at_steps:
            return True
        loss = self.engine.processes.all_reduce(share.double()).item()
        if self._sound(loss):
            return True
        step = self.progress.step + 1
        path = self._keep_batch(step) if self.engine.processes.first else None
        if self.settings.on_divergence == "stop":
            raise self._diverged(f"is {loss:.4g} at step {step} (batch kept in {path})")
        self.progress.skipped += 1
        logger.warning("step %d left out: loss %.4g; its batch is in %s", step, loss, path)
        return False

    def _keep_batch(self, step: int) -> Path:
        """All processes' rows, of which this one has its own only."""
        return self.state.keep_batch(step, self.dataloader.batch(step - 1).rows)

    def _diverged(self, what: str) -> UserError:
        before = f"; it was {self.progress.trend:.4g} before" if self.progress.trend else ""
        return UserError(
            f"The loss of {self.name} {what}{before}.",
            "Lower `optimiser.learning_rate`, lengthen `optimiser.warmup_steps`, or leave such "
            "steps out by `on_divergence: skip`.",
        )

    def agreed(self, flag: bool) -> bool:
        """Whether any rank's flag is set, asked at the same steps on every rank; collective."""
        processes = self.engine.processes
        if processes.size > 1 and self.progress.step % SYNC_EVERY:
            return False
        return processes.any(flag)

    def means(self) -> GroupMeans:
        """Mean training loss and number of tokens by group since the last validation; collective.

        Raises an error where training has diverged and is to stop then.
        """
        values = self.engine.processes.all_reduce(self.engine.sums.values.clone())
        means = group_means(values)
        if means and not self._looks_at_steps:
            tokens = sum(count for _, count in means.values())
            loss = sum(mean * count for mean, count in means.values()) / tokens
            if not self._sound(loss):
                raise self._diverged(f"is {loss:.4g} on average by step {self.progress.step}")
        return means

    def _evaluate(self, norm: torch.Tensor) -> None:
        self.final = valid = self.validation.losses(self.engine)
        done = self.progress
        point: dict[str, Any] = {"step": done.step, "tokens": done.tokens}
        point |= {"gradient_norm": norm.item(), "skipped": done.skipped}
        point["learning_rate"] = self.engine.optimiser.param_groups[0]["lr"]
        point |= flat("train", self.validation.named(self.means()))
        self.engine.sums.clear()
        point |= flat("valid", valid)
        done.curve.append(point)
        for callback in self.callbacks:
            callback.on_validation(self, point)


def flat(part: str, losses: Losses) -> dict[str, float]:
    """Losses by ``<part>/<objective>/<class>``, and their means by ``<part>/<objective>``."""
    by_class = {f"{part}/{o}/{c}": loss for o, by in losses.items() for c, loss in by.items()}
    return by_class | {f"{part}/{o}": mean for o, mean in overall(losses).items()}
