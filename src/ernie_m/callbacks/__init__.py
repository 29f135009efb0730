"""Callbacks of a training: saved states, display, speed, curves in MLflow."""

from __future__ import annotations

from typing import Any

from ernie_m.callbacks.checkpointer import Checkpointer
from ernie_m.callbacks.curves import Curves
from ernie_m.callbacks.display import Display
from ernie_m.callbacks.keeper import Keeper
from ernie_m.callbacks.speed import Speed
from ernie_m.job import Job
from ernie_m.training.callbacks import Callback


def callbacks(job: Job[Any]) -> list[Callback]:
    """The callbacks of a pre-training stage."""
    speed = Speed()
    return [
        Keeper(job),
        Checkpointer(),
        speed,
        Display(speed),
        Curves(job.stage, job.instance, speed),
    ]
