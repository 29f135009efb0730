"""What may watch a training; what does the watching is in :mod:`ernie_m.callbacks`.

A callback is handed in from above, is called by the first process only, and decides nothing. So
no callback is part of the code that a trained model depends on: to change one retrains nothing,
and a run under way goes on from its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ernie_m.model.packing import Packed
    from ernie_m.training.loop import Trainer
    from ernie_m.training.losses import GroupMeans


class Callback:
    """Does nothing; override what is of interest."""

    def on_start(self, trainer: Trainer) -> None:
        """The state is restored, no step of this process is taken yet."""

    def on_step(self, trainer: Trainer, batch: Packed) -> None:
        """A step was taken (or left out) on ``batch``."""

    def wants_losses(self) -> bool:
        """Whether :meth:`on_losses` should be called now; it costs an all-reduce."""
        return False

    def on_losses(self, trainer: Trainer, means: GroupMeans) -> None:
        """Mean training loss, in nats per scored token, since the last validation."""

    def on_validation(self, trainer: Trainer, point: Mapping[str, float]) -> None:
        """``point`` was added to the curve."""

    def on_end(self) -> None:
        """The loop was left: done, stopped or failed. Must not wait."""

    def facts(self) -> dict[str, Any]:
        """What the record of a finished training says of it; may wait for a store."""
        return {}
