"""Device and precision of a model: the GPU when there is one, else the CPU.

Batches are made on the CPU; the encoder moves them to the device of its weights.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from ernie_m.errors import UserError

# Size of the matrix product that is timed: large enough to be compute-bound.
MATRIX = {"cpu": 1024, "cuda": 8192}
# Set to 1 by the rules where `hardware.require_gpu` is on: most stages do not have that setting.
REQUIRED = "ERNIE_M_REQUIRE_GPU"


def best_device(required: bool = False) -> torch.device:
    """The current GPU, or the CPU where there is none (``CUDA_VISIBLE_DEVICES=`` hides GPUs).

    On a GPU it also turns on deterministic algorithms: atomic sums would differ from run to run.
    Raises :class:`UserError` where a GPU is ``required``, by the caller or the workflow, or was
    granted by a scheduler, and torch cannot use it: on the CPU the job would go on for weeks.
    """
    if not torch.cuda.is_available():
        required = required or os.environ.get(REQUIRED) == "1"
        granted = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if required or granted.split(",")[0].isdecimal() or granted.startswith(("GPU-", "MIG-")):
            raise UserError(
                "There is no GPU that torch can use, though "
                + ("`hardware.require_gpu` is set." if required else f"{granted} was granted."),
                "Look at `nvidia-smi` there; torch here is built for "
                + (f"CUDA {torch.version.cuda}." if torch.version.cuda else "CPUs alone.")
                + " CUDA_VISIBLE_DEVICES= is for the CPU.",
            )
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    return torch.device("cuda")


def matrix_type(device: torch.device, precision: str) -> torch.dtype:
    """Type of matrix products for ``hardware.precision``; ``auto`` is bfloat16 where the device
    supports it."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bfloat16" or (precision == "auto" and native)
    return torch.bfloat16 if wanted else torch.float32


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Autocast to :func:`matrix_type`: matrix products in that type, sums in float32."""
    dtype = matrix_type(device, precision)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on ``device``. Nothing waits for the copy: from memory that is not pinned it would
    be made once the GPU has done all that it was given before."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")


def device_of(module: nn.Module) -> torch.device:
    """Device of a module's weights."""
    return next(module.parameters()).device


def matrix_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """FLOP/s of a large matrix product, the best of as many as fit into ``seconds``."""
    size = MATRIX[device.type]
    left = torch.randn(size, size, device=device).to(dtype)
    out = torch.empty_like(left)
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        torch.mm(left, left, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - before)
    return 2 * size**3 / best
