"""The training loop shared by both pre-training stages."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ernie_m.config.pretrain import StageSettings
from ernie_m.errors import UserError
from ernie_m.model.packing import Packed
from ernie_m.training.batches import DataLoader
from ernie_m.training.callbacks import Callback
from ernie_m.training.engine import Engine
from ernie_m.training.losses import GroupMeans, group_means
from ernie_m.training.prefetch import prefetched
from ernie_m.training.schedule import linear_schedule
from ernie_m.training.state import Progress, State
from ernie_m.training.validation import Losses, Validation, overall

logger = logging.getLogger(__name__)
# Signals by which a scheduler preempts a job.
REQUEUE = (signal.SIGTERM, signal.SIGUSR1)
# Steps between all-reduces of the ranks' decisions to stop or save.
SYNC_EVERY = 10
# Weight of the newest loss in the moving average to which a loss explosion is compared.
TREND = 0.05


class Trainer:
    """Runs a pre-training stage from its newest saved state to its last step."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        dataloader: DataLoader,
        validation: Validation,
        settings: StageSettings,
        state: State,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.name = name
        self.engine = engine
        self.dataloader = dataloader
        self.validation = validation
        self.settings = settings
        self.state = state
        self.callbacks = callbacks
        self.progress = Progress()
        self.clock = self.saved = time.monotonic()
        self.signals_caught: list[int] = []
        self.final: Losses = {}

    def run(self) -> int:
        """Train to the last step; returns the step it resumed from, 0 for a fresh start."""
        self.progress = self.state.restore()
        resumed, total = self.progress.step, self.settings.steps
        self.engine.losses.train()
        for callback in self.callbacks:
            callback.on_start(self)
        self.clock = self.saved = time.monotonic()
        try:
            with self._signals():
                for batch in prefetched(self._batch, resumed, total):
                    self._train_step(batch)
        finally:
            for callback in self.callbacks:
                callback.on_end()
        return resumed

    def _batch(self, step: int) -> Packed:
        batch = self.dataloader.batch(step)
        return batch.pinned() if self.engine.processes.device.type == "cuda" else batch

    def _train_step(self, batch: Packed) -> None:
        norm = self._step(batch)
        for callback in self.callbacks:
            callback.on_step(self, batch)
        step, settings = self.progress.step, self.settings
        last = step == settings.steps
        if step % settings.evaluate_every == 0 or last:
            self._evaluate(norm)
        stop = self._agreed(bool(self.signals_caught))
        due = step % settings.checkpoint_every == 0 or self._agreed(self._save_due())
        if (due or stop) and not last:
            self._save()
        if stop and not last:
            self._exit_on_signal()
        if self._agreed(any(callback.wants_losses() for callback in self.callbacks)):
            means = self._means()
            for callback in self.callbacks:
                callback.on_losses(self, means)

    def _step(self, batch: Packed) -> torch.Tensor:
        step, optimiser = self.progress.step, self.settings.optimiser
        rank = self.engine.processes.rank
        # Only dropout uses torch's random state; seeding it per step makes resumption exact.
        torch.manual_seed(self.dataloader.seed * 1_000_003 + step + (rank << 40))
        schedule = linear_schedule(step, self.settings.steps, optimiser.warmup_steps)
        loss = self.engine.backward(batch)
        if self._loss_ok(loss, batch):
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

    def _loss_ok(self, share: torch.Tensor, batch: Packed) -> bool:
        """Whether the loss allows the step. On a GPU only `skip` synchronises here; otherwise
        divergence is found when the losses are next read."""
        skip = self.settings.on_divergence == "skip"
        if share.device.type == "cuda" and not skip:
            return True
        loss = self.engine.processes.all_reduce(share.double()).item()
        trend, limit = self.progress.trend, self.settings.explosion
        if math.isfinite(loss) and not (trend and limit and loss > limit * trend):
            self.progress.trend = loss if not trend else trend + TREND * (loss - trend)
            return True
        step = self.progress.step + 1
        path = self.state.keep_batch(step, batch) if self.engine.processes.first else None
        if not skip:
            raise self._diverged(f"is {loss:.4g} at step {step} (batch kept in {path})")
        self.progress.skipped += 1
        logger.warning("step %d left out: loss %.4g; its batch is in %s", step, loss, path)
        return False

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"The loss of {self.name} {what}; it was {self.progress.trend:.4g} before.",
            "Lower `optimiser.learning_rate`, lengthen `optimiser.warmup_steps`, or leave such "
            "steps out by `on_divergence: skip`.",
        )

    def _agreed(self, flag: bool) -> bool:
        processes = self.engine.processes
        if processes.size > 1 and self.progress.step % SYNC_EVERY:
            return False
        return processes.any(flag)

    def _save_due(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def _save(self) -> None:
        self._means()  # checks the losses: diverged weights must not replace a good state
        self.state.save(self.progress)
        self.saved = time.monotonic()

    def _means(self) -> GroupMeans:
        """Mean training loss and number of tokens by group since the last validation."""
        values = self.engine.processes.all_reduce(self.engine.sums.values.clone())
        means = group_means(values)
        if self.settings.on_divergence == "stop" and not all(
            math.isfinite(mean) for mean, _ in means.values()
        ):
            raise self._diverged(f"is not a number by step {self.progress.step}")
        return means

    def _evaluate(self, norm: torch.Tensor) -> None:
        self.final = valid = self.validation.losses(self.engine.losses)
        done = self.progress
        point: dict[str, Any] = {"step": done.step, "tokens": done.tokens}
        point |= {"gradient_norm": norm.item(), "skipped": done.skipped}
        point["learning_rate"] = self.engine.optimiser.param_groups[0]["lr"]
        point |= flat("train", self.validation.named(self._means()))
        self.engine.sums.clear()
        point |= flat("valid", valid)
        done.curve.append(point)
        for callback in self.callbacks:
            callback.on_validation(self, point)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Catch a scheduler's signals, so that the current step is finished first."""
        before = {which: signal.getsignal(which) for which in REQUEUE}
        for which in REQUEUE:
            signal.signal(which, lambda number, _: self.signals_caught.append(number))
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    def _exit_on_signal(self) -> None:
        logger.info("%s: state saved after step %d, stopping", self.name, self.progress.step)
        sys.exit(128 + (self.signals_caught or [signal.SIGTERM])[0])


def flat(part: str, losses: Losses) -> dict[str, float]:
    """Losses by ``<part>/<objective>/<class>``, and their means by ``<part>/<objective>``."""
    by_class = {f"{part}/{o}/{c}": loss for o, by in losses.items() for c, loss in by.items()}
    return by_class | {f"{part}/{o}": mean for o, mean in overall(losses).items()}
