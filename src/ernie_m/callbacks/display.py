"""Progress display of a training: losses, speed, time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from ernie_m.callbacks.speed import Speed
from ernie_m.objectives import OBJECTIVES
from ernie_m.training.batches import CLASSES
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer
from ernie_m.training.losses import GroupMeans
from ernie_m.training.validation import overall

logger = logging.getLogger(__name__)
BAR_SECONDS, LOG_SECONDS = 0.5, 10.0


class Display(Callback):
    """A progress bar on a terminal, or a log line every ten seconds."""

    def __init__(self, speed: Speed) -> None:
        self.speed = speed
        self.bar: Any = None
        self.shown = time.monotonic()

    def on_start(self, trainer: Trainer) -> None:
        """Open the bar if there is a terminal."""
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=trainer.settings.steps,
                initial=trainer.progress.step,
                desc=trainer.name,
                unit="step",
                dynamic_ncols=True,
            )

    def on_end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def wants_losses(self) -> bool:
        """Whether it is time to update the display."""
        return time.monotonic() - self.shown > (LOG_SECONDS if self.bar is None else BAR_SECONDS)

    def on_losses(self, trainer: Trainer, means: GroupMeans) -> None:
        """Show losses, speed and the time left."""
        self.shown = time.monotonic()
        step, steps = trainer.progress.step, trainer.settings.steps
        figures = self.speed.figures()
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in by_objective(means).items())
        rate = f"{figures['tokens_per_second']:.0f} tokens/s"
        work = f"{figures['model_flops_per_second'] / 1e9:.0f} GFLOP/s"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{losses}, {rate}, {work}", refresh=False)
            self.bar.update(step - self.bar.n)
            return
        left = (steps - step) * self.speed.seconds / max(self.speed.steps, 1)
        logger.info(
            "%s %5.1f %% | step %d of %d | %s | %s | %s | %d:%02d left",
            trainer.name,
            100 * step / steps,
            step,
            steps,
            losses,
            rate,
            work,
            *divmod(int(left), 60),
        )

    def on_validation(self, trainer: Trainer, point: Mapping[str, float]) -> None:
        """Log the mean validation losses."""
        means = ", ".join(f"{n} {loss:.3f}" for n, loss in overall(trainer.final).items())
        logger.info("%s step %d: validation %s", trainer.name, trainer.progress.step, means)


def by_objective(means: GroupMeans) -> dict[str, float]:
    """Mean loss per predicted token by objective, from means and counts by group."""
    totals: dict[str, list[float]] = {}
    for group, (mean, count) in means.items():
        total = totals.setdefault(OBJECTIVES[group // CLASSES], [0.0, 0.0])
        total[0] += mean * count
        total[1] += count
    return {name: total / count for name, (total, count) in totals.items()}
