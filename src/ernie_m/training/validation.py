"""Validation losses by objective and language, and the unigram level they have to beat."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import Packed, Scored, pack
from ernie_m.objectives.objectives import OBJECTIVES, Masking
from ernie_m.training.batches import Texts, document_batch

Array = np.ndarray
Losses = dict[str, dict[str, float]]
CHUNK = 200


class Validation:
    """Fixed held-out batches; the same tokens are masked at every call."""

    def __init__(
        self,
        texts: dict[str, Texts],
        sentences: int,
        masking: Masking,
        row_length: int,
        seed: int,
    ) -> None:
        self.names = {objective: held.names for objective, held in texts.items()}
        self.batches = [
            batch
            for objective, held in texts.items()
            for batch in _batches(objective, held, sentences, masking, row_length, seed)
        ]

    @torch.no_grad()
    def losses(self, model: LanguageModel) -> Losses:
        """Mean cross-entropy in nats per scored token, by objective and class."""
        model.eval()
        asked = [batch.scored() for batch in self.batches]
        scored = [
            (token_losses(model, batch, tokens).cpu(), tokens.groups)
            for batch, tokens in zip(self.batches, asked, strict=True)
        ]
        model.train()
        return self._by_class([torch.cat(parts) for parts in zip(*scored, strict=True)])

    def unigram(self, counts: Array) -> Losses:
        """Cross-entropy of the same tokens under their language's training frequencies.

        ``counts`` is ``[languages, V]``; add-one smoothed.
        """
        logs = np.log((counts + 1) / (counts + 1).sum(axis=1, keepdims=True))
        scored = []
        for batch in self.batches:
            asked = batch.scored()
            language = batch.languages.flatten()[asked.where]
            scored.append((-torch.from_numpy(logs)[language, asked.labels], asked.groups))
        return self._by_class([torch.cat(parts) for parts in zip(*scored, strict=True)])

    def _by_class(self, scored: list[torch.Tensor]) -> Losses:
        losses, groups = scored
        found: Losses = {}
        for group in groups.unique().tolist():
            objective = OBJECTIVES[group // 1000]
            mean = losses[groups == group].mean().item()
            found.setdefault(objective, {})[self.names[objective][group % 1000]] = mean
        return found


def token_losses(model: LanguageModel, batch: Packed, scored: Scored) -> torch.Tensor:
    """Cross-entropy in nats of each scored token, float32 ``[N]``, on the model's device."""
    scores = model(batch, scored.where)
    return F.cross_entropy(scores, scored.labels.to(scores.device), reduction="none")


def _batches(
    objective: str, held: Texts, sentences: int, masking: Masking, row_length: int, seed: int
) -> list[Packed]:
    first = np.cumsum(held.sizes) - held.sizes
    spread = [
        start + np.linspace(0, size - 1, min(size, sentences)).astype(np.int64)
        for start, size in zip(first, held.sizes, strict=True)
        if size
    ]
    index = np.concatenate(spread) if spread else np.zeros(0, dtype=np.int64)
    # A stream of its own, away from every training step's.
    rng = np.random.default_rng([seed, OBJECTIVES.index(objective), 2**62])
    return [
        pack(
            document_batch(objective, held, index[start : start + CHUNK], masking, rng), row_length
        )
        for start in range(0, len(index), CHUNK)
    ]


def overall(losses: Losses) -> dict[str, float]:
    """Mean over classes, by objective."""
    return {objective: float(np.mean(list(by.values()))) for objective, by in losses.items()}
