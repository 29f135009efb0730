"""The loss of a step from packed rows, computed per micro-batch and rank.

Axes: N tokens with a label, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ernie_m.model.device import autocast, device_of, matrix_type, sent
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import Packed, Scored
from ernie_m.objectives import OBJECTIVES
from ernie_m.training.batches import CLASSES

# Logits in memory at once: 256 MiB in float32. With 250,000 pieces that is 268 tokens.
HEAD_LOGITS = 2**26
GROUPS = len(OBJECTIVES) * CLASSES
# Group -> mean loss, number of tokens.
GroupMeans = dict[int, tuple[float, float]]


class TokenLosses(nn.Module):
    """A language model as a training module: rows in, token losses out.

    One ``forward`` for all objectives, because DDP and FSDP hook into it.
    ``precision`` is the type of matrix products (:func:`ernie_m.model.device.matrix_type`);
    ``fused`` takes torch's head and loss in one, whose scores are of that type too.
    """

    def __init__(
        self, model: LanguageModel, precision: str = "float32", fused: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.fused = fused

    def forward(self, batch: Packed, scored: Scored) -> Tensor:
        """Cross-entropy of each token with a label, in nats, float32 ``[N]``, on the model's
        device."""
        with autocast(device_of(self.model), self.precision):
            return self._losses(batch, scored)

    def _losses(self, batch: Packed, scored: Scored) -> Tensor:
        x_RLD = self.model.encoder(batch)
        scored = scored.to(x_RLD.device)
        x_ND, labels_N = x_RLD.flatten(0, 1)[scored.where], scored.labels
        if self.fused:
            return self._fused_head(x_ND, labels_N)
        size = max(1, HEAD_LOGITS // self.model.shape.vocabulary)
        if len(x_ND) <= size:
            return self._head(x_ND, labels_N)
        # Logits are the largest tensor; chunks of them are recomputed in the backward pass.
        chunks = zip(x_ND.split(size), labels_N.split(size), strict=True)
        return torch.cat([checkpoint(self._head, *chunk, use_reentrant=False) for chunk in chunks])

    def _head(self, x_ND: Tensor, labels_N: Tensor) -> Tensor:
        logits_NV = self.model.head(x_ND, self.model.encoder.embeddings.word.weight)
        return F.cross_entropy(logits_NV.float(), labels_N, reduction="none")

    def _fused_head(self, x_ND: Tensor, labels_N: Tensor) -> Tensor:
        head, word_VD = self.model.head, self.model.encoder.embeddings.word.weight
        dtype = matrix_type(x_ND.device, self.precision)
        y_ND, word_VD, bias_V = (x.to(dtype) for x in (head.hidden(x_ND), word_VD, head.bias))
        losses_N = F.linear_cross_entropy(
            y_ND,
            word_VD,
            labels_N,
            linear_bias=bias_V,
            reduction="none",
            options=nn.LinearCrossEntropyOptions(),
        )
        return losses_N.float()


def step_loss(losses: Tensor, scored: Scored, counts: dict[int, int]) -> Tensor:
    """A micro-batch's contribution to the loss of the step.

    That loss is the sum over objectives of the mean over the objective's ``counts`` predicted
    tokens in the whole batch. The objectives have weight 1 each; the paper gives no weights.
    """
    objective = scored.groups // CLASSES
    # Computed on the CPU, where the batch was made, to avoid a GPU synchronisation.
    positions = ((objective == i).nonzero().squeeze(1) for i in counts)
    tokens = {i: sent(where, losses.device) for i, where in zip(counts, positions, strict=True)}
    return torch.stack([losses[tokens[i]].sum() / count for i, count in counts.items()]).sum()


class LossSums:
    """Sums of token losses by group since the last :meth:`clear`, on the model's device.

    ``values`` is float64 ``[2, GROUPS]``: sums in nats, and numbers of tokens.
    """

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(2, GROUPS, dtype=torch.float64, device=device)

    def add(self, losses: Tensor, scored: Scored) -> None:
        """Add the losses of a micro-batch."""
        sums = losses.double()
        both = torch.stack([sums, torch.ones_like(sums)])
        self.values.index_add_(1, sent(scored.groups, both.device), both)

    def clear(self) -> None:
        """Set all sums to zero."""
        self.values.zero_()


def group_means(values: Tensor) -> GroupMeans:
    """Means of float64 ``[2, GROUPS]``: sums of losses, and counts of tokens."""
    sums, counts = values.cpu()
    return {
        group: (float(sums[group] / counts[group]), float(counts[group]))
        for group in counts.nonzero().squeeze(1).tolist()
    }
