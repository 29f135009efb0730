"""A training step asks for nothing that only the GPU knows, or each step would wait for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ernie_m.callbacks.checkpointer import Checkpointer
from ernie_m.callbacks.speed import Speed
from ernie_m.config.hardware import HardwareSettings
from ernie_m.model.encoder import LanguageModel
from ernie_m.training import schedule
from ernie_m.training.batches import DataLoader
from ernie_m.training.engine import Engine
from ernie_m.training.loop import Trainer
from ernie_m.training.processes import Processes
from ernie_m.training.state import State
from ernie_m.training.validation import Validation
from tests.pretrain.conftest import stage_job
from tests.training.test_engine import SHAPE, corpus, dataloader

__all__ = ["corpus", "dataloader"]  # fixtures
# Stands in for a GPU: tensors there have shapes and no values, so what would need one fails.
DEVICE = torch.device("meta")
aten = torch.ops.aten
ASK = {aten._local_scalar_dense, aten.nonzero, aten.equal, aten.masked_select, aten._unique2}


class Waits(TorchDispatchMode):
    """Collects the operations for which the CPU waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [one for one in tree_leaves(args) if isinstance(one, torch.Tensor)]
        there = any(one.device == DEVICE for one in tensors)
        packet, kwargs = func.overloadpacket, kwargs or {}
        if there and (packet in ASK or self._by_truth(packet, args)):
            self.found.append(str(packet))
        if packet in (aten._to_copy, aten.copy_):
            source = tensors[-1].device
            target = kwargs.get("device", tensors[0].device)
            waiting = not (kwargs.get("non_blocking") or (packet is aten.copy_ and args[2:]))
            if torch.device(target) != source and (source == DEVICE or waiting):
                self.found.append(f"{packet} from {source} to {target}")
        return func(*args, **kwargs)

    @staticmethod
    def _by_truth(packet: Any, args: Any) -> bool:
        """Indexing by bool, which has to know how many are true."""
        indices = args[1] if packet in (aten.index, aten.index_put, aten.index_put_) else ()
        return any(one is not None and one.dtype == torch.bool for one in indices)


@pytest.fixture
def trainer(
    dataloader: DataLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Trainer]:
    # The fused one, which the device lacks, keeps its count of steps there.
    monkeypatch.setattr(schedule, "AdamW", lambda *args, fused, **named: adam(*args, **named))
    adam = partial(torch.optim.AdamW, foreach=False)

    def make(**hardware: Any) -> Trainer:
        settings = stage_job(evaluate_every=1000, steps=1000, **hardware.pop("settings", {}))
        shape = HardwareSettings(num_threads=1, **hardware)
        engine = Engine(LanguageModel(SHAPE), settings.optimiser, shape, Processes(0, 1, DEVICE))
        validation = Validation({}, 1, dataloader.masking, 32, 1)
        state = State(tmp_path, engine)
        speed = Speed()
        speed.shape = SHAPE
        callbacks = [Checkpointer(), speed]  # those that log wait for the losses then
        return Trainer("camlm", engine, dataloader, validation, settings, state, callbacks)

    return make


@pytest.mark.parametrize(
    "hardware", [{}, {"forward_tokens": 64}, {"recompute": True}, {"compile": True}]
)
def test_no_step_waits_for_the_gpu(trainer: Callable[..., Trainer], hardware: Any) -> None:
    compiled = hardware.pop("compile", False)
    made = trainer(**hardware)
    if compiled:  # which shapes its layers get; not that they are compiled
        made.engine.hardware = made.engine.hardware.model_copy(update={"compile": True})
    batches = [made._batch(step) for step in range(4)]
    made._train_step(batches[0])
    with Waits() as waits:
        for batch in batches[1:]:
            made._train_step(batch)
    assert waits.found == []
    assert made.progress.step == 4


def test_what_waits_is_found(trainer: Callable[..., Trainer]) -> None:
    made = trainer(settings={"on_divergence": "skip"})
    batch = made._batch(0)
    with Waits() as waits, pytest.raises((RuntimeError, NotImplementedError)):
        made._train_step(batch)
    assert waits.found == ["aten._local_scalar_dense"]
    with Waits() as waits:
        torch.zeros(3).to(DEVICE)
        torch.zeros(3, device=DEVICE).copy_(torch.zeros(3))
    assert len(waits.found) == 2
    with Waits() as waits, pytest.raises(NotImplementedError):
        torch.zeros(3, device=DEVICE)[torch.ones(3, dtype=torch.bool, device=DEVICE)]
    assert waits.found == ["aten.index"]
