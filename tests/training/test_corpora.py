"""Text is read from memory maps, and is the same as if it lay in one array."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.config.pretrain import MaskingSettings, MaskRatios, Shares, StageJob
from ernie_m.job import Job
from ernie_m.model.architecture import Architecture
from ernie_m.objectives.lengths import max_text_tokens, slots
from ernie_m.ragged import Chained, Picked, Ragged
from ernie_m.tokenizer.shards import Shard
from ernie_m.training import corpora, order, stage
from ernie_m.training.pseudo import Pseudo, write_pseudo
from tests.tokenizer.shards import write_shard

PARTS = st.lists(st.lists(st.lists(st.integers(0, 99), max_size=6)), min_size=1, max_size=4)
SHA = "t" * 64


@given(PARTS, st.integers(0, 7), st.data())
def test_chained_parts_equal_joined_ones(
    parts: list[list[list[int]]], longest: int, data: st.DataObject
) -> None:
    whole = [sequence[:longest] for part in parts for sequence in part]
    chained = Chained(tuple(Ragged.of(part, 100) for part in parts), longest)
    assert [chained[i].tolist() for i in range(len(chained))] == whole
    numbers = st.lists(st.integers(0, len(whole) - 1)) if whole else st.just([])
    order = np.array(data.draw(numbers), dtype=np.int64)
    taken = chained.take(order)
    assert [taken[i].tolist() for i in range(len(taken))] == [whole[i] for i in order]
    assert chained.lengths_of(order).tolist() == taken.lengths.tolist()
    picked, half = Picked(chained, order), np.arange(0, len(order), 2)
    assert picked.take(half).tokens.tolist() == chained.take(order[half]).tokens.tolist()
    assert picked.lengths_of(half).tolist() == chained.lengths_of(order[half]).tolist()


def shards(folder: Path, languages: tuple[str, ...], length: int) -> list[Path]:
    """Two shards of 500 sentences of ``length`` tokens each."""
    paths = [folder / f"{'-'.join(languages)}-{length}-{k}.safetensors" for k in range(2)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        offsets = np.arange(501) * length
        sides = tuple(
            Ragged(rng.integers(4, 100, offsets[-1]).astype(np.uint16), offsets) for _ in languages
        )
        write_shard(path, Shard(languages, SHA, np.arange(500, dtype=np.uint64), sides))
    return paths


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    def opened(length: int) -> int:
        """Peak of bytes allocated while shards are opened and a hundred sentences are taken."""
        paths = [*shards(tmp_path, ("en",), length), *shards(tmp_path, ("en", "de"), length)]
        tracemalloc.start()
        mono, pairs = (corpora.read_shards(paths, sides, SHA, 100) for sides in (1, 2))
        texts = corpora.mono_texts(corpora.monolingual(mono, ["en", "de"], 20), ["en", "de"])
        both = corpora.parallel_texts(pairs, ["en", "de"], 20)
        for text in (texts, both):
            assert text.source.take(np.arange(0, 1000, 10)).lengths.tolist() == [20] * 100
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    opened(30)  # what is imported or compiled on the way
    assert opened(3000) < opened(30) + 20_000  # six thousand kilobytes more in the files


@pytest.mark.parametrize("counted", [1_000_000, 100])
def test_words_are_counted_within_the_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    monkeypatch.setattr(corpora, "COUNTED", counted)
    monkeypatch.setattr(order, "BLOCK", 64)
    paths = shards(tmp_path, ("en", "de"), 9)
    text = corpora.parallel_texts(corpora.read_shards(paths, 2, SHA, 100), ["de", "en"], 4)
    counts = corpora.unigram_counts([text], 2, 100)
    assert text.target is not None
    for row, side in ((1, text.source), (0, text.target)):
        tokens = np.concatenate(
            [side[i] for i in range(0, len(side), max(1, len(side) // counted))]
        )
        assert counts[row].tolist() == np.bincount(tokens, minlength=100).tolist()


SHAPE = Architecture(100, 1, 8, 1, 8, 66, 0.0, 0.0, True, "reset", ("en", "de"), SHA)


def training(paths: list[Path], folder: Path, row_length: int) -> Job[StageJob]:
    """A training with all objectives on, on ``paths``, whose English text has pseudo tokens."""
    most = max_text_tokens("btmlm", row_length, 0.15)
    counts = slots(np.full(1000, most), 0.15)
    tokens = Ragged(np.full(counts.sum(), 5), np.concatenate([[0], np.cumsum(counts)]))
    keys = np.tile(np.arange(500, dtype=np.uint64), 2)
    pseudo = Pseudo(np.arange(1000), keys, np.ones(1000), tokens, 0.15, ("en",), 1000, 0)
    write_pseudo(folder / "pseudo.safetensors", pseudo)
    settings = StageJob(
        objectives=Shares(mmlm=1, tlm=1, camlm=1, btmlm=1),
        row_length=row_length,
        masking=MaskingSettings(ratio=MaskRatios(camlm=0.4)),
    )
    inputs = {"train": paths, "pseudo": [folder / "pseudo.safetensors"]}
    return Job("ernie_m.pretrain.btmlm", "ernie_m", settings, 1, 1, inputs, {})


@pytest.mark.parametrize(
    ("objective", "most", "length"),
    [("mmlm", 62, 64), ("tlm", 30, 64), ("camlm", 21, 62), ("btmlm", 52, 64)],
)
def test_each_objective_reads_what_a_row_has_room_for(
    tmp_path: Path, objective: str, most: int, length: int
) -> None:
    """Texts longer than a row of 64, with slots at 0.4 and placeholders at 0.15."""
    paths = [*shards(tmp_path, ("en",), 90), *shards(tmp_path, ("en", "de"), 90)]
    texts = stage.texts_of(training(paths, tmp_path, row_length=64), SHAPE, "train")[objective]
    assert texts.source.lengths_of(np.arange(3)).tolist() == [most] * 3
    whole = corpora.read_shards(paths, 1 if texts.target is None else 2, SHA, 100)[0].sides[0]
    if objective != "btmlm":
        assert texts.source[0].tolist() == whole[0][:most].tolist()
    assert texts.lengths_of(np.arange(3)).tolist() == [length] * 3
    sides = 2 if objective in ("tlm", "camlm") else 1
    assert stage.count_cut(texts) == {
        "texts": 1000 * sides,
        "texts_cut": 1000 * sides,
        "tokens": 90_000 * sides,
        "tokens_cut": 1000 * sides * (90 - most),
    }
