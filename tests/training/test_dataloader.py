from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Chained, Ragged
from ernie_m.training.batches import CLASSES, DataLoader
from ernie_m.training.order import DataOrder, Texts
from ernie_m.training.sampling import smoothed_probabilities

MASK = 99


def ragged(count: int, seed: int) -> Ragged:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, count)
    return Ragged(rng.integers(4, MASK, lengths.sum()), np.concatenate([[0], np.cumsum(lengths)]))


def dataloader(seed: int = 1, alpha: Any = 0.5, ratios: Any = None) -> DataLoader:
    sizes = np.array([300, 30])
    languages = np.array([[0, 1], [0, 2]])
    pairs = Texts(ragged(330, 1), ragged(330, 2), languages, sizes, ("en-de", "en-bg"), None, 0.15)
    mono = Texts(ragged(330, 3), None, languages[:, [1, 1]], sizes, ("de", "bg"))
    ratio = dict.fromkeys(OBJECTIVES, 0.15)
    masking = Masking(MASK, ratio, 0.1, 0.1, "continuous")
    shares = {"mmlm": 1.0, "camlm": 3.0, "tlm": 0.0}
    texts = {"mmlm": mono, "camlm": pairs}
    return DataLoader(texts, shares, 600, 64, alpha, masking, seed, ratios or {})


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    first, again, other = (dataloader(seed).batch(7).rows for seed in (1, 1, 2))
    assert torch.equal(first.ids, again.ids) and torch.equal(first.labels, again.labels)
    assert first.ids.shape != other.ids.shape or not torch.equal(first.ids, other.ids)
    assert not torch.equal(first.ids[:1], dataloader().batch(8).rows.ids[:1])


def test_stage_2_does_not_repeat_stage_1() -> None:
    """Also where its objectives, shares and ratios are the same, as in an arm without BTMLM."""
    first, second = dataloader(), replace(dataloader(), stage=2)
    drawn = [
        {order.objective: order.at(step) for order in own._orders for step in range(9)}
        for own in (first, second)
    ]
    for objective, one in drawn[0].items():
        other = drawn[1][objective]
        assert one.index.tolist() != other.index.tolist()
        assert not set(one.keys.tolist()) & set(other.keys.tolist())
    seeds = [
        {own.dropout_seed(step, rank) for step in range(9) for rank in range(3)}
        for own in (first, second, dataloader(seed=2))
    ]
    assert len(set.union(*seeds)) == 3 * 27


def test_budgets_follow_the_shares() -> None:
    tokens = {0: 0, 2: 0}
    for step in range(40):
        batch = dataloader().batch(step).rows
        owner = batch.groups[batch.documents >= 0] // 1000
        for objective in tokens:
            tokens[objective] += int((owner == objective).sum())
    assert tokens[0] / (40 * 150) == pytest.approx(1, abs=0.04)
    assert tokens[2] / (40 * 450) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("budget", [100, 300, 2000])
def test_long_sentences_are_drawn_as_often_as_they_are_there(budget: int) -> None:
    """Whatever the budget: a batch ends with the sentence that fills it."""
    lengths = np.where(np.arange(1000) % 10, 8, 50)
    edges = np.concatenate([[0], np.cumsum(lengths)])
    source = Ragged(np.zeros(edges[-1], dtype=np.int64), edges)
    texts = Texts(source, None, np.zeros((1, 2), dtype=np.int64), np.array([1000]), ("de",))
    order = DataOrder("mmlm", texts, budget, 1.0, 1)
    drawn = [order.at(step).lengths for step in range(400_000 // budget)]
    every = np.concatenate(drawn)
    assert (every > 50).mean() == pytest.approx(0.1, rel=0.05)
    assert every.sum() / (len(drawn) * budget) == pytest.approx(1, abs=0.03)


def test_smoothing() -> None:
    sizes = np.array([900, 100, 0])
    assert np.allclose(smoothed_probabilities(sizes, 1.0), [0.9, 0.1, 0.0])
    assert np.allclose(smoothed_probabilities(sizes, 0.0), [0.5, 0.5, 0.0])
    middle = smoothed_probabilities(sizes, 0.3)
    assert np.isclose(middle.sum(), 1) and 0.5 < middle[0] < 0.9


def test_joining_ragged_parts_gives_the_whole() -> None:
    whole = ragged(50, 5)
    parts = [whole.take(np.arange(0, 13)), whole.take(np.arange(13, 50))]
    joined = Ragged.join(parts)
    assert joined.tokens.tolist() == whole.tokens.tolist()
    assert joined.offsets.tolist() == whole.offsets.tolist()


@pytest.mark.parametrize("steps", [1, 7, 60])
def test_what_all_steps_draw_is_what_each_does(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own = dataloader()
    order = DataOrder("camlm", own.texts["camlm"], 450, 0.5, 1)
    expected = np.unique(np.concatenate([order.at(step).index for step in range(steps)]))
    for block in (1, 200, 2**14):
        monkeypatch.setattr("ernie_m.training.order.BLOCK", block)
        assert order.read_by(steps).tolist() == expected.tolist()
    tokens = sum(int(order.at(step).lengths.sum()) for step in range(steps))
    laid_out = [own.documents(step) for step in range(steps)]
    camlm = [docs.lengths[docs.group // CLASSES == 2].sum() for docs in laid_out]
    assert tokens == sum(camlm), "slots count in the budget"


@pytest.mark.parametrize("size", [3, 8])
def test_a_process_reads_its_own_sentences_only(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own, read = dataloader(), []
    take = Chained.take

    def counted(self: Chained, order: np.ndarray) -> Ragged:
        read.append(len(order))
        return take(self, order)

    monkeypatch.setattr(Chained, "take", counted)
    texts = {
        name: replace(
            text,
            source=Chained((text.source,), 8),
            target=text.target and Chained((text.target,), 8),
        )
        for name, text in own.texts.items()
    }
    own = replace(own, texts=texts)
    whole = own.batch(5)
    sides = 1 + (whole.rows.groups[whole.rows.rows, whole.rows.starts] >= 2 * CLASSES)
    assert sum(read) == sides.sum()
    for rank in range(size):
        read.clear()
        rows = own.batch(5, rank, size).rows
        sides = 1 + (rows.groups[rows.rows, rows.starts] >= 2 * CLASSES)
        assert sum(read) == sides.sum()
        assert abs(len(rows.ids) - whole.row_count / size) < 1
