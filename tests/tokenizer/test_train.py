"""Sampling of the text, and a model that repeats to the byte."""

import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from ernie_m.config.tokenizer import QuotaSettings, TrainSettings
from ernie_m.corpora.streams import MONO, PAIR, write_blocks
from ernie_m.errors import UserError
from ernie_m.tokenizer import bottom_k, pieces, train
from ernie_m.tokenizer import quotas as quota_stage
from ernie_m.tokenizer.bottom_k import BottomKSample, row_counts, sample_key, sample_keys
from ernie_m.tokenizer.quotas import quotas
from ernie_m.tokenizer.train import sample
from tests.corpora.synthetic import run_stage
from tests.tokenizer.conftest import SMALL, texts, train_model

SIZES = st.dictionaries(
    st.sampled_from(["ab", "cd", "ef", "gh"]), st.integers(1, 10**6), min_size=1
)


@given(SIZES, st.floats(0, 1), st.integers(100, 10**6))
def test_quotas_add_up(sizes, alpha, total):
    drawn = quotas(sizes, QuotaSettings(alpha=alpha, sample_lines=total))
    assert sum(drawn.values()) == min(total, sum(sizes.values()))
    ordered = sorted(sizes, key=lambda code: sizes[code])
    assert all(drawn[a] <= drawn[b] + 1 for a, b in itertools.pairwise(ordered))


def test_alpha_is_the_temperature():
    sizes = {"big": 9000, "small": 1000}
    drawn = [quotas(sizes, QuotaSettings(alpha=a, sample_lines=1000)) for a in (1.0, 0.0, 0.3)]
    assert drawn[:2] == [{"big": 900, "small": 100}, {"big": 500, "small": 500}]
    assert 100 < drawn[2]["small"] < 500


def test_without_text_there_are_no_quotas():
    with pytest.raises(UserError, match="no text to train a vocabulary on"):
        quotas({"de": 0}, QuotaSettings())


def test_samples_are_seeded_and_go_round_when_short():
    lines = [f"line {n}" for n in range(50)]
    assert list(sample(lines, 30, 1)) == list(sample(lines[::-1], 30, 1))
    assert list(sample(lines, 30, 1)) != list(sample(lines, 30, 2))
    assert list(sample(lines, 10, 1)) == list(sample(lines, 30, 1))[:10]
    assert sorted(sample(lines, 100, 1)) == sorted(lines * 2)


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
    """Rows of mono-de and parallel-en-de in several shards, as corpora.select leaves them."""
    edges = [0, *sorted(cuts), len(rows)]
    paths = []
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        own = [(f"o:{k}", f"o:{k}", *rows[k]) for k in range(start, end)]
        for corpus, columns in (("mono-de", MONO), ("parallel-en-de", PAIR)):
            path = folder / corpus / str(number) / "train.parquet"
            path.parent.mkdir(parents=True)
            languages = corpus.split("-")[1:]
            write_blocks(path, [row[: len(columns)] for row in own], columns, languages)
            stats = {"languages": languages, "rows": {"train": len(own)}}
            path.with_name("stats.json").write_text(json.dumps(stats))
            paths.append(path)
    return paths


ROWS = st.lists(st.tuples(st.text("abcé", min_size=1), st.text("xyж", min_size=1)), min_size=1)


@given(st.lists(st.text()), st.integers(0, 10**9), st.integers(0, 3))
@settings(deadline=None)
def test_places_of_many_lines_are_those_of_each(lines, seed, start):
    array = pa.array(["", *lines], pa.large_string())[start:]
    assert sample_keys(seed, array).tolist() == [
        sample_key(seed, line) for line in array.to_pylist()
    ]


@given(ROWS, st.data())
@settings(deadline=None, max_examples=40)
def test_samples_of_shards_together_hold_that_of_all_lines(tmp_path_factory, rows, data):
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3))
    paths = shards_of(tmp_path_factory.mktemp("shards"), rows, cuts)
    together = distinct_lines(paths)
    assert row_counts(paths) == {"de": 2 * len(rows), "en": len(rows)}
    counts = {code: data.draw(st.integers(0, 2 * len(rows))) for code in together}
    samples = [path.with_name("lines.parquet") for path in paths]
    for path, target in zip(paths, samples, strict=True):
        bottom_k.write_sample(target, bottom_k.draw(bottom_k.shard_lines([path]), counts, seed=1))
    drawn = bottom_k.draw(bottom_k.sample_lines(samples), counts, seed=1)
    assert drawn == bottom_k.draw(bottom_k.shard_lines(paths), counts, seed=1)
    for code, lines in together.items():
        assert drawn[code] == list(sample(lines, min(counts[code], len(lines)), 1))
        # What is drawn from the sample, from the start again when it is short, is the same too.
        assert list(sample(drawn[code], len(drawn[code]), 1)) == drawn[code]


