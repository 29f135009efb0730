"""Replicates train every variant anew, and nothing else."""

from pathlib import Path

import pytest

from ernie_m import replicates
from ernie_m.config.load import deep_merge, load, read_yaml
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import STAGES, jobs, parts_of, seed_of, settings_text

BASE = read_yaml(Path("config/config.yaml"))
ABLATION = read_yaml(Path("config/ablation_laptop.yaml"))


def configured(**changes):
    return load(deep_merge(deep_merge(BASE, ABLATION), changes))


def work(config):
    """What every job is given but the judge of claims, who is told of all replicates."""
    return {
        (stage, job): (settings_text(config, stage, job), seed_of(config, stage, job))
        for stage, instances in jobs(config).items()
        for job in instances
        if stage != "claims_judge"
    }


@pytest.mark.parametrize("seed", [0, 1, 77])
@pytest.mark.parametrize("replicate", [0, 1, 77, 2**32 - 1])
def test_a_name_says_variant_and_seed(seed, replicate):
    name = replicates.named("exp3", replicate, seed)
    assert replicates.parted(name, seed) == ("exp3", replicate)
    assert replicates.variant_of(name) == "exp3"
    assert (name == "exp3") == (seed == replicate)


def test_another_replicate_is_more_work_of_the_same_kind_and_moves_nothing():
    one, three = (work(configured(replicates=own)) for own in ([], [3, 1, 2]))
    assert one.items() < three.items()
    added = three.keys() - one.keys()
    assert {stage for stage, _ in added} == {
        *("pretrain_initialise", "pretrain_camlm", "pretrain_draw", "pretrain_backtranslate"),
        "pretrain_btmlm",
        *("xtreme_finetune", "xtreme_predict", "xtreme_sweep", "xtreme_score"),
    }
    for stage, job in added:
        variant = parts_of(stage, job)["variant"]
        _, seed = replicates.parted(variant, 1)
        settings, own = three[stage, job]
        assert seed in (2, 3)
        drawn = replicates.nested(1, seed) if "/seed1" in job else seed
        assert own == (None if STAGES[stage].seed is None else drawn)
        assert settings == one[stage, job.replace(variant, replicates.variant_of(variant))][0]


def test_replicates_share_a_checkpoint_and_no_training(tmp_path):
    config = configured(replicates=[1, 2], init=str(tmp_path))
    made = jobs(config)
    assert made["pretrain_adopt"] == ["ernie_m"]
    assert {"ernie_m", "ernie_m-r2"} <= set(made["pretrain_camlm"])
    scored = {job for job in made["xtreme_score"] if "/initialise/" in job}
    assert not any("-r2" in job for job in scored)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicates": [2, 3]}, "lacks 1, which is `seed`"),
        ({"replicates": [1, 1]}, "names a seed twice"),
        ({"replicates": [1, -2]}, "replicates"),
    ],
)
def test_wrong_lists_are_named(changes, words):
    with pytest.raises(UserError, match=words):
        configured(**changes)
