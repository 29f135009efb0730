"""Rates, ratios and exponents that change by step: functions of the step alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ernie_m.config.pretrain import MaskRatios, OptimiserSettings
from ernie_m.training.by_step import value_at
from ernie_m.training.order import DataOrder
from ernie_m.training.schedule import linear_schedule
from tests.training.test_dataloader import dataloader

ROUNDS = st.integers(1, 200)


@given(ROUNDS, st.integers(0, 300), st.none() | st.integers(0, 300))
def test_the_rate_rises_stays_and_falls(steps: int, warmup: int, decay: int | None) -> None:
    rates = [linear_schedule(step, steps, warmup, decay) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    rising, after = rates[:warmup], rates[warmup:]
    assert all(one < two for one, two in pairwise(rising))
    left = steps - warmup
    falling = left if decay is None else min(decay, left)
    assert after[: left - falling] == [1.0] * max(0, left - falling)
    assert all(one > two for one, two in pairwise(after[len(after) - falling :] if falling else []))
    if falling > 0:
        assert np.isclose(after[-1], 1 / falling)


@given(ROUNDS, st.integers(0, 300))
def test_decay_from_the_warm_up_on_is_the_linear_schedule(steps: int, warmup: int) -> None:
    for step in range(steps):
        rate = (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
        assert linear_schedule(step, steps, warmup) == rate
        assert linear_schedule(step, steps, warmup, 10**9) == rate


@given(st.sets(st.integers(1, 50)), st.integers(0, 60))
def test_a_value_holds_from_its_step_to_the_next(later: set[int], step: int) -> None:
    steps = [0, *sorted(later)]
    value = tuple((first, number / 100) for number, first in enumerate(steps))
    assert value_at(value, step) == (sum(first <= step for first in steps) - 1) / 100
    assert value_at(0.5, step) == 0.5


@pytest.mark.parametrize(
    "pairs", [[], [[1, 0.3]], [[0, 0.3], [0, 0.2]], [[0, 0.3], [9, 0.2], [5, 0.1]], [[0, 1.5]]]
)
def test_values_without_an_order_are_refused(pairs: list) -> None:
    with pytest.raises(ValidationError):
        MaskRatios.model_validate({"mmlm": pairs})


def test_nothing_changes_by_default() -> None:
    assert OptimiserSettings().decay_steps is None
    assert all(isinstance(ratio, float) for _, ratio in MaskRatios())


@pytest.mark.parametrize("size", [1, 3])
def test_a_step_is_that_of_a_training_with_its_values(size: int) -> None:
    alphas, ratios = ((0, 0.7), (3, 0.5), (6, 0.3)), ((0, 0.3), (4, 0.15), (6, 0.05))
    changing = dataloader(alpha=alphas, ratios={"mmlm": ratios})
    for step in range(8):
        alpha, ratio = value_at(alphas, step), value_at(ratios, step)
        constant = dataloader(alpha=alpha, ratios={"mmlm": ratio})
        for rank in range(size):
            one, two = (own.batch(step, rank, size) for own in (changing, constant))
            assert torch.equal(one.rows.ids, two.rows.ids)
            assert torch.equal(one.rows.labels, two.rows.labels)
            assert one.predicted == two.predicted
    before, after = (changing.batch(step).predicted[0] for step in (0, 7))
    assert before > 1.3 * after, "short sentences have one token to predict at least"


@pytest.mark.parametrize("steps", [2, 5, 40])
def test_what_is_drawn_by_changing_exponents_is_known(steps: int) -> None:
    """By back-translation, before stage 2 draws it."""
    texts = dataloader().texts["camlm"]
    order = DataOrder("camlm", texts, 450, ((0, 1.0), (3, 0.0), (30, 0.5)), 1)
    expected = np.unique(np.concatenate([order.at(step).index for step in range(steps)]))
    assert order.read_by(steps).tolist() == expected.tolist()
