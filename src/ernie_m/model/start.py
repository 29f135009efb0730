"""How weights start when no checkpoint is given."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ernie_m.config.model import ModelSettings
from ernie_m.model.encoder import Attention, LanguageModel

# Standard deviation of matching query and key weights, times sqrt(inputs): attention then prefers
# like tokens clearly, but does not yet read one token only.
MATCHING_GAIN = 1.4
WAVELENGTH = 1000.0


@torch.no_grad()
def initialise(model: LanguageModel, settings: ModelSettings, piece_scores: Tensor) -> None:
    """Fill all weights from torch's random state, as the settings say.

    Linear weights are normal with standard deviation ``linear_gain / sqrt(inputs)``, embeddings
    normal with ``embedding_std``; biases and the language embedding are zero, so a model with one
    starts equal to a model without. ``piece_scores`` ``[V]`` are log-probabilities of the pieces.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=settings.linear_gain / module.in_features**0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            zero = name.endswith("embeddings.language")
            nn.init.normal_(module.weight, std=0.0 if zero else settings.embedding_std)
    if settings.position_start == "sinusoidal":
        table = model.encoder.embeddings.position.weight
        table.copy_(sinusoids(*table.shape) * settings.embedding_std * math.sqrt(2))
    if settings.attention_start == "matching":
        for attention in (m for m in model.modules() if isinstance(m, Attention)):
            _match(attention)
    if settings.head_bias_start == "unigram":
        model.head.bias.copy_(piece_scores)


def _match(attention: Attention) -> None:
    """Query = key, output = value transposed, after the patterns that trained attention shows
    (Trockman and Kolter 2023, "Mimetic initialization")."""
    width = attention.query.in_features
    nn.init.normal_(attention.query.weight, std=MATCHING_GAIN / width**0.5)
    attention.key.weight.copy_(attention.query.weight)
    nn.init.orthogonal_(attention.value.weight)
    attention.out.weight.copy_(attention.value.weight.T)


def sinusoids(positions: int, width: int) -> Tensor:
    """``[positions, width]``: sines in the first half, cosines of the same waves in the second."""
    rate = torch.exp(-math.log(WAVELENGTH) * torch.arange(0, width, 2) / width)
    angle = torch.arange(positions).unsqueeze(1) * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]
