"""The callback interface of the trainer; implementations are in :mod:`ernie_m.callbacks`.

Callbacks are passed in by the stage and do not influence the training: no weight depends on them.
So they are no part of the code that a trained model depends on: editing one retrains nothing, and a
run under way resumes from its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ernie_m.training.batches import Batch
    from ernie_m.training.loop import Trainer
    from ernie_m.training.losses import GroupMeans


class Callback:
    """Does nothing; override the methods of interest."""

    # Whether every rank calls it, and not rank 0 alone; collective operations need that.
    every_rank = False

    def on_start(self, trainer: Trainer) -> None:
        """The state is restored; no step has been taken yet."""

    def on_step(self, trainer: Trainer, batch: Batch) -> None:
        """A step was taken, or skipped, on ``batch``."""

    def on_step_end(self, trainer: Trainer) -> None:
        """The validation that was due after a step is done too."""

    def wants_losses(self) -> bool:
        """Whether :meth:`on_losses` should be called now; it costs an all-reduce."""
        return False

    def on_losses(self, trainer: Trainer, means: GroupMeans) -> None:
        """Mean training loss since the last validation, in nats per predicted token."""

    def on_validation(self, trainer: Trainer, point: Mapping[str, float]) -> None:
        """``point`` was added to the training curve."""

    def on_end(self) -> None:
        """The loop has ended: finished, stopped or failed. Must not block."""

    def facts(self) -> dict[str, Any]:
        """Facts for the record of a finished training; may block on a store."""
        return {}
