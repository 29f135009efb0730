"""Where a model computes: on the GPU when there is one, else on the CPU.

Batches are made on the CPU; the encoder takes them to the device of its weights.
"""

from __future__ import annotations

import os

import torch
from torch import nn


def best_device() -> torch.device:
    """The current GPU, or the CPU where there is none (``CUDA_VISIBLE_DEVICES=`` hides GPUs).

    On a GPU it also chooses repeatable algorithms; sums by atomics would differ from run to run.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    return torch.device("cuda")


def device_of(module: nn.Module) -> torch.device:
    """Device of a module's weights."""
    return next(module.parameters()).device
