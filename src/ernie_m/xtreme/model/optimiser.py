"""AdamW and learning-rate schedule of fine-tuning, as in ERNIE-M's code (optimization.py)."""

from __future__ import annotations

import re
from collections import defaultdict

from torch import nn
from torch.optim import AdamW

from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.training.schedule import linear_schedule

_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
# Without the LayerNorm of the embeddings: ERNIE-M's layer decay covers tables only.
_TABLES = re.compile(r"encoder\.embeddings\.(word|position|language)\.")


def update_scale(name: str, layers: int, decay: float) -> float:
    """Layer-wise decay of the update of parameter ``name``: ``decay`` to the power of the number of
    layers above it, one more for embedding tables; 1 for heads."""
    if layer := _LAYER.match(name):
        return decay ** (layers - int(layer[1]))
    return decay ** (layers + 1) if _TABLES.match(name) else 1.0


def optimiser(model: nn.Module, layers: int, settings: FinetuneSettings) -> AdamW:
    """AdamW over ``model``, whose encoder has ``layers`` layers.

    Each group has a ``scale`` by which :func:`set_rate` multiplies the rate. The scale applies to
    the update, not to the weight decay, which follows the common rate; biases and LayerNorms have
    no weight decay.
    """
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        decay = settings.weight_decay if parameter.ndim >= 2 else 0.0
        groups[update_scale(name, layers, settings.layer_decay), decay].append(parameter)
    return AdamW(
        [
            {"params": parameters, "scale": scale, "weight_decay": decay / scale}
            for (scale, decay), parameters in groups.items()
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )


def rate(step: int, steps: int, settings: FinetuneSettings) -> float:
    """Learning rate at ``step`` (0-based) of ``steps``."""
    warmup = min(settings.warmup_steps, steps) or round(steps * settings.warmup_share)
    if settings.decay_from == "start" and step >= warmup:
        return settings.learning_rate * (steps - step) / steps
    return settings.learning_rate * linear_schedule(step, steps, warmup)


def set_rate(adam: AdamW, value: float) -> None:
    """Set every group's learning rate to ``value`` times its scale."""
    for group in adam.param_groups:
        group["lr"] = value * group["scale"]
