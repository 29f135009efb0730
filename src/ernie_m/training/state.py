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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save_file

from ernie_m.job import Job
from ernie_m.model.packing import Packed
from ernie_m.records.digest import code_digest, file_sha256
from ernie_m.training.engine import Engine

logger = logging.getLogger(__name__)
# Settings that decide how a run goes on, and not where it leads.
NOT_IN_RESUME_KEY = ("hardware", "checkpoint_every", "checkpoint_minutes", "checkpoints_kept")


def state_folder(job: Job[Any]) -> Path:
    """``work/state/<stage>/<digest>``, the digest over input bytes, settings, seed and code.

    Where an input lies does not count. How often state is saved and on what hardware one trains
    does not either, so that both may be changed for a run under way.
    """
    settings = job.settings.model_dump(mode="json")
    facts = {
        "inputs": {n: [file_sha256(p) for p in ps] for n, ps in job.input_paths.items()},
        "settings": {key: value for key, value in settings.items() if key not in NOT_IN_RESUME_KEY},
        "seed": job.seed,
        "code": code_digest(job.module),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path("work") / "state" / job.stage / digest[:24]


@dataclass
class Progress:
    """What has been done; the curve has one entry per validation.

    ``trend`` is a moving mean of the loss, ``skipped`` the steps whose update was left out.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    trend: float = 0.0
    skipped: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)


class State:
    """Saves and restores an engine and its progress; the newest ``kept`` states stay."""

    def __init__(self, folder: Path, engine: Engine, kept: int) -> None:
        self.folder = folder
        self.engine = engine
        self.kept = kept

    def save(self, progress: Progress) -> None:
        """Write the state after ``progress.step`` steps, beside and renamed, by the first process.

        The name ends in the digest of the bytes, so that what is torn later is found out.
        """
        state = self.engine.state()
        if not self.engine.processes.first:
            return
        state["progress"] = json.dumps(asdict(progress))
        state["hardware"] = self.engine.hardware.model_dump_json()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "state.partial"
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        name = f"step-{progress.step:08d}-{file_sha256(temporary)[:16]}.pt"
        os.replace(temporary, self.folder / name)
        for old in self._saved()[self.kept :]:
            old.unlink()

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def restore(self) -> Progress:
        """Load the newest whole state; a fresh start when there is none.

        A state that is not whole is named in the log and the one before it is used.
        """
        for path in self._saved():
            if not path.stem.endswith(file_sha256(path)[:16]):
                logger.warning("%s is damaged; trying the state before it", path)
                continue
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["hardware"] != self.engine.hardware.model_dump_json():
                logger.warning("%s was saved under other `hardware` settings", path)
            self.engine.load(state)
            progress = Progress(**json.loads(state["progress"]))
            logger.info("resuming after step %d from %s", progress.step, path)
            return progress
        return Progress()

    def keep_batch(self, step: int, batch: Packed) -> Path:
        """Write the tensors of a step's batch, for a look at what went wrong; returns the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"batch-{step:08d}.safetensors"
        arrays = {k: v.numpy() for k, v in vars(batch).items() if isinstance(v, torch.Tensor)}
        save_file(arrays, path)
        return path

    def clear(self) -> None:
        """Remove the folder, once the outputs are in place of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
