"""Load third-party weight files without executing them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ernie_m.errors import UserError
from ernie_m.foreign.paddle import read_pdparams

Weights = dict[str, Tensor]


def _read_torch(path: Path) -> Weights:
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ValueError("it holds something else than named tensors")
    return tensors


READERS: dict[str, Callable[[Path], Weights]] = {
    ".safetensors": load_file,
    ".bin": _read_torch,
    ".pdparams": read_pdparams,
}


def read_weights(path: Path) -> Weights:
    """The tensors in a weight file, under its names.

    Raises :class:`UserError` for a damaged file, and for one that holds anything but tensors.
    """
    try:
        return READERS[path.suffix](path)
    except (SafetensorError, pickle.UnpicklingError, ValueError, EOFError, RuntimeError) as error:
        # The first line only: torch goes on to advise loading without its safeguard.
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} is not a whole file of tensors, and nothing else: {reason}",
            "Fetch it again, from its publisher; nothing in it was executed.",
        ) from None
