"""Live logging of a training's curves to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ernie_m.callbacks.speed import Speed
from ernie_m.tracking import live
from ernie_m.training.callbacks import Callback
from ernie_m.training.loop import Trainer


class Curves(Callback):
    """Logs every validation and the current speed to a child run of the workflow's run."""

    def __init__(self, stage: str, instance: str, speed: Speed) -> None:
        self.name = (stage, instance)
        self.speed = speed
        self.live: live.Live | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Open the child run; does nothing when tracking is off."""
        self.live = live.attach(*self.name, resumed=trainer.progress.step > 0)

    def on_validation(self, trainer: Trainer, point: Mapping[str, float]) -> None:
        """Log a point without blocking."""
        assert self.live is not None
        metrics = {key: value for key, value in point.items() if key != "step"}
        self.live.log(metrics | self.speed.figures(), trainer.progress.step)

    def facts(self) -> dict[str, Any]:
        """MLflow's id of the child run, after all points are written; nothing without one."""
        if self.live is None:
            return {}
        self.live.close()
        return {"mlflow_run": self.live.run_id} if self.live.run_id else {}
