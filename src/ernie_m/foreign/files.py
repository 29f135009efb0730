"""Load third-party weight files without executing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ernie_m.catalogue.checkpoints import parts_of
from ernie_m.errors import UserError
from ernie_m.foreign.paddle import read_pdparams

Weights = dict[str, Tensor]


def _read_torch(path: Path) -> Weights:
    tensors, size = torch.load(path, map_location="cpu", weights_only=True), path.stat().st_size
    if not isinstance(tensors, dict) or not all(_is_plain(*item) for item in tensors.items()):
        raise ValueError("it holds something else than named tensors")
    if any(tensor.nbytes > size for tensor in tensors.values()):
        raise ValueError("a tensor has more numbers than the file has room for")
    return tensors


def _is_plain(name: object, tensor: object) -> bool:
    """Whether this is a named tensor whose numbers are all in memory."""
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_complex()
    )


def _read_parts(index: Path) -> Weights:
    weights: Weights = {}
    for part in parts_of(index):
        own = load_file(part)
        if twice := weights.keys() & own.keys():
            raise ValueError(f"its parts have the tensor {min(twice)} twice")
        weights |= own
    return weights


READERS: dict[str, Callable[[Path], Weights]] = {
    ".safetensors": load_file,
    ".json": _read_parts,
    ".bin": _read_torch,
    ".pdparams": read_pdparams,
}


def read_weights(path: Path) -> Weights:
    """The tensors in a weight file, under its names.

    Raises :class:`UserError` for a damaged file, and for one that holds anything but tensors.
    """
    try:
        return READERS[path.suffix](path)
    except (OSError, UserError):
        raise
    except Exception as error:  # the parsers raise whatever damaged bytes lead to
        # The first line only: torch goes on to advise loading without its safeguard.
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} is not a whole file of tensors, and nothing else: {reason}",
            "Fetch it again, from its publisher; nothing in it was executed.",
        ) from None
