"""The stage that judges, on made-up files of a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ernie_m.claims.statistics import judge
from tests.claims.made import BTMLM, COST, LITTLE, PAIRS, SHARE, TASK, Study


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def found(path, claim, score):
    return json.loads(path.read_text())["claims"][claim]["scores"][score]


def at(place):
    """The value at a place."""
    path, _, keys = place.partition("#")
    value = json.loads(Path(path).read_text())
    for key in keys.split("/"):
        value = value[key]
    return value


def test_an_effect_is_paired_within_a_replicate_after_seeds_are_averaged():
    """Though replicates and seeds differ by far more than arms do."""
    effects = [1.0, 1.2, 0.9]
    own = found(Study(effects).judged(BTMLM), "btmlm", TASK)
    assert list(own["replicates"].values()) == pytest.approx(effects)
    expected = judge(effects, 0.95)
    for name in ("mean", "low", "high", "visible", "verdict", "needed"):
        assert own[name] == pytest.approx(getattr(expected, name)), name
    assert (own["verdict"], own["words"], own["unit"]) == ("holds", "holds here", "points")
    assert own["at"] == "at 2 layers, 410 k tokens, 11\u202f100 pairs, 3 replicates"
    # Two arms, three replicates, two seeds: the averages from which the effects follow.
    assert len(own["places"]) == 12
    values = [at(place) for place in own["places"]]
    arm, against = values[0:2], values[2:4]
    assert sum(arm) / 2 - sum(against) / 2 == pytest.approx(effects[0])


def test_replicates_that_agree_have_the_spread_of_an_example():
    """Of two seeds in three languages with 200 examples each."""
    own = found(Study([1.0, 1.0, 1.0]).judged(BTMLM), "btmlm", TASK)
    assert own["resolution"] == pytest.approx(100 / (2 * 3 * 200))
    assert own["low"] < own["mean"] < own["high"] and own["visible"] > 0


def test_a_claim_turned_round_in_the_data_turns_its_verdict():
    own = found(Study([-1.0, -1.2, -0.9]).judged(BTMLM), "btmlm", TASK)
    assert own["words"] == "contradicted here"


def test_one_replicate_has_numbers_and_no_verdict():
    own = found(Study([7.0]).judged(BTMLM), "btmlm", TASK)
    assert (own["mean"], own["verdict"], own["low"]) == (pytest.approx(7.0), "none", None)
    assert own["at"].endswith(" 1 replicate")


def test_a_loss_counts_as_a_gain():
    own = found(Study([1.0, 1.0]).judged(BTMLM), "btmlm", "mmlm_loss")
    assert own["mean"] == pytest.approx(0.1) and own["unit"] == "nats"
    assert all("/metrics.json#valid/mmlm" in place for place in own["places"])


def test_an_effect_that_grows_as_pairs_get_fewer_has_a_negative_slope():
    by_language = {"de": 0.0, "ru": 1.5, "bg": 3.0}
    own = found(Study([0.5, 0.6, 0.4], by_language).judged(LITTLE), "little", TASK)
    assert own["mean"] == pytest.approx(-1.5) and own["words"] == "holds here"
    assert own["unit"] == "points for ten times the pairs"
    for code, count in PAIRS.items():
        assert own["languages"][code]["pairs"] == count
        assert own["languages"][code]["effect"] == pytest.approx(by_language[code] + 0.5)
    assert any(
        place.endswith("parallel-en-bg/dealt/stats.json#rows/train") for place in own["places"]
    )
    turned = {"de": 3.0, "ru": 1.5, "bg": 0.0}
    assert found(Study([0.5, 0.6], turned).judged(LITTLE), "little", TASK)["verdict"] == (
        "contradicted"
    )


def test_a_slope_over_losses_says_that_no_language_gains():
    by_language = {"de": -3.0, "ru": -2.0, "bg": -1.0}
    own = found(Study([-2.0, -2.1, -1.9], by_language).judged(LITTLE), "little", TASK)
    assert own["words"] == "holds here, though no language gains"


@pytest.mark.parametrize("adopted", [False, True])
def test_the_cost_counts_generation_and_what_arms_share(adopted):
    own = found(Study([1.0, 1.0, 1.0], adopted=adopted).judged(COST), "cost", "cost")
    # One pass forward, on half as many tokens as one of the two stages has.
    assert 1.02 < own["mean"] < 1.15 and own["verdict"] == "holds"
    assert {place.partition("#")[0].split("/")[2] for place in own["places"]} == {
        "pretrain_camlm", "pretrain_btmlm", "pretrain_backtranslate",
    }  # fmt: skip


def test_perplexity_is_set_against_the_share_of_pseudo_tokens():
    study = Study([1.0, 1.0], ratios=(0.05, 0.1, 0.2))
    own = found(study.judged(SHARE, more=("exp4", "exp4_1", "exp4_2")), "share", "btmlm_loss")
    assert own["verdict"] == "holds"
    assert own["mean"] == pytest.approx(-0.05 * 2.718281828**2.88, rel=0.02)


def test_too_few_languages_have_no_slope(monkeypatch):
    monkeypatch.delitem(PAIRS, "bg")
    own = found(Study([1.0, 2.0]).judged(LITTLE), "little", TASK)
    assert own["mean"] is None and own["words"] == "no verdict: no numbers"


def test_the_same_files_give_the_same_bytes():
    study = Study([1.0, 1.2])
    first = study.judged(BTMLM, COST).read_bytes()
    assert study.judged(BTMLM, COST).read_bytes() == first


def test_the_judge_imports_nothing_heavy():
    code = "import sys, ernie_m.claims.judge; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "mlflow", "snakemake", "scipy.stats", "pandas"} & set(done.stdout.split())
