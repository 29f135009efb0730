"""Fine-tuning for retrieval, and retrieval from every layer."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from tests.tokenizer.shards import write_shard
from torch.nn import functional as F

from ernie_m.config.xtreme import AlignJob, PredictSettings
from ernie_m.model.checkpoint import load, read
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import Shard, sentence_keys
from ernie_m.xtreme import align, predict, sweep
from ernie_m.xtreme.align import Matcher, Pairs, batches
from ernie_m.xtreme.model.layout import Reader

from .conftest import WORDS, run_stage, trained_files, translate

JOB = AlignJob(
    layer=0,  # a dictionary of thirty words is learnt by the embeddings alone
    pooling="mean",
    skip_specials=True,
    language_embedding="own",
    steps=120,
    batch_pairs=24,
    learning_rate=5e-2,
    evaluations=3,
)


def shard(tokenizer, language: str, count: int, seed: int) -> Shard:
    rng = random.Random(seed)
    english = [" ".join(rng.sample(WORDS, rng.randint(4, 7))) for _ in range(count)]
    sides = [tokenizer.encode([translate(t, x) for t in english]) for x in ("en", language)]
    return Shard(
        languages=("en", language),
        tokenizer=tokenizer.sha256,
        keys=sentence_keys([str(n) for n in range(count)]),
        sides=tuple(Ragged.of(side, tokenizer.size) for side in sides),
    )


@pytest.fixture(scope="module")
def shards(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    paths = {}
    for part, count, seed in (("train", 300, 1), ("valid", 60, 2)):
        paths[part] = [folder / f"{part}-{language}.safetensors" for language in ("de", "zh")]
        for path, language in zip(paths[part], ("de", "zh"), strict=True):
            write_shard(path, shard(tokenizer, language, count, seed))
    return paths


def aligned(pretrained, spm, shards, folder, seed=1, **changed):
    inputs = {"model": [pretrained], "tokenizer": [spm], **shards}
    settings, outputs = JOB.model_copy(update=changed), trained_files(folder)
    return run_stage(align, f"ernie_m/btmlm/seed{seed}", settings, inputs, outputs, seed)


def test_translations_come_nearer_and_the_bytes_repeat(pretrained, spm, shards, tmp_path):
    first = aligned(pretrained, spm, shards, tmp_path / "1")
    metrics = json.loads(first["metrics"][0].read_text())
    assert metrics["accuracy"] > metrics["accuracy_before"] + 0.08
    curve = [json.loads(line) for line in first["curves"][0].read_text().splitlines()]
    assert [point["step"] for point in curve] == [40, 80, 120]
    best = max(curve, key=lambda point: point["accuracy"])
    assert (metrics["best_step"], metrics["accuracy"]) == (best["step"], best["accuracy"])
    again = aligned(pretrained, spm, shards, tmp_path / "2")
    for name, (path,) in first.items():
        assert path.read_bytes() == again[name][0].read_bytes(), name
    # What is not used for vectors stays as pre-training left it.
    before, after = read(pretrained)[0], read(first["model"][0])[0]
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("head."))


def test_the_hardest_negative_of_each_side_is_asked(pretrained, tokenizer):
    model = load(pretrained)
    matcher = Matcher(model.encoder, Reader(tokenizer, model.shape, 64, "own"), JOB)
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(6, 6, generator=generator) * 2 - 1
    same = torch.eye(6, dtype=torch.bool)
    same[1, 4] = same[4, 1] = True

    def logit(cosine):
        return 20.0 * (cosine - 0.5)

    expected = 0.0
    for i in range(6):
        others = [j for j in range(6) if not same[i, j]]
        row = max(float(cosines[i, j]) for j in others)
        column = max(float(cosines[j, i]) for j in others)
        expected -= np.log(1 / (1 + np.exp(-logit(float(cosines[i, i])))))
        expected -= (
            np.log(1 / (1 + np.exp(logit(row)))) + np.log(1 / (1 + np.exp(logit(column))))
        ) / 2
    assert matcher.loss(cosines, same).item() == pytest.approx(expected / 6, rel=1e-4)


def test_doubles_are_no_negatives():
    sides = [[5, 6], [5, 6], [7]], [[1], [2], [1]]
    pairs = Pairs(tuple(Ragged.of(side, 10) for side in sides), ("en", "de"))
    assert pairs.same(np.arange(3)).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, False, True],
    ]


def test_language_pairs_are_drawn_by_size():
    def of(count):
        side = Ragged.of([[0]] * count, 10)
        return Pairs((side, side), ("en", "de"))

    many, few = of(900), of(100)
    settings = JOB.model_copy(update={"steps": 400})
    drawn = list(batches([many, few], settings, seed=1))
    assert 0.8 < sum(own is many for own, _ in drawn) / 400 < 0.97
    assert all(len(set(order.tolist())) == len(order) == 24 for _, order in drawn)


def test_vectors_of_training_are_those_of_prediction(pretrained, tokenizer):
    from ernie_m.xtreme.vectors.retrieval import embed

    model = load(pretrained)
    reader = Reader(tokenizer, model.shape, 64, "own")
    texts = ["balan korel minist", "tesor", "vuru balan"]
    with torch.no_grad():
        matcher = Matcher(model.encoder, reader, JOB)
        ours = matcher.vectors(tokenizer.encode(texts), ["de"] * 3)
    chosen = PredictSettings(layer=0, centre=False)
    theirs = embed(model.encoder, reader, texts, "de", chosen)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)
    assert torch.allclose(F.normalize(ours), ours, atol=1e-6)


def test_the_sweep_scores_each_layer_as_prediction_would(examples, pretrained, spm, tmp_path):
    files = examples["standin_retrieval"]
    inputs = {"model": [pretrained], "tokenizer": [spm], "test": [files["test-de"]]}
    instance = "standin_retrieval/ernie_m/btmlm/seed1"
    out = run_stage(
        sweep, instance, PredictSettings(), inputs, {"layers": [tmp_path / "layers.json"]}
    )
    found = json.loads(out["layers"][0].read_text())
    assert found["layer"] == 1 and len(found["languages"]["de"]) == 3
    for layer, accuracy in enumerate(found["languages"]["de"]):
        made = run_stage(
            predict,
            instance,
            PredictSettings(layer=layer),
            inputs,
            {"predictions": [tmp_path / "predictions-de.jsonl"]},
        )
        lines = [json.loads(line) for line in made["predictions"][0].read_text().splitlines()]
        right = sum(line["id"] == line["target"] for line in lines)
        assert accuracy == pytest.approx(100 * right / len(lines), abs=1e-3)
