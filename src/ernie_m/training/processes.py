"""Distributed training under ``torchrun``.

The environment variables ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` identify the process; without
them there is a single one. Each rank makes the whole batch of a step and computes its share, so
that the data order does not depend on the number of processes. Only rank 0 writes.
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

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any rank, so that all ranks decide alike."""
        return (
            flag
            if self.size == 1
            else bool(self.all_reduce(torch.tensor(int(flag)).to(self.device)))
        )


def respawn(module: str, processes: int) -> None:
    """Re-execute this process under ``torchrun`` with ``processes`` ranks; returns if it already
    runs under it, or if ``processes`` is 1."""
    if processes == 1 or "RANK" in os.environ:
        return
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # otherwise torchrun sets it, with a warning
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", module, *sys.argv[1:]])


@contextmanager
def process_group(expected: int) -> Iterator[Processes]:
    """The process group, initialised for the length of the block if there are several processes.

    Raises :class:`UserError` when their number is not ``expected``.
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
