"""Weight initialisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ernie_m.config.model import ModelSettings
from ernie_m.model.encoder import LanguageModel


@torch.no_grad()
def initialise(model: LanguageModel, settings: ModelSettings, piece_scores: Tensor) -> None:
    """Initialise all weights from torch's random state, as the settings say.

    Linear weights are normal with standard deviation ``linear_gain / sqrt(inputs)``, embeddings
    normal with ``embedding_std``. Biases and the language embedding are zero, so a model with a
    language embedding starts equal to one without. ``piece_scores`` ``[V]`` are log-probabilities
    of the pieces.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=settings.linear_gain / module.in_features**0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            zero = name.endswith("embeddings.language")
            nn.init.normal_(module.weight, std=0.0 if zero else settings.embedding_std)
    if settings.head_bias_start == "unigram":
        model.head.bias.copy_(piece_scores)
