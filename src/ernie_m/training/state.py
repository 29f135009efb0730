"""Resumable training state that survives kill -9.

What a state holds, and how a training goes on from it, decide the trained bytes; when states are
written and how many are kept do not, and are a callback's. States lie outside the declared outputs,
which a workflow engine deletes when a job fails, in a folder named by a digest of everything that
decides the result: a run can never resume from the state of another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save_file

from ernie_m.job import Job
from ernie_m.model.packing import Packed
from ernie_m.records.digest import code_digest, file_sha256
from ernie_m.training.engine import Engine

logger = logging.getLogger(__name__)
# Settings that do not decide the result, and may change between saving and resuming.
NOT_IN_RESUME_KEY = ("hardware", "keep_every")


def end_of(job: Job[Any]) -> int:
    """The step at which a training ends: its last, or that of an instance ``<variant>/step<step>``,
    which is a checkpoint that it keeps."""
    kept = re.search(r"/step(\d+)$", job.instance)
    return int(kept[1]) if kept else job.settings.steps


def state_folder(job: Job[Any]) -> Path:
    """``work/state/<stage>/<digest>``, the digest over input bytes, settings, seed and code.

    Paths of inputs do not count, nor do hardware and how often a checkpoint is kept, so both may
    be changed for a run under way. Inputs are hashed unless the job has done so for its record.
    """
    settings = job.settings.model_dump(mode="json")
    opening = job.opening.inputs if job.opening else {}
    facts = {
        "inputs": {
            name: [file.sha256 for file in opening.get(name, ())] or list(map(file_sha256, paths))
            for name, paths in job.input_paths.items()
        },
        "settings": {key: value for key, value in settings.items() if key not in NOT_IN_RESUME_KEY},
        "seed": job.seed,
        "end": end_of(job),
        "code": code_digest(job.module),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path("work") / "state" / job.stage / digest[:24]


@dataclass
class Progress:
    """Progress of a training; the curve has one entry per validation.

    ``trend`` is a moving average of the loss, ``skipped`` the number of skipped updates.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    trend: float = 0.0
    skipped: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)


class State:
    """The saved states of a training, which :mod:`ernie_m.callbacks.checkpointer` writes."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def saved(self) -> list[Path]:
        """The files ``step-<step>-<digest of its bytes>.pt``, the newest first."""
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def restore(self) -> Progress:
        """Load the newest undamaged state; a fresh start when there is none.

        A damaged state is named in the log, and the one before it is tried.
        """
        for path in self.saved():
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
        """Save the batch of a diverging step for inspection; returns the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"batch-{step:08d}.safetensors"
        arrays = {k: v.numpy() for k, v in vars(batch).items() if isinstance(v, torch.Tensor)}
        save_file(arrays, path)
        return path
