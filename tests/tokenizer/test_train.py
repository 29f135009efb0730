"""Sampling of the text, and a model that repeats to the byte."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.config.tokenizer import TrainSettings
from ernie_m.errors import UserError
from ernie_m.tokenizer.train import quotas, read_lines, sample
from tests.tokenizer.conftest import SMALL, train_model

SIZES = st.dictionaries(
    st.sampled_from(["ab", "cd", "ef", "gh"]), st.integers(1, 10**6), min_size=1
)


@given(SIZES, st.floats(0, 1), st.integers(1, 10**6))
def test_quotas_add_up(sizes, alpha, total):
    drawn = quotas(sizes, alpha, total)
    assert sum(drawn.values()) == total
    ordered = sorted(sizes, key=lambda code: sizes[code])
    assert all(drawn[a] <= drawn[b] + 1 for a, b in itertools.pairwise(ordered))


def test_alpha_is_the_temperature():
    sizes = {"big": 9000, "small": 1000}
    assert quotas(sizes, 1.0, 1000) == {"big": 900, "small": 100}
    assert quotas(sizes, 0.0, 1000) == {"big": 500, "small": 500}
    assert 100 < quotas(sizes, 0.3, 1000)["small"] < 500


def test_samples_are_seeded_and_go_round_when_short():
    lines = [f"line {n}" for n in range(50)]
    assert list(sample(lines, 30, 1)) == list(sample(lines[::-1], 30, 1))
    assert list(sample(lines, 30, 1)) != list(sample(lines, 30, 2))
    assert list(sample(lines, 10, 1)) == list(sample(lines, 30, 1))[:10]
    assert sorted(sample(lines, 100, 1)) == sorted(lines * 2)


def test_lines_are_distinct_and_by_language(corpora):
    lines = read_lines(sorted(corpora.glob("*-train.parquet")))
    assert list(lines) == ["en", "ru", "zh"]
    assert all(len(set(own)) == len(own) for own in lines.values())


def test_a_rerun_gives_the_same_bytes(corpora, model, tmp_path):
    assert train_model(corpora, tmp_path).read_bytes() == model.read_bytes()


def test_statistics_by_language(model):
    stats = json.loads(model.with_name("stats.json").read_text())
    assert stats["size"] == SMALL.vocabulary_size + 2
    for own in stats["languages"].values():
        assert own["unknown_share"] < 0.01
        assert own["tokens_per_unit"] > 0


def test_too_large_a_vocabulary_is_explained(corpora, tmp_path):
    with pytest.raises(UserError, match="cannot make a vocabulary of 90,000 pieces") as raised:
        train_model(corpora, tmp_path, TrainSettings(vocabulary_size=90_000, num_threads=1))
    assert "tokenizer.train.vocabulary_size" in raised.value.fix
