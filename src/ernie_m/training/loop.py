"""The training loop shared by both pre-training stages."""

from __future__ import annotations

import logging
import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ernie_m.config.pretrain import StageSettings
from ernie_m.errors import UserError
from ernie_m.model.packing import Packed
from ernie_m.training.batches import Sampler
from ernie_m.training.display import Display, Speed
from ernie_m.training.engine import Engine
from ernie_m.training.losses import group_means
from ernie_m.training.prefetch import prefetched
from ernie_m.training.schedule import linear_schedule
from ernie_m.training.state import Progress, State
from ernie_m.training.validation import Losses, Validation, overall

logger = logging.getLogger(__name__)
# Signals of a scheduler that wants the machine back.
REQUEUE = (signal.SIGTERM, signal.SIGUSR1)
# Several processes have to agree on what one of them decided, which costs a meeting.
MEETING_STEPS = 10
# Weight of the newest loss in the moving mean that an explosion is measured against.
TREND = 0.05


class Trainer:
    """Runs a stage from its newest state to its last step."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        sampler: Sampler,
        validation: Validation,
        settings: StageSettings,
        state: State,
        log: Callable[[dict[str, float], int], None],
    ) -> None:
        self.name = name
        self.engine = engine
        self.sampler = sampler
        self.validation = validation
        self.settings = settings
        self.state = state
        self.log = log
        self.progress = Progress()
        self.speed = Speed(engine)
        self.caught: list[int] = []
        self.final: Losses = {}

    def run(self) -> int:
        """Train to the end; returns the step that was resumed from, 0 for a fresh start."""
        self.progress = self.state.restore()
        resumed, total = self.progress.step, self.settings.steps
        self.engine.losses.train()
        display = Display(self.name, total, self.engine.processes.first)
        with self._signals(), display:
            for batch in prefetched(self._batch, resumed, total):
                self._one(batch, display)
        return resumed

    def _batch(self, step: int) -> Packed:
        batch = self.sampler.batch(step)
        return batch.pinned() if self.engine.processes.device.type == "cuda" else batch

    def _one(self, batch: Packed, display: Display) -> None:
        norm = self._step(batch)
        step, settings = self.progress.step, self.settings
        last = step == settings.steps
        if step % settings.evaluate_every == 0 or last:
            self._evaluate(norm)
        stop = self._agreed(bool(self.caught))
        due = step % settings.checkpoint_every == 0 or self._agreed(self._late())
        if (due or stop) and not last:
            self._save()
        if stop and not last:
            self._leave()
        if self._agreed(display.due()):
            display.show(step, self._means(), self.speed)

    def _step(self, batch: Packed) -> torch.Tensor:
        step, wanted = self.progress.step, self.settings.optimiser
        rank = self.engine.processes.rank
        # Dropout is the only use of torch's random state; seeding each step makes it a counter too.
        torch.manual_seed(self.sampler.seed * 1_000_003 + step + (rank << 40))
        schedule = linear_schedule(step, self.settings.steps, wanted.warmup_steps)
        loss = self.engine.backward(batch)
        if self._sound(loss, batch):
            norm = self.engine.update(wanted.learning_rate * schedule)
        else:
            self.engine.forget()
            norm = torch.zeros(())
        self.progress.step += 1
        self.progress.tokens += int(batch.lengths.sum())
        self.progress.seconds += self.speed.count(batch)
        return norm

    def _sound(self, share: torch.Tensor, batch: Packed) -> bool:
        """Whether the step may be taken. A GPU is waited for under `skip` only; else what went
        wrong is found when losses are next read."""
        skip = self.settings.on_divergence == "skip"
        if share.device.type == "cuda" and not skip:
            return True
        loss = self.engine.processes.total(share.double()).item()
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
        if processes.size > 1 and self.progress.step % MEETING_STEPS:
            return False
        return processes.any(flag)

    def _late(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        return minutes > 0 and self.speed.since_save() > 60 * minutes

    def _save(self) -> None:
        self._means()  # a state with broken weights must not take the place of a good one
        self.state.save(self.progress)
        self.speed.saved()

    def _means(self) -> dict[int, tuple[float, float]]:
        """Mean training loss and number of tokens by group since the last validation."""
        values = self.engine.processes.total(self.engine.sums.values.clone())
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
        seen = self.speed.figures() if self.engine.processes.first else {}
        self.log({k: v for k, v in (point | seen).items() if k != "step"}, done.step)
        means = ", ".join(f"{name} {mean:.3f}" for name, mean in overall(valid).items())
        logger.info("%s step %d: validation %s", self.name, done.step, means)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Note a scheduler's signals instead of dying of them, until the step is over."""
        before = {which: signal.getsignal(which) for which in REQUEUE}
        for which in REQUEUE:
            signal.signal(which, lambda number, _: self.caught.append(number))
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    def _leave(self) -> None:
        logger.info("%s: state saved after step %d, stopping", self.name, self.progress.step)
        sys.exit(128 + (self.caught or [signal.SIGTERM])[0])


def flat(part: str, losses: Losses) -> dict[str, float]:
    """``<part>/<objective>/<class>`` to loss, and ``<part>/<objective>`` to the mean of these."""
    by_class = {f"{part}/{o}/{c}": loss for o, by in losses.items() for c, loss in by.items()}
    return by_class | {f"{part}/{o}": mean for o, mean in overall(losses).items()}
