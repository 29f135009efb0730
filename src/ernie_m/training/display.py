"""What one sees of a training: losses, speed, time left."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tqdm import tqdm

from ernie_m.model.device import matrix_peak, matrix_type
from ernie_m.model.flops import training_flops
from ernie_m.model.packing import Packed
from ernie_m.objectives.objectives import OBJECTIVES
from ernie_m.training.batches import CLASSES
from ernie_m.training.engine import Engine

logger = logging.getLogger(__name__)
REPORT_SECONDS = 10.0


class Speed:
    """Tokens, padding and arithmetic by time, since this process started."""

    def __init__(self, engine: Engine) -> None:
        device = engine.processes.device
        self.shape = engine.model.shape
        # All processes together; GPUs of a machine are taken to be alike.
        share = engine.processes.size if device.type == "cuda" else 1
        self.peak = share * matrix_peak(device, matrix_type(device, engine.hardware.precision))
        self.steps = self.tokens = self.places = 0
        self.flops = self.seconds = 0.0
        self.before = self.save = time.monotonic()

    def count(self, batch: Packed) -> float:
        """Count a step; returns the seconds since the last."""
        now = time.monotonic()
        passed, self.before = now - self.before, now
        self.seconds += passed
        self.steps += 1
        self.tokens += int(batch.lengths.sum())
        self.places += batch.ids.numel()
        scored = len(batch.scored().where)
        self.flops += training_flops(self.shape, self.shape.vocabulary, batch.lengths, scored)
        return passed

    def saved(self) -> None:
        """Note that the state was saved just now."""
        self.save = time.monotonic()

    def since_save(self) -> float:
        """Seconds since the state was last saved, or since the start."""
        return time.monotonic() - self.save

    def figures(self) -> dict[str, float]:
        """Tokens per second, share of padding in the rows, the model's own operations per second,
        and their share of the device's peak as measured at the start (low on a busy machine)."""
        seconds = max(self.seconds, 1e-9)
        return {
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / max(self.places, 1),
            "model_flops_per_second": self.flops / seconds,
            "model_flops_utilisation": self.flops / seconds / self.peak,
        }


class Display:
    """A bar on a terminal, a line every ten seconds in a log."""

    def __init__(self, name: str, steps: int, speaks: bool) -> None:
        self.name, self.steps = name, steps
        self.speaks = speaks
        self.bar: Any = None
        if speaks and sys.stderr.isatty():
            self.bar = tqdm(total=steps, desc=name, unit="step", dynamic_ncols=True)
        self.said = time.monotonic()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def due(self) -> bool:
        """Whether it is time to show something."""
        return self.speaks and time.monotonic() - self.said > (0.5 if self.bar else REPORT_SECONDS)

    def show(self, step: int, means: dict[int, tuple[float, float]], speed: Speed) -> None:
        """Show the state after ``step`` steps; ``means`` as :func:`group_means` gives them."""
        if not self.speaks:
            return
        self.said = time.monotonic()
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in by_objective(means).items())
        seen = speed.figures()
        rate = f"{seen['tokens_per_second']:.0f} tokens/s"
        work = f"{seen['model_flops_per_second'] / 1e9:.0f} GFLOP/s"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{losses}, {rate}, {work}", refresh=False)
            self.bar.update(step - self.bar.n)
            return
        left = (self.steps - step) * speed.seconds / max(speed.steps, 1)
        logger.info(
            "%s %5.1f %% | step %d of %d | %s | %s | %s | %d:%02d left",
            self.name,
            100 * step / self.steps,
            step,
            self.steps,
            losses,
            rate,
            work,
            *divmod(int(left), 60),
        )


def by_objective(means: dict[int, tuple[float, float]]) -> dict[str, float]:
    """Mean loss per scored token by objective, of means and counts by group."""
    totals: dict[str, list[float]] = {}
    for group, (mean, count) in means.items():
        total = totals.setdefault(OBJECTIVES[group // CLASSES], [0.0, 0.0])
        total[0] += mean * count
        total[1] += count
    return {name: total / count for name, (total, count) in totals.items()}
