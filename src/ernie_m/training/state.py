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


class State:
    """Saves and restores model, optimiser, step and the curve so far."""

    def __init__(self, folder: Path, model: nn.Module, optimiser: Optimizer) -> None:
        self.folder = folder
        self.model = model
        self.optimiser = optimiser

    def save(self, step: int, tokens: int, seconds: float, curve: list[dict[str, Any]]) -> None:
        """Write the state after ``step`` steps, beside and renamed; the last two are kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": step,
            "tokens": tokens,
            "seconds": seconds,
            "curve": json.dumps(curve),
        }
        path = self.folder / f"step-{step:08d}.pt"
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

    def restore(self) -> tuple[int, int, float, list[dict[str, Any]]]:
        """Load the newest whole state: step, tokens, seconds, curve; zeros when there is none.

        A state that cannot be read is named in the log and the one before it is used.
        """
        for path in self._saved():
            try:
                state = torch.load(path, weights_only=True)
                self.model.load_state_dict(state["model"])
                self.optimiser.load_state_dict(state["optimiser"])
            except Exception as error:  # a torn file fails in many ways; all mean "not this one"
                logger.warning("%s cannot be read (%s); trying the one before", path, error)
                continue
            logger.info("resuming after step %d from %s", state["step"], path)
            curve = json.loads(state["curve"])
            return state["step"], state["tokens"], state["seconds"], curve
        return 0, 0, 0.0, []

    def clear(self) -> None:
        """Remove the folder, once the outputs are in place of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
