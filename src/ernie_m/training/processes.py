"""The processes that share a training, as ``torchrun`` starts them.

``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` of the environment say which one this is; without them
there is one process. Each makes the whole batch of a step and computes its part, so that the
examples do not depend on the number of processes. The first alone writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from ernie_m.errors import UserError
from ernie_m.model.device import best_device


@dataclass(frozen=True)
class Processes:
    """This process among ``size``; ``device`` is where it computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def all_reduce(self, values: Tensor) -> Tensor:
        """Sum of ``values`` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process, so that all decide alike."""
        return (
            flag
            if self.size == 1
            else bool(self.all_reduce(torch.tensor(int(flag)).to(self.device)))
        )


def respawn(module: str, processes: int) -> None:
    """Replace this process by ``processes`` of itself under ``torchrun``; returns if that is done
    already, or one is enough."""
    if processes == 1 or "RANK" in os.environ:
        return
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # or torchrun sets it, with a warning
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", module, *sys.argv[1:]])


@contextmanager
def process_group(expected: int) -> Iterator[Processes]:
    """Join the other processes, if any, until the end of the block.

    Raises :class:`UserError` when there are others than the ``expected`` number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size != expected:
        raise UserError(
            f"{size} processes were started, but `hardware.processes` is {expected}.",
            "Give torchrun --nnodes and --nproc-per-node whose product is `hardware.processes`.",
        )
    device = best_device()
    if size == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
