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

from ernie_m.config.saving import SavingSettings
from ernie_m.errors import UserError
from ernie_m.launch import in_step, queue_again
from ernie_m.records.digest import file_sha256
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer

logger = logging.getLogger(__name__)
# Signals by which a scheduler preempts a job.
PREEMPTION = (signal.SIGTERM, signal.SIGUSR1)


class Checkpointer(Callback):
    """Saves states as the ``settings`` say, by default those of the workflow, and after the last
    step, and ends the process after the current step on a scheduler's signal; after the last one at
    once."""

    every_rank = True

    def __init__(self, settings: SavingSettings | None = None) -> None:
        self.settings = settings or SavingSettings.of_job()
        self.saved = time.monotonic()
        self.caught: list[int] = []
        self.handlers: dict[signal.Signals, Any] = {}
        self.first = True

    def on_start(self, trainer: Trainer) -> None:
        """Catch the signals, so that the current step is finished first."""
        self.saved, self.first = time.monotonic(), trainer.engine.processes.first
        for which in PREEMPTION:
            self.handlers[which] = signal.signal(
                which, lambda number, _: self.caught.append(number)
            )

    def on_step_end(self, trainer: Trainer) -> None:
        """Save if it is time to, or if the training has to stop."""
        stop = trainer.agreed(bool(self.caught))
        overdue = trainer.agreed(self._overdue())
        every = self.settings.every_steps
        # After the last step the outputs are still to be written, which may take long.
        if trainer.last or trainer.progress.step % every == 0 or overdue or stop:
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
        """Give the signals back; but a job of Slurm that is warned while outputs are written is
        queued again, and goes on from the last state."""
        for which, handler in self.handlers.items():
            signal.signal(which, self._end if in_step() else handler)

    def facts(self) -> dict[str, Any]:
        """None. A signal that came after the loop last looked counts now."""
        if self.caught and in_step():
            self._end(self.caught[0], None)
        return {}

    def _end(self, number: int, _: object) -> None:
        """Only the first process still has work; when it ends, so do all."""
        if self.first:
            again = "; Slurm starts the job again" if queue_again() else ""
            logger.info("ended while the results are written, from the state saved%s", again)
            sys.exit(128 + number)

    def _overdue(self) -> bool:
        minutes = self.settings.every_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def _save(self, trainer: Trainer) -> None:
        trainer.means()  # checks the losses: diverged weights must not replace a good state
        content = trainer.engine.state()
        if trainer.engine.processes.first:
            write(trainer, content, self.settings.keep)
        self.saved = time.monotonic()


def write(trainer: Trainer, content: dict[str, Any], keep: int) -> None:
    """Write a state and rename it into place, then remove what is older than the newest ``keep``,
    and what is damaged: of this step or a later one, which the training has not come to.

    The name ends in a digest of the bytes, by which later damage is detected. Raises
    :class:`UserError` where there is no room.
    """
    state, step = trainer.state, trainer.progress.step
    content["progress"] = json.dumps(asdict(trainer.progress))
    content["hardware"] = trainer.engine.hardware.model_dump_json()
    state.folder.mkdir(parents=True, exist_ok=True)
    temporary = state.folder / "state.partial"
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # of torch, when it cannot write the end
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"The state after step {step} could not be written to {state.folder}: {error}.",
            "If there is no room, make some; the same command goes on from the state before.",
        ) from None
    name = f"step-{step:08d}-{file_sha256(temporary)[:16]}.pt"
    os.replace(temporary, state.folder / name)
    older = [old for old in state.saved() if old.name < f"step-{step:08d}"]
    kept = {name, *(old.name for old in older[: keep - 1])}
    for other in (other for other in state.saved() if other.name not in kept):
        other.unlink()
