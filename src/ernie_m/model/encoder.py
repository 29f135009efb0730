"""The encoder: XLM-R's architecture, with attention masks from the stream tables.

Tensor axes: R rows, L tokens of a row, Q queried ones among them, D width, N tokens with a label,
V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.utils.checkpoint import checkpoint

from ernie_m.model.architecture import POSITION_OFFSET, Architecture
from ernie_m.model.attention import allowed, block_mask
from ernie_m.model.device import device_of
from ernie_m.model.packing import Packed

LAYER_NORM_EPS = 1e-5
# Bool [R, 1, L, L], or FlexAttention's block mask.
Mask = Tensor | BlockMask


class Embeddings(nn.Module):
    """Word + position (+ language, in pre-training) embeddings, then LayerNorm and dropout."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.max_positions, shape.width)
        self.language = (
            nn.Embedding(len(shape.languages), shape.width) if shape.language_embeddings else None
        )
        self.norm = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, batch: Packed) -> Tensor:
        x_RLD = self.word(batch.ids) + self.position(batch.positions + POSITION_OFFSET)
        if self.language is not None:
            # A negative row means "no language": released models have no language embedding.
            known = (batch.languages >= 0).unsqueeze(-1)
            x_RLD = x_RLD + self.language(batch.languages.clamp(min=0)) * known
        return self.dropout(self.norm(x_RLD))


class Attention(nn.Module):
    """Multi-head self-attention under an explicit mask."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_dropout = shape.attention_dropout
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x_RQD: Tensor, x_RLD: Tensor, mask: Mask) -> Tensor:
        """Attention output of the Q tokens over the L tokens."""

        def heads(y_RLD: Tensor) -> Tensor:
            return y_RLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = heads(self.query(x_RQD)), heads(self.key(x_RLD)), heads(self.value(x_RLD))
        if isinstance(mask, BlockMask):
            read = cast(Tensor, flex_attention(q, k, v, block_mask=mask))
        else:
            dropout = self.attention_dropout if self.training else 0.0
            read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(read.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-LayerNorm Transformer layer with the exact (erf) GELU."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.attention_norm = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.ffn_in = nn.Linear(shape.width, shape.ffn)
        self.ffn_out = nn.Linear(shape.ffn, shape.width)
        self.ffn_norm = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_RLD: Tensor, mask: Mask, where_RQ: Tensor | None = None) -> Tensor:
        """Output at every token, or at positions ``where_RQ`` of each row; ``mask`` has their
        rows."""
        x_RQD = x_RLD if where_RQ is None else x_RLD.take_along_dim(where_RQ.unsqueeze(2), 1)
        x_RQD = self.attention_norm(x_RQD + self.dropout(self.attention(x_RQD, x_RLD, mask)))
        return self.ffn_norm(x_RQD + self.dropout(self.ffn_out(F.gelu(self.ffn_in(x_RQD)))))


class Encoder(nn.Module):
    """Stack of layers over packed rows.

    ``recompute`` turns on activation checkpointing per layer in training; ``flex`` uses
    FlexAttention. Both give the same result up to rounding.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.recompute = self.flex = False
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))

    def hidden_states(self, batch: Packed) -> list[Tensor]:
        """Outputs ``[R, L, D]`` of the embeddings (index 0) and of each layer (1 to ``layers``)."""
        batch = batch.to(device_of(self))
        rule = (batch.documents, batch.streams, batch.tables)
        mask = block_mask(*rule) if self.flex else allowed(*rule).unsqueeze(1)
        states = [self.embeddings(batch)]
        for layer in self.layers:
            if self.recompute and self.training:
                states.append(checkpoint(layer, states[-1], mask, use_reentrant=False))
            else:
                states.append(layer(states[-1], mask))
        return states

    def forward(self, batch: Packed) -> Tensor:
        """Output ``[R, L, D]`` of the last layer."""
        return self.hidden_states(batch)[-1]

    def at(self, batch: Packed, where_RQ: Tensor) -> Tensor:
        """Output ``[R, Q, D]`` of the last layer at positions ``where_RQ`` of each row, for
        inference.

        In the last layer the other tokens need keys and values only.
        """
        batch, where_RQ = batch.to(device_of(self)), where_RQ.to(device_of(self))
        mask_RLL = allowed(batch.documents, batch.streams, batch.tables)
        x_RLD = self.embeddings(batch)
        for layer in self.layers[:-1]:
            x_RLD = layer(x_RLD, mask_RLL.unsqueeze(1))
        mask_RQL = mask_RLL.take_along_dim(where_RQ.unsqueeze(2), 1)
        return cast(Tensor, self.layers[-1](x_RLD, mask_RQL.unsqueeze(1), where_RQ))


class MaskedLMHead(nn.Module):
    """XLM-R's LM head: dense, GELU, LayerNorm, then a decoder tied to the word embedding."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=LAYER_NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def hidden(self, x_ND: Tensor) -> Tensor:
        """What the decoder reads, ``[N, D]``."""
        return cast(Tensor, self.norm(F.gelu(self.dense(x_ND))))

    def forward(self, x_ND: Tensor, word_VD: Tensor) -> Tensor:
        return F.linear(self.hidden(x_ND), word_VD, self.bias)


class LanguageModel(nn.Module):
    """Encoder with its masked-language-model head."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.head = MaskedLMHead(shape)

    def forward(self, batch: Packed, where_N: Tensor) -> Tensor:
        """Logits ``[N, V]`` at positions ``where_N`` of the rows laid end to end.

        The LM head runs at these positions only, about one token in six: it is most of a small
        model's cost.
        """
        x_RLD = self.encoder(batch)
        x_ND = x_RLD.flatten(0, 1)[where_N.to(x_RLD.device)]
        return self.head(x_ND, self.encoder.embeddings.word.weight)
