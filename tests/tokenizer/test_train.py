"""Sampling of the text, and a model that repeats to the byte."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.config.tokenizer import TrainSettings
from ernie_m.corpora.streams import MONO, PAIR, write_blocks
from ernie_m.errors import UserError
from ernie_m.tokenizer import train
from ernie_m.tokenizer.sample import draw, row_counts
from ernie_m.tokenizer.train import quotas, read_lines, sample
from tests.corpora.synthetic import run_stage
from tests.tokenizer.conftest import SMALL, texts, train_model

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


def shards_of(folder, rows, cuts):
    """Rows of mono-de and parallel-en-de in several files, as corpora.select leaves them."""
    edges = [0, *sorted(cuts), len(rows)]
    paths = []
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        own = [(f"o:{k}", f"o:{k}", *rows[k]) for k in range(start, end)]
        paths += [folder / f"mono-{number}.parquet", folder / f"pairs-{number}.parquet"]
        write_blocks(paths[-2], [row[:3] for row in own], MONO, ["de"])
        write_blocks(paths[-1], own, PAIR, ["en", "de"])
    return paths


@given(
    st.lists(st.tuples(st.text("abc", min_size=1), st.text("xy", min_size=1)), min_size=1),
    st.data(),
)
@settings(deadline=None, max_examples=40)
def test_a_streamed_sample_is_that_of_all_lines(tmp_path_factory, rows, data):
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3))
    paths = shards_of(tmp_path_factory.mktemp("shards"), rows, cuts)
    together = read_lines(paths)
    assert row_counts(paths) == {"de": 2 * len(rows), "en": len(rows)}
    counts = {code: data.draw(st.integers(0, 2 * len(rows))) for code in together}
    drawn = draw(paths, counts, seed=1)
    for code, lines in together.items():
        assert drawn[code] == list(sample(lines, min(counts[code], len(lines)), 1))
        # What is drawn from the sample, from the start again when it is short, is the same too.
        assert list(sample(drawn[code], len(drawn[code]), 1)) == drawn[code]


def test_shards_and_text_in_memory_give_the_same_model(tmp_path):
    rows = list(zip(texts("ru", 300), texts("zh", 300), strict=True))
    paths = shards_of(tmp_path, rows, [100, 150])
    made = {}
    for name in ("text", "shards"):
        made[name] = tmp_path / name / "spm.model"
        outputs = {"model": [made[name]], "stats": [made[name].with_name("stats.json")]}
        wanted = TrainSettings(vocabulary_size=150, num_threads=1, alpha=0.0, sample_lines=300)
        run_stage(train.run, wanted, {name: paths}, outputs)
    assert made["text"].read_bytes() == made["shards"].read_bytes()
