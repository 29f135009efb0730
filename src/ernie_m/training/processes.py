"""The processes that share a training.

The environment variables ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``, as ``torchrun`` and
:mod:`ernie_m.launch` set them, identify the process; without them there is a single one. Each rank
makes and computes its own rows of a step's batch; the data order does not depend on the number of
processes. Only rank 0 writes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import _set_pg_timeout

from ernie_m.config.hardware import HardwareSettings
from ernie_m.errors import UserError
from ernie_m.model.device import best_device

# How long a rank waits for another before the training begins: while rank 0 hashes terabytes, or
# waits for another run that has the same training, the others must not give up.
PATIENCE = timedelta(days=30)
# And in the training: while rank 0 writes a state.
LIMIT = timedelta(hours=1)


@dataclass(frozen=True)
class Processes:
    """This process: its ``rank`` among ``size``, and the ``device`` it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes and logs."""
        return self.rank == 0

    def all_reduce(self, values: Tensor) -> Tensor:
        """Sum ``values`` over all ranks, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def told(self, make: Callable[[], str]) -> str:
        """What ``make`` returns on rank 0, which alone calls it, on every rank; collective."""
        words: list[str | None] = [make() if self.first else None]
        if self.size > 1:
            distributed.broadcast_object_list(words)
        return str(words[0])

    def begin(self) -> None:
        """Wait until every rank has come here, and from now on not for long; collective."""
        self.any(False)
        if self.size > 1:
            _set_pg_timeout(LIMIT)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any rank, so that all ranks decide alike."""
        return (
            flag
            if self.size == 1
            else bool(self.all_reduce(torch.tensor(int(flag)).to(self.device)))
        )


@contextmanager
def process_group(hardware: HardwareSettings) -> Iterator[Processes]:
    """The process group, initialised for the length of the block if there are several processes.

    Raises :class:`UserError` when their number, or the device, is not what ``hardware`` asks for.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size != hardware.processes:
        raise UserError(
            f"{size} processes were started, but `hardware` asks for {hardware.processes}.",
            "Give torchrun its `nodes` as --nnodes, `processes_per_node` as --nproc-per-node.",
        )
    device = best_device(hardware.require_gpu)
    if size == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), size, device)
    finally:
        # DDP and the optimiser refer to the group, in cycles. If theirs is the last reference, the
        # group's threads are joined by one that keeps Python from running, which they may need.
        gc.collect()
        distributed.destroy_process_group()
