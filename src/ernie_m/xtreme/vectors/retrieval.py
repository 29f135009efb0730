"""Sentence embeddings: a hidden state of the encoder, pooled over a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ernie_m.config.xtreme import AlignJob, PredictSettings
from ernie_m.errors import UserError
from ernie_m.model import checkpoint
from ernie_m.model.architecture import POSITION_OFFSET
from ernie_m.model.device import best_device
from ernie_m.model.encoder import Encoder
from ernie_m.objectives.lengths import SINGLE_SPECIALS
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.xtreme.model.features import Batch, Features
from ernie_m.xtreme.model.heads import encoder_weights
from ernie_m.xtreme.model.layout import Reader, ragged

Array = np.ndarray
BATCH_DOCUMENTS = 256
# Texts tokenized at a time: a side of BUCC has half a million.
BLOCK_TEXTS = 1 << 16
# Longest sentence (XTREME's limit), if the encoder has as many positions.
SENTENCE_TOKENS = 512


def load(model: Path, tokenizer: Path, settings: PredictSettings) -> tuple[Encoder, Reader]:
    """The encoder of a pre-trained or fine-tuned model, and its reader; raises
    :class:`UserError`."""
    weights, shape, _ = checkpoint.read(model)
    encoder = Encoder(shape).eval()
    checkpoint.fill(encoder, encoder_weights(weights), model)
    longest = min(SENTENCE_TOKENS, shape.max_positions - POSITION_OFFSET)
    reader = Reader(Tokenizer(tokenizer), shape, longest, settings.language_embedding)
    return encoder.to(best_device()), reader


def layer_index(layer: int, layers: int) -> int:
    """Index of a hidden state, 0 being the embeddings; negative ``layer`` counts from the last.

    Raises :class:`UserError` for a layer that does not exist.
    """
    index = layer if layer >= 0 else layers + 1 + layer
    if not 0 <= index <= layers:
        raise UserError(
            f"`xtreme.predict.layer` is {layer}, but the encoder has {layers} layers.",
            f"Choose between {-layers - 1} and {layers}.",
        )
    return index


def sentence_features(
    reader: Reader,
    pieces: Sequence[Sequence[int]],
    languages: Sequence[str],
    settings: PredictSettings | AlignJob,
) -> Features:
    """Features of sentences, truncated to the reader's length; ``where`` is averaged."""
    room = reader.max_tokens - SINGLE_SPECIALS
    pieces = [ids[:room] for ids in pieces]
    if settings.pooling == "cls":
        where = [[0]] * len(pieces)
    elif settings.skip_specials:
        # A text without pieces needs a position too.
        where = [list(range(1, 1 + len(ids))) or [0] for ids in pieces]
    else:
        where = [list(range(len(ids) + SINGLE_SPECIALS)) for ids in pieces]
    return Features(
        documents=reader.singles(pieces, languages),
        where=ragged(where),
        targets=ragged([[]] * len(pieces)),
        owner=np.arange(len(pieces)),
    )


def pooled(state: Tensor, batch: Batch) -> Tensor:
    """Mean ``[n, D]`` of each document's positions ``batch.where`` of a state ``[R, L, D]``."""
    read = state.flatten(0, 1)[batch.where.to(state.device)]
    owner = torch.repeat_interleave(torch.arange(len(batch.counts)), batch.counts)
    sums = torch.zeros(len(batch.counts), state.shape[2], device=state.device)
    sums = sums.index_add(0, owner.to(state.device), read)
    return sums / batch.counts.to(state.device).unsqueeze(1)


@torch.inference_mode()
def embed_layers(
    encoder: Encoder,
    reader: Reader,
    texts: Sequence[str],
    language: str,
    settings: PredictSettings,
    layers: Sequence[int],
) -> list[Array]:
    """Unit vectors of ``texts``, float32 ``[n, D]``, from each of ``layers``; with ``centre``,
    their mean is subtracted first."""
    size = (len(texts), encoder.shape.width)
    vectors_by_layer = [np.zeros(size, dtype=np.float32) for _ in layers]
    for first in range(0, len(texts), BLOCK_TEXTS):
        pieces = reader.tokenizer.encode(texts[first : first + BLOCK_TEXTS])
        features = sentence_features(reader, pieces, [language] * len(pieces), settings)
        for order in features.by_length(BATCH_DOCUMENTS):
            batch = features.batch(order)
            states = encoder.hidden_states(batch.packed)
            for vectors, layer in zip(vectors_by_layer, layers, strict=True):
                vectors[first + order] = pooled(states[layer], batch).cpu().numpy()
    return [_unit(vectors, settings.centre) for vectors in vectors_by_layer]


def _unit(vectors: Array, centre: bool) -> Array:
    if centre:
        vectors -= vectors.mean(axis=0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def embed(
    encoder: Encoder,
    reader: Reader,
    texts: Sequence[str],
    language: str,
    settings: PredictSettings,
) -> Array:
    """Unit vectors of ``texts`` as ``settings`` say, float32 ``[n, D]``."""
    layer = layer_index(settings.layer, len(encoder.layers))
    (vectors,) = embed_layers(encoder, reader, texts, language, settings, [layer])
    return vectors
