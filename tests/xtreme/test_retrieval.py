"""Vectors, nearest neighbours and mining against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.config.xtreme import PredictSettings
from ernie_m.errors import UserError
from ernie_m.model.checkpoint import load
from ernie_m.model.packing import pack, sentences
from ernie_m.xtreme.files import MiningSentence
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.vectors import retrieval
from ernie_m.xtreme.vectors.mining import best_threshold, candidates, greedy_pairs, mine
from ernie_m.xtreme.vectors.retrieval import embed, layer_index
from ernie_m.xtreme.vectors.search import margins, nearest, similarities


def slow_greedy(scores):
    """Best candidate first, again and again, without those whose row or column is taken."""
    candidates = [
        (-scores[i, j], i, j)
        for i in range(scores.shape[0])
        for j in range(scores.shape[1])
        if scores[i, j] == scores[i].max() or scores[i, j] == scores[:, j].max()
    ]
    pairs = []
    while candidates:
        value, i, j = min(candidates)
        pairs.append((i, j, -value))
        candidates = [c for c in candidates if c[1] != i and c[2] != j]
    return pairs


SETTINGS = PredictSettings(centre=False)
matrices = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).random(
        tuple(np.random.default_rng(seed).integers(1, 9, 2))
    )
)


vectors = st.tuples(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9)).map(
    lambda drawn: [
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (
            np.random.default_rng(drawn[0]).random((size, 3), dtype=np.float32) + 0.01
            for size in drawn[1:]
        )
    ]
)


@given(vectors, st.integers(1, 5), st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_margin_is_cosine_over_both_neighbourhoods_in_blocks_of_any_size(pair, neighbours, cells):
    ours, theirs = pair
    found = np.concatenate(list(margins(ours, theirs, neighbours, cells)))
    scores = np.array([[float(a @ b) for b in theirs] for a in ours])
    for i, row in enumerate(scores):
        for j, value in enumerate(row):
            near_i = sorted(row, reverse=True)[:neighbours]
            near_j = sorted(scores[:, j], reverse=True)[:neighbours]
            expected = value / ((np.mean(near_i) + np.mean(near_j)) / 2)
            assert found[i, j] == pytest.approx(expected, rel=1e-5)


@given(vectors, st.integers(1, 90))
@settings(max_examples=40, deadline=None)
def test_blocks_make_the_whole_matrix(pair, cells):
    ours, theirs = pair
    blocks = list(similarities(ours, theirs, cells))
    assert all(block.size <= max(cells, len(theirs)) for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), ours @ theirs.T, rtol=1e-5)


@pytest.mark.parametrize("scoring", ["cosine", "margin"])
def test_the_nearest_is_the_best_scored(scoring):
    generator = np.random.default_rng(0)
    ours, theirs = (generator.standard_normal((n, 5)).astype(np.float32) for n in (7, 9))
    chosen = PredictSettings(scoring=scoring, neighbours=3)
    scores = ours @ theirs.T
    if scoring == "margin":
        near = [np.sort(s, axis=1)[:, -3:].mean(1) for s in (scores, scores.T)]
        scores = scores / np.maximum((near[0][:, None] + near[1][None]) / 2, 1e-6)
    assert nearest(ours, theirs, chosen).tolist() == [int(np.argmax(row)) for row in scores]


@given(matrices, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_greedy_pairs_are_one_to_one_and_best_first(scores, rows):
    blocks = (scores[first : first + rows] for first in range(0, len(scores), rows))
    pairs = greedy_pairs(candidates(blocks))
    assert pairs == slow_greedy(scores)
    rows, columns = [i for i, _, _ in pairs], [j for _, j, _ in pairs]
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert [s for *_, s in pairs] == sorted((s for *_, s in pairs), reverse=True)
    best = np.unravel_index(scores.argmax(), scores.shape)
    assert pairs[0][:2] == tuple(best)
    for i, j, _ in pairs:
        assert scores[i, j] in (scores[i].max(), scores[:, j].max())


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12), st.integers(0, 4))
def test_threshold_is_the_best_of_all(scored, missed):
    gold = sum(right for _, right in scored) + missed

    def f1(threshold):
        kept = [right for value, right in scored if value >= threshold]
        return 2 * sum(kept) / (len(kept) + gold) if kept else 0.0

    found = best_threshold([(float(v), r) for v, r in scored], gold)
    candidates = [value for value, _ in scored]
    assert f1(found) == pytest.approx(max(map(f1, candidates), default=0.0))


def mined(texts, partners):
    return [
        MiningSentence(
            id=f"{side}-{i}", language=side, text=text, partner=partners.get(f"{side}-{i}")
        )
        for side in ("en", "de")
        for i, text in enumerate(texts[side])
    ]


def test_mining_finds_pairs_of_equal_words():
    texts = {"en": ["a b c", "d e f", "x y"], "de": ["d e f", "a b c", "u v"]}
    partners = {"en-0": "de-1", "de-1": "en-0", "en-1": "de-0", "de-0": "en-1"}
    lines = mined(texts, partners)

    def overlap(ours, theirs):
        return candidates(
            np.array([[len(set(a.split()) & set(b.split())) / 3 for b in theirs]]) for a in ours
        )

    found = mine(lines, lines, overlap)
    assert {(p.source, p.target) for p in found} == {("de-1", "en-0"), ("de-0", "en-1")}
    # A sentence that stands twice can be told from its double by nobody.
    doubled = [*lines, lines[0].model_copy(update={"id": "en-9", "partner": None})]
    found = mine(lines, doubled, overlap)
    assert {(p.source, p.target) for p in found} == {("de-0", "en-1")}


def test_layers_count_from_the_embeddings_or_from_the_end():
    assert [layer_index(n, 3) for n in (0, 3, -1, -4)] == [0, 3, 3, 0]
    with pytest.raises(UserError, match="3 layers"):
        layer_index(4, 3)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_mean_pooling_equals_one_sentence_at_a_time(
    pretrained, tokenizer, skip, layer, monkeypatch
):
    model = load(pretrained)
    reader = Reader(tokenizer, model.shape, 128, "own")
    texts = ["balan korel minist", "tesor", "vuru balan tesor dopist korel", "balan " * 40]
    chosen = PredictSettings(layer=layer, skip_specials=skip, centre=False)
    monkeypatch.setattr(retrieval, "BLOCK_TEXTS", 3)
    found = embed(model.encoder, reader, texts, "de", chosen)
    for text, vector in zip(texts, found, strict=True):
        (pieces,) = tokenizer.encode([text])
        packed = pack(sentences([[0, *pieces, 2]], [1]), len(pieces) + 2)
        with torch.inference_mode():
            (state,) = model.encoder.hidden_states(packed)[layer]
        mean = (state[1:-1] if skip else state).mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_first_token_pooling_centring_and_language(pretrained, tokenizer):
    model = load(pretrained)
    reader = Reader(tokenizer, model.shape, 128, "own")
    without = Reader(tokenizer, model.shape, 128, "none")
    texts = ["balan korel", "tesor", "vuru"]

    def vectors(reader, language="en", **chosen):
        plain = {"centre": False, **chosen}
        return embed(model.encoder, reader, texts, language, PredictSettings(**plain))

    assert np.abs(vectors(reader) - vectors(reader, "de")).max() > 1e-3
    assert np.array_equal(vectors(without), vectors(without, "de"))
    assert np.abs(vectors(reader, pooling="cls") - vectors(reader)).max() > 1e-3
    centred = vectors(reader, centre=True)
    assert np.abs(centred.mean(0)).max() < np.abs(vectors(reader).mean(0)).max()


def test_a_language_that_pretraining_did_not_have_gets_no_embedding(pretrained, tokenizer):
    model = load(pretrained)
    vectors = [
        embed(model.encoder, Reader(tokenizer, model.shape, 128, mode), ["balan"], "fr", SETTINGS)
        for mode in ("own", "none")
    ]
    assert np.array_equal(*vectors)
