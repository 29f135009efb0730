"""Validation losses by objective and class, and the unigram baseline they have to beat."""

from __future__ import annotations

import numpy as np
import torch

from ernie_m.model.packing import Packed, pack
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.objectives import Masking
from ernie_m.training.batches import CLASSES, collate
from ernie_m.training.engine import Engine
from ernie_m.training.losses import GroupMeans
from ernie_m.training.order import Texts, draw_keys, evenly_spaced

Array = np.ndarray
Losses = dict[str, dict[str, float]]
CHUNK = 200


class Validation:
    """Fixed held-out batches, with the same tokens masked at every call."""

    def __init__(
        self,
        texts: dict[str, Texts],
        sentences: int,
        masking: Masking,
        row_length: int,
        seed: int,
    ) -> None:
        self.names = {objective: held_out.names for objective, held_out in texts.items()}
        self.batches = [
            batch
            for objective, held_out in texts.items()
            for batch in _batches(objective, held_out, sentences, masking, row_length, seed)
        ]

    def losses(self, engine: Engine) -> Losses:
        """Mean cross-entropy in nats per predicted token, by objective and class; collective."""
        return self.named(engine.evaluate(self.batches))

    def unigram(self, counts: Array) -> Losses:
        """Cross-entropy of the same tokens under a unigram model of their language's training text.

        ``counts`` is ``[languages, V]``; add-one smoothed.
        """
        logs = np.log((counts + 1) / (counts + 1).sum(axis=1, keepdims=True))
        losses = []
        for batch in self.batches:
            targets = batch.scored()
            language = batch.languages.flatten()[targets.where]
            losses.append((-torch.from_numpy(logs)[language, targets.labels], targets.groups))
        own, groups = (torch.cat(parts) for parts in zip(*losses, strict=True))
        return self.named(
            {group: (own[groups == group].mean().item(), 0.0) for group in groups.unique().tolist()}
        )

    def named(self, means: GroupMeans) -> Losses:
        """Means by group (:func:`ernie_m.training.losses.group_means`) by objective and class."""
        losses: Losses = {}
        for group, (mean, _) in means.items():
            objective = OBJECTIVES[group // CLASSES]
            losses.setdefault(objective, {})[self.names[objective][group % CLASSES]] = mean
        return losses


def _batches(
    objective: str, held_out: Texts, sentences: int, masking: Masking, row_length: int, seed: int
) -> list[Packed]:
    index = evenly_spaced(held_out.sizes, sentences)
    # A random stream different from that of every training step.
    rng = np.random.default_rng([seed, OBJECTIVES.index(objective), 2**62])
    keys = draw_keys(rng, len(index))
    chunks = [slice(start, start + CHUNK) for start in range(0, len(index), CHUNK)]
    return [
        pack(collate(objective, held_out, index[chunk], masking, keys[chunk]), row_length)
        for chunk in chunks
    ]


def overall(losses: Losses) -> dict[str, float]:
    """Mean over classes, by objective."""
    return {objective: float(np.mean(list(by.values()))) for objective, by in losses.items()}
