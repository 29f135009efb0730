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
        state = encoder.hidden_states(batch.packed)[layer].flatten(0, 1)[batch.where]
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


def greedy_pairs(scores: Array) -> list[tuple[int, int, float]]:
    """One-to-one pairs (row, column, score), best first.

    Candidates are each row's best column and each column's best row; a candidate is taken unless
    a better one took its row or column (XTREME's "max" retrieval).
    """
    rows = np.arange(scores.shape[0])
    columns = np.arange(scores.shape[1])
    candidates = {(int(i), int(j)) for i, j in zip(rows, scores.argmax(axis=1), strict=True)}
    candidates |= {(int(i), int(j)) for i, j in zip(scores.argmax(axis=0), columns, strict=True)}
    order = sorted(candidates, key=lambda pair: (-scores[pair], pair))
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs = []
    for i, j in order:
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((i, j, float(scores[i, j])))
    return pairs


def best_threshold(scored: Sequence[tuple[float, bool]], gold: int) -> float:
    """Score from which on pairs are kept, so that F1 is highest on dev.

    ``scored`` are (score, is a true pair); ``gold`` is the number of true pairs. Half-way between
    the last pair kept and the next. Infinite when no true pair was found.
    """
    ordered = sorted(scored, key=lambda pair: -pair[0])
    best, threshold, correct = 0.0, float("inf"), 0
    for kept, (value, right) in enumerate(ordered, start=1):
        correct += right
        following = ordered[kept][0] if kept < len(ordered) else value
        f1 = 2 * correct / (kept + gold)
        # Pairs of one score are kept or dropped together.
        if f1 > best and (kept == len(ordered) or following < value):
            best, threshold = f1, (value + following) / 2
    return threshold
