"""Saving a training's state: at intervals, and when a scheduler takes the machine away."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import torch

from ernie_m.launch import queue_again
from ernie_m.records.digest import file_sha256
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer

logger = logging.getLogger(__name__)
# Signals by which a scheduler preempts a job.
PREEMPTION = (signal.SIGTERM, signal.SIGUSR1)


class Checkpointer(Callback):
    """Saves states as ``checkpoint_every`` and ``checkpoint_minutes`` say, keeps the newest
    ``checkpoints_kept``, and ends the process after the current step on a scheduler's signal."""

    every_rank = True

    def __init__(self) -> None:
        self.saved = time.monotonic()
        self.caught: list[int] = []
        self.handlers: dict[signal.Signals, Any] = {}

    def on_start(self, trainer: Trainer) -> None:
        """Catch the signals, so that the current step is finished first."""
        self.saved = time.monotonic()
        for which in PREEMPTION:
            self.handlers[which] = signal.signal(
                which, lambda number, _: self.caught.append(number)
            )

    def on_step_end(self, trainer: Trainer) -> None:
        """Save if it is time to, or if the training has to stop."""
        if trainer.last:
            return
        stop = trainer.agreed(bool(self.caught))
        every = trainer.settings.checkpoint_every
        if trainer.progress.step % every == 0 or trainer.agreed(self._overdue(trainer)) or stop:
            self._save(trainer)
        if stop:
            # All wait for the first: `srun` ends them all when one has ended.
            again = trainer.agreed(trainer.engine.processes.first and queue_again())
            then = "; Slurm starts the job again" if again else ""
            logger.info(
                "%s: state saved after step %d%s", trainer.name, trainer.progress.step, then
            )
            sys.exit(128 + (self.caught or [signal.SIGTERM])[0])

    def on_end(self) -> None:
        """Give the signals back."""
        for which, handler in self.handlers.items():
            signal.signal(which, handler)

    def _overdue(self, trainer: Trainer) -> bool:
        minutes = trainer.settings.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def _save(self, trainer: Trainer) -> None:
        trainer.means()  # checks the losses: diverged weights must not replace a good state
        content = trainer.engine.state()
        if trainer.engine.processes.first:
            write(trainer, content)
        self.saved = time.monotonic()


def write(trainer: Trainer, content: dict[str, Any]) -> None:
    """Write a state and rename it into place, then remove what is older than the newest few.

    The name ends in a digest of the bytes, by which later damage is detected.
    """
    state, step = trainer.state, trainer.progress.step
    content["progress"] = json.dumps(asdict(trainer.progress))
    content["hardware"] = trainer.engine.hardware.model_dump_json()
    state.folder.mkdir(parents=True, exist_ok=True)
    temporary = state.folder / "state.partial"
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    name = f"step-{step:08d}-{file_sha256(temporary)[:16]}.pt"
    os.replace(temporary, state.folder / name)
    for old in state.saved()[trainer.settings.checkpoints_kept :]:
        old.unlink()
