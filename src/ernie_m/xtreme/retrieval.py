"""Sentence vectors, nearest neighbours and mining.

Vectors are float32 ``[n, D]``; similarities float32 ``[n, m]``, rows English, columns foreign.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ernie_m.config.xtreme import PredictSettings
from ernie_m.errors import UserError
from ernie_m.model.encoder import Encoder
from ernie_m.objectives.layout import SINGLE_SPECIALS
from ernie_m.xtreme.features import Features
from ernie_m.xtreme.layout import Reader, ragged

Array = np.ndarray
BATCH_DOCUMENTS = 256


def layer_index(layer: int, layers: int) -> int:
    """Number of the hidden state, counted from the embeddings; raises :class:`UserError`."""
    index = layer if layer >= 0 else layers + 1 + layer
    if not 0 <= index <= layers:
        raise UserError(
            f"`xtreme.predict.layer` is {layer}, but the encoder has {layers} layers.",
            f"Choose between {-layers - 1} and {layers}.",
        )
    return index


def _features(reader: Reader, texts: Sequence[str], language: str, settings: PredictSettings):
    """Sentences, and the positions that are averaged."""
    room = reader.max_tokens - SINGLE_SPECIALS
    pieces = [ids[:room] for ids in reader.tokenizer.encode(texts)]
    if settings.pooling == "cls":
        where = [[0]] * len(pieces)
    elif settings.skip_specials:
        # A text without a piece of its own still needs something to be averaged.
        where = [list(range(1, 1 + len(ids))) or [0] for ids in pieces]
    else:
        where = [list(range(len(ids) + SINGLE_SPECIALS)) for ids in pieces]
    return Features(
        documents=reader.singles(pieces, [language] * len(pieces)),
        where=ragged(where),
        targets=ragged([[]] * len(pieces)),
        owner=np.arange(len(pieces)),
    )


@torch.inference_mode()
def embed(
    encoder: Encoder,
    reader: Reader,
    texts: Sequence[str],
    language: str,
    settings: PredictSettings,
) -> Array:
    """Unit vectors of ``texts``, float32 ``[n, D]``; with ``centre``, less their mean."""
    layer = layer_index(settings.layer, len(encoder.layers))
    features = _features(reader, texts, language, settings)
    vectors = np.zeros((len(features), encoder.shape.width), dtype=np.float32)
    for order in features.by_length(BATCH_DOCUMENTS):
        batch = features.batch(order)
        state = encoder.hidden_states(batch.packed)[layer].flatten(0, 1).cpu()[batch.where]
        owner = torch.repeat_interleave(torch.arange(len(order)), batch.counts)
        sums = torch.zeros(len(order), state.shape[1]).index_add_(0, owner, state)
        vectors[order] = (sums / batch.counts.unsqueeze(1)).numpy()
    if settings.centre:
        vectors -= vectors.mean(axis=0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _neighbourhood(similarity: Array, neighbours: int) -> Array:
    """Mean of each row's highest similarities, ``[n, 1]``."""
    k = min(neighbours, similarity.shape[1])
    return np.partition(similarity, -k, axis=1)[:, -k:].mean(axis=1, keepdims=True)


def margin(similarity: Array, neighbours: int) -> Array:
    """Similarity over the mean similarity of both sentences' neighbourhoods (ratio margin)."""
    ours = _neighbourhood(similarity, neighbours)
    theirs = _neighbourhood(similarity.T, neighbours).T
    return similarity / np.maximum((ours + theirs) / 2, 1e-6)
