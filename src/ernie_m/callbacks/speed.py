"""Throughput: tokens, padding and FLOPs."""

from __future__ import annotations

import time
from typing import Any

from ernie_m.model.architecture import Architecture
from ernie_m.model.device import matrix_peak, matrix_type
from ernie_m.model.flops import training_flops
from ernie_m.training.batches import Batch
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer


class Speed(Callback):
    """Mean throughput since this process started."""

    shape: Architecture
    peak: float

    def __init__(self) -> None:
        self.steps = self.tokens = self.places = 0
        self.flops = self.seconds = 0.0
        self.before = time.monotonic()

    def on_start(self, trainer: Trainer) -> None:
        """Measure the device's peak FLOP/s, and start the clock."""
        engine = trainer.engine
        device = engine.processes.device
        self.shape = engine.model.shape
        # Of all processes together; GPUs are assumed to be alike.
        share = engine.processes.size if device.type == "cuda" else 1
        self.peak = share * matrix_peak(device, matrix_type(device, engine.hardware.precision))
        self.before = time.monotonic()

    def on_step(self, trainer: Trainer, batch: Batch) -> None:
        """Count a step of all processes."""
        now = time.monotonic()
        self.seconds += now - self.before
        self.before = now
        self.steps += 1
        self.tokens += int(batch.lengths.sum())
        self.places += batch.row_count * batch.rows.ids.shape[1]
        scored = sum(batch.predicted.values())
        self.flops += training_flops(self.shape, self.shape.vocabulary, batch.lengths, scored)

    def figures(self) -> dict[str, float]:
        """Tokens per second, share of padding in the rows, the model's FLOP/s, and their share of
        the device's peak measured at the start (which is too low on a busy machine)."""
        seconds = max(self.seconds, 1e-9)
        return {
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / max(self.places, 1),
            "model_flops_per_second": self.flops / seconds,
            "model_flops_utilisation": self.flops / seconds / self.peak,
        }

    def facts(self) -> dict[str, Any]:
        """The figures over the whole run of this process."""
        return self.figures() if self.steps else {}
