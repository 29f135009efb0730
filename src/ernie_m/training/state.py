"""Training state that survives kill -9.

It lives outside the declared outputs, which a workflow engine deletes when a job fails, in a folder
named after everything that decides the run: state of another run can never be picked up.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ernie_m.job import Job
from ernie_m.lineage.digest import code_digest, file_sha256

logger = logging.getLogger(__name__)
KEPT = 2


def state_folder(job: Job[Any]) -> Path:
    """``work/state/<stage>/<digest>``, the digest over input bytes, settings, seed and code.

    Where an input lies does not count. How often state is saved does not either, so that it may
    be changed for a run under way.
    """
    settings = job.settings.model_dump(mode="json")
    settings.pop("checkpoint_every", None)
    facts = {
        "inputs": {n: [file_sha256(p) for p in ps] for n, ps in job.input_paths.items()},
        "settings": settings,
        "seed": job.seed,
        "code": code_digest(job.module),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path("work") / "state" / job.stage / digest[:24]


@dataclass
class Progress:
    """What has been done; the curve has one entry per validation.

    ``sums`` and ``count`` are the training losses since the last entry and their number of steps.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, losses: Mapping[str, float], tokens: int) -> None:
        """Count one step."""
        self.step += 1
        self.tokens += tokens
        self.count += 1
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + loss

    def means(self) -> dict[str, float]:
        """Mean training losses since the sums were last emptied."""
        return {name: total / max(1, self.count) for name, total in self.sums.items()}

    def empty(self) -> None:
        """Start new sums."""
        self.sums, self.count = {}, 0


class State:
    """Saves and restores model, optimiser and progress."""

    def __init__(self, folder: Path, model: nn.Module, optimiser: Optimizer) -> None:
        self.folder = folder
        self.model = model
        self.optimiser = optimiser

    def save(self, progress: Progress) -> None:
        """Write the state after ``progress.step`` steps, beside and renamed; the last two stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": json.dumps(asdict(progress)),
        }
        path = self.folder / f"step-{progress.step:08d}.pt"
        temporary = path.with_suffix(".partial")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        for old in self._saved()[KEPT:]:
            old.unlink()

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def restore(self) -> Progress:
        """Load the newest whole state; a fresh start when there is none.

        A state that cannot be read is named in the log and the one before it is used.
        """
        for path in self._saved():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a torn file fails in many ways; all mean "not this one"
                logger.warning("%s cannot be read (%s); trying the one before", path, error)
                continue
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            progress = Progress(**json.loads(state["progress"]))
            logger.info("resuming after step %d from %s", progress.step, path)
            return progress
        return Progress()

    def clear(self) -> None:
        """Remove the folder, once the outputs are in place of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
