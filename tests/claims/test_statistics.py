"""The interval covers as often as it says, and a verdict turns with its data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from ernie_m.claims.statistics import POWER, Spread, judge

DRAWS, FEW = 2000, 400
EFFECT = 0.5


def draws(count, effect=EFFECT, deviation=1.0, seed=1):
    """Made-up effects by replicate, of as many studies."""
    return np.random.default_rng(seed).normal(effect, deviation, (DRAWS, count)).tolist()


@pytest.mark.parametrize("count", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_covers_the_effect_as_often_as_it_says(count, confidence):
    found = (judge(values, confidence) for values in draws(count))
    covered = sum(own.low <= EFFECT <= own.high for own in found)
    least, most = binom.interval(0.999, DRAWS, confidence)
    assert least <= covered <= most


def test_without_an_effect_few_claims_are_decided():
    found = [judge(values, 0.95).verdict for values in draws(3, effect=0.0)]
    least, most = binom.interval(0.999, DRAWS, 0.025)
    assert least <= found.count("holds") <= most
    assert least <= found.count("contradicted") <= most


TURNED = {"holds": "contradicted", "contradicted": "holds", "undecided": "undecided"}


def test_a_verdict_turns_with_its_data():
    """Also with the direction, and where the boundary is not zero."""
    seen = set()
    for values in draws(3, effect=2.0)[:300] + draws(3, effect=-2.0)[:300]:
        found = judge(values, 0.95, beyond=0.3, paper=0.5)
        seen.add(found.verdict)
        turned = judge([-value for value in values], 0.95, beyond=-0.3, paper=-0.5)
        lower = judge(values, 0.95, beyond=0.3, paper=0.5, higher=False)
        assert turned.verdict == lower.verdict == TURNED[found.verdict]
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
        mirrored = judge([-value for value in values], 0.95, beyond=-0.3, paper=-0.5, higher=False)
        assert (mirrored.verdict, mirrored.needed) == (found.verdict, found.needed)
        assert turned.visible == pytest.approx(found.visible)
    assert seen == set(TURNED)


def test_one_replicate_decides_nothing():
    found = judge([40.0], 0.95)
    assert (found.mean, found.verdict, found.low, found.visible) == (40.0, "none", None, None)
    assert found.words == "no verdict: one replicate decides nothing"
    assert judge([], 0.95).words == "no verdict: no numbers"


def test_replicates_that_agree_by_chance_are_not_sure():
    """Effects that are counted in whole examples, of which many studies have equal ones."""
    resolution = 2.0
    rounded = [
        [resolution * round(value / resolution) for value in values]
        for values in draws(2, effect=0.0, deviation=0.7)
    ]
    equal = [values for values in rounded if values[0] == values[1] != 0]
    assert equal and all(judge(values, 0.95).verdict != "undecided" for values in equal)
    found = [judge(values, 0.95, resolution=resolution) for values in rounded]
    decided = sum(own.verdict in ("holds", "contradicted") for own in found)
    assert decided <= binom.interval(0.999, DRAWS, 0.05)[1]


def test_an_effect_that_counts_has_to_be_beyond_the_least_one():
    values = [0.9, 1.0, 1.1]
    assert judge(values, 0.95).verdict == "holds"
    assert judge(values, 0.95, beyond=0.9).verdict == "undecided"
    assert judge(values, 0.95, beyond=2.0).verdict == "contradicted"


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_smallest_visible_effect_is_found_by_four_studies_in_five(count):
    effect = Spread(1.0).visible(count, 0.95)
    found = [judge(values, 0.95).verdict for values in draws(count, effect)]
    least, most = binom.interval(0.999, DRAWS, POWER)
    assert least <= found.count("holds") <= most


@pytest.mark.parametrize("effect", [0.6, 1.0, 2.5])
def test_as_many_replicates_as_are_needed_find_the_effect_and_fewer_do_not(effect):
    count = Spread(1.0).needed(effect, 0.95)

    def power(replicates):
        studies = draws(replicates, effect, seed=replicates)
        return sum(judge(values, 0.95).verdict == "holds" for values in studies) / DRAWS

    # Two standard errors of a share of 2,000 are 0.018.
    assert power(count) > POWER - 0.02 and power(count - 1) < POWER + 0.02


def test_replicates_are_counted_for_the_paper_s_effect_or_else_the_observed_one():
    values = [0.1, -0.2, 0.4]
    spread = Spread.of(values)
    assert judge(values, 0.95, paper=0.5).needed == spread.needed(0.5, 0.95)
    own = spread.needed(0.1, 0.95)
    assert judge(values, 0.95).needed == own > 3
    # Three would have seen one as large as this, so that it is asked what would see their own.
    assert spread.needed(2.0, 0.95) <= 3
    assert judge(values, 0.95, paper=2.0).needed == own
    # Such effects of the paper's are none of what is claimed.
    assert judge(values, 0.95, paper=0.0).needed == judge(values, 0.95, paper=-0.5).needed == own
    found = judge([0.1, -0.1], 0.95)
    assert found.needed is None and "more than 1,000" in found.words


@pytest.mark.parametrize("effect", [0.05, 0.1, 0.3, 1.0, 4.0])
def test_no_smaller_number_of_replicates_would_do(effect):
    counts = (n for n in range(2, 1001) if Spread(1.0).visible(n, 0.95) <= effect)
    assert Spread(1.0).needed(effect, 0.95) == next(counts, None)


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, 0.0, 0.0]])
def test_equal_effects_at_the_boundary_are_undecided(values):
    found = judge(values, 0.95)
    assert (found.verdict, found.needed) == ("undecided", None)


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_a_side_that_replicates_share_is_chance_too(weight):
    """Its fine-tunings vary, by ``weight`` times what a replicate does: without an effect not more
    is decided than the confidence allows, where by replicates alone it would be."""
    rng = np.random.default_rng(2)
    shared = weight * rng.normal(size=(DRAWS, 5))
    own = rng.normal(size=(DRAWS, 4)) - shared.mean(axis=1, keepdims=True)
    studies = [(list(values), list(side)) for values, side in zip(own, shared, strict=True)][:FEW]

    def decided(known):
        found = (judge(values, 0.95, shared=side if known else ()) for values, side in studies)
        return sum(one.verdict != "undecided" for one in found)

    _, most = binom.interval(0.999, FEW, 0.05)
    assert decided(known=True) <= most
    assert weight == 0.0 or decided(known=False) > most