@given(st.lists(st.lists(st.integers(0, 300), max_size=60)), st.integers(0, 40))
@settings(deadline=None)
def test_what_is_kept_does_not_grow_with_the_text(blocks, count):
    slack, kept = 8, BottomKSample(count, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bottom_k, "_SLACK", slack)
        kept = BottomKSample(count, seed=1)
        for block in blocks:
            kept.add(pa.array([str(number) for number in block], pa.large_string()))
            assert len(kept._lines) <= count + max(count // 4, slack)
    every = {str(number) for block in blocks for number in block}
    assert kept.lines() == sorted(every, key=lambda line: sample_key(1, line))[:count]


def distinct_lines(paths):
    """Distinct lines of each language, sorted, of text that fits into memory."""
    lines = {}
    for path in paths:
        table = pq.read_table(path)
        codes = table.schema.metadata[b"languages"].decode().split(",")
        for code, column in zip(codes, table.column_names[2:], strict=True):
            lines.setdefault(code, set()).update(table.column(column).to_pylist())
    return {code: sorted(lines[code]) for code in sorted(lines)}


@pytest.mark.parametrize("cuts", [[], [100, 150], [0, 10, 290]], ids=len)
def test_shards_and_text_in_memory_give_the_same_model(tmp_path, cuts):
    """For every number of shards; also of the lines that many rows have each counts once."""
    rows = list(zip(texts("ru", 300), texts("zh", 300), strict=True))
    paths = shards_of(tmp_path / "text", rows, cuts)
    wanted = TrainSettings(vocabulary_size=150, num_threads=1, sample_lines=250)
    model = train_model(tmp_path / "text", tmp_path / "made", wanted).read_bytes()
    stats = json.loads((tmp_path / "made/stats.json").read_text())
    # What one job makes that has all lines and is told of as many rows as there are.
    lines, sizes = distinct_lines(paths), row_counts(paths)
    drawn = quotas(sizes, wanted)
    text = [line for code, own in lines.items() for line in sample(own, drawn[code], 1)]
    assert model == train._train(text, wanted)
    assert {code: own["lines"] for code, own in stats["languages"].items()} == sizes
    held = [pq.read_table(path).num_rows for path in tmp_path.glob("made/sample/*/*/*.parquet")]
    assert len(held) == len(paths) and max(held) <= 250 and sum(held) < sum(sizes.values())


def test_a_corpus_of_which_nothing_is_left_is_named(tmp_path):
    paths = shards_of(tmp_path, [("a", "b")], [])
    stats = [path.with_name("stats.json") for path in paths]
    stats[0].write_text(json.dumps({"languages": ["de"], "rows": {"train": 0}}))
    with pytest.raises(UserError, match="Nothing is left to train on of the text in de"):
        run_stage(
            quota_stage.run, QuotaSettings(), {"stats": stats}, {"quotas": [tmp_path / "quotas"]}
        )


def test_a_vocabulary_is_cut_down_to_shards_as_to_text_in_memory(tmp_path, model, monkeypatch):
    """Only a block of lines at a time is encoded; the bytes do not show it."""
    monkeypatch.setattr(train, "MEASURED_LINES", 40)
    rows = list(zip(*(sorted(set(texts(code, 300))) for code in ("en", "ru")), strict=False))
    paths = [path for path in shards_of(tmp_path, rows, [50]) if "parallel" in path.parts[-3]]
    source = tmp_path / "source" / "sentencepiece.bpe.model"
    source.parent.mkdir()
    source.write_bytes(model.read_bytes())
    outputs = {"model": [tmp_path / "spm.model"], "stats": [tmp_path / "stats.json"]}
    wanted = TrainSettings(num_threads=1)
    run_stage(train.run, wanted, {"source": [source], "shards": paths}, outputs)
    whole = pieces.read_proto(source)
    every = [line for lines in distinct_lines(paths).values() for line in lines]
    ids = SentencePieceProcessor(model_proto=whole.SerializeToString()).encode(every)
    kept = pieces.trim(whole, {piece for line in ids for piece in line})
    assert outputs["model"][0].read_bytes() == kept.SerializeToString(deterministic=True)
    assert len(kept.pieces) < len(whole.pieces)
    measured = json.loads(outputs["stats"][0].read_text())["languages"]
    assert {code: own["lines"] for code, own in measured.items()} == row_counts(paths)
