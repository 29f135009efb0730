"""Checkpoints: one safetensors file with weights and architecture."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ernie_m.errors import UserError
from ernie_m.mapped import joined, parted
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import LanguageModel

FORMAT = "ernie-m/1"


def save(path: Path, model: nn.Module, shape: Architecture, extra: dict[str, str]) -> None:
    """Write ``model``'s weights, its architecture and ``extra`` facts to ``path``."""
    save_weights(path, model.state_dict(), shape, extra)


def save_weights(
    path: Path, named: dict[str, torch.Tensor], shape: Architecture, extra: dict[str, str]
) -> None:
    """:func:`save` for weights by name."""
    weights = {name: tensor.detach().contiguous() for name, tensor in named.items()}
    metadata = {**extra, "format": FORMAT, "architecture": shape.to_json()}
    save_file(weights, path, metadata=joined(metadata))


def read(path: Path) -> tuple[dict[str, torch.Tensor], Architecture, dict[str, str]]:
    """Weights, architecture and extra facts of a checkpoint; raises :class:`UserError`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = parted(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a whole checkpoint: {error}.", "Run the stage that makes it again."
        ) from None
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a checkpoint of this project.",
            f"Give a file whose metadata says format={FORMAT}.",
        )
    shape = Architecture.from_json(metadata.get("architecture", ""))
    _check_shape(weights, shape, path)
    return weights, shape, metadata


def _check_shape(weights: dict[str, torch.Tensor], shape: Architecture, path: Path) -> None:
    """Raise :class:`UserError` where the numbers of the architecture are not those of the weights:
    a model of them might not fit in memory."""
    rows = {"word": shape.vocabulary, "position": shape.max_positions}
    wanted = {f"encoder.embeddings.{name}.weight": (n, shape.width) for name, n in rows.items()}
    wanted["encoder.layers.0.ffn_in.weight"] = shape.ffn, shape.width
    layers = sum(name.endswith(".ffn_in.weight") for name in weights)
    fits = all(name in weights and weights[name].shape == own for name, own in wanted.items())
    fits &= all(0 <= share <= 1 for share in (shape.dropout, shape.attention_dropout))
    if not fits or layers != shape.layers or shape.heads < 1 or shape.width % shape.heads:
        raise UserError(
            f"{path} is not a whole checkpoint: its weights are not of the architecture that it "
            "names.",
            "Run the stage that makes it again.",
        )


def fill(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Load ``weights`` into ``model``; raises :class:`UserError` naming a tensor that does not
    fit."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    actual = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = [name for name in sorted(expected | actual) if expected.get(name) != actual.get(name)]
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{path} is of another architecture: `{name}` is {actual.get(name, 'absent')} there "
            f"and {expected.get(name, 'absent')} in this model.",
            "Give a checkpoint made with the same `model` section, or run its stage again.",
        )
    model.load_state_dict(weights)


def load(path: Path) -> LanguageModel:
    """The pre-trained model in ``path``, on the CPU, in evaluation mode; raises UserError."""
    weights, shape, _ = read(path)
    model = LanguageModel(shape)
    fill(model, weights, path)
    return model.eval()
