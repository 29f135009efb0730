"""ERNIE-M's heads for fine-tuning (its classifier.py, sequence_label.py and mrc.py).

Axes: N positions that a head reads, D width, n documents.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ernie_m.catalogue.tasks import Task
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import Encoder
from ernie_m.xtreme.model.features import Batch

INIT_STD = 0.02


class PairHead(nn.Module):
    """First token -> pooler (dense, tanh) -> dropout -> classes."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, classes)

    def forward(self, x_ND: Tensor) -> Tensor:
        return self.out(self.dropout(torch.tanh(self.pooler(x_ND))))


class TaggingHead(nn.Module):
    """Linear on every word's first token; no dropout, as in ERNIE-M."""

    def __init__(self, width: int, tags: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, tags)

    def forward(self, x_ND: Tensor) -> Tensor:
        return self.out(x_ND)


class SpanHead(nn.Module):
    """Dropout -> two logits per token: the answer starts here, ends here."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, 2)

    def forward(self, x_ND: Tensor) -> Tensor:
        return self.out(self.dropout(x_ND))


def _head(task: Task, width: int, dropout: float) -> nn.Module:
    if task.kind == "pair":
        return PairHead(width, len(task.labels), dropout)
    if task.kind == "tagging":
        return TaggingHead(width, len(task.labels))
    return SpanHead(width, dropout)


class TaskModel(nn.Module):
    """A pre-trained encoder with the head of a task's kind."""

    def __init__(self, shape: Architecture, task: Task, dropout: float) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.head = _head(task, shape.width, dropout)
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[N, outputs]`` at ``batch.where``."""
        x_RLD = self.encoder(batch.packed)
        return self.head(x_RLD.flatten(0, 1)[batch.where.to(x_RLD.device)])


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights of a pre-trained or fine-tuned model, under the encoder's names."""
    prefix = "encoder."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def loss(task: Task, logits: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy; for questions the mean of those of start and end."""
    targets = batch.targets.to(logits.device)
    if task.kind != "qa":
        return F.cross_entropy(logits, targets)
    padded = pad_sequence(
        list(logits.split(batch.counts.tolist())), batch_first=True, padding_value=float("-inf")
    )
    start, end = targets.view(-1, 2).unbind(1)
    return (F.cross_entropy(padded[..., 0], start) + F.cross_entropy(padded[..., 1], end)) / 2
