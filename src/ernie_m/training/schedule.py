"""Optimiser and learning-rate schedule."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW

from ernie_m.config.pretrain import OptimiserSettings


def linear_schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate at ``step`` (0-based): linear up over ``warmup``, linear to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def adamw(model: nn.Module, settings: OptimiserSettings) -> AdamW:
    """AdamW whose decay leaves biases and LayerNorms alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )
