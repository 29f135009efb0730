"""Optimiser, learning-rate schedule and update, for pre-training and fine-tuning."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import AdamW

from ernie_m.config.pretrain import OptimiserSettings


def linear_schedule(step: int, steps: int, warmup: int, decay: int | None = None) -> float:
    """Share of the peak rate at ``step`` (0-based): linear warm-up, the peak, then linear decay to
    0 in the last ``decay`` steps; None: in all after the warm-up, which is as many as there are."""
    if step < warmup:
        return (step + 1) / warmup
    left = steps - warmup
    return min(1.0, max(0.0, (steps - step) / max(1, left if decay is None else min(decay, left))))


def adamw(model: nn.Module, settings: OptimiserSettings) -> AdamW:
    """AdamW without weight decay for biases and LayerNorms."""
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


def update(model: nn.Module, adam: AdamW, clip_norm: float) -> Tensor:
    """Clip the gradients to ``clip_norm``, step, and zero them; returns their norm before
    clipping."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    adam.step()
    adam.zero_grad()
    return norm
