"""The jobs that a configuration asks for: shared work is asked for once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ernie_m.catalogue.published import ABLATION
from ernie_m.config.load import deep_merge, load, read, read_yaml
from ernie_m.config.root import MAIN_VARIANT
from ernie_m.pipeline import plan, stages
from ernie_m.pipeline.stages import STAGES


@pytest.fixture
def config():
    """The shipped configuration with changes laid over it."""
    base = read_yaml(Path("config/config.yaml"))
    return lambda **changes: load(deep_merge(base, changes))


def variant(**pretrain: Mapping) -> dict:
    return {"pretrain": pretrain}


RATE = {"optimiser": {"learning_rate": 0.0123}}


def test_every_stage_is_planned(config):
    for stage, own in stages.jobs(config()).items():
        assert all(len(STAGES[stage].parts(job)) == len(job.split("/")) for job in own if job)
        assert own in ([], [""]) or STAGES[stage].instance, stage


def test_no_job_is_asked_for_twice(config):
    found = stages.jobs(config(variants={"one": variant(btmlm=RATE), "two": variant(camlm=RATE)}))
    for stage, jobs in found.items():
        assert len(jobs) == len(set(jobs)), stage


STARTED = {
    "init": "xlm-roberta-base",
    "model": {"layers": 12, "width": 768, "heads": 12, "ffn": 3072},
}


def test_text_takes_one_way_at_every_size(config):
    """But that n-way rows are dealt, and that a vocabulary is trained where none is taken."""
    paper = read(Path("config/paper_base.yaml"))

    def text(found):
        return {stage for stage in jobs_of(found) if stage.startswith(("corpora", "tokenizer"))}

    trained = {"tokenizer_quotas", "tokenizer_sample"}
    assert text(config()) == text(paper) | {"corpora_deal"} | trained


def jobs_of(found):
    return {stage for stage, jobs in stages.jobs(found).items() if jobs}


def test_nothing_is_run_after_the_last_stage_that_is_evaluated(config):
    found = config(xtreme={"stages": ["camlm", "initialise"]})
    assert plan.exports(found) == ["hf/none/pretrain_camlm/ernie_m"]
    assert "pretrain_camlm" in jobs_of(found)
    assert not {"pretrain_backtranslate", "pretrain_btmlm"} & jobs_of(found)


def test_weights_that_are_evaluated_as_they_are_need_no_text(config):
    """But for a vocabulary that is cut down to it, tasks made of it, and fine-tuning on pairs."""
    tasks = {"tasks": ["pawsx", "tatoeba"], "stages": ["initialise"]}
    whole = {"tokenizer": {"train": {"trim": False}}}
    found = config(**STARTED, **whole, xtreme=tasks)
    assert plan.exports(found) == ["hf/none/pretrain_adopt/ernie_m"]
    assert {name for name in jobs_of(found) if not name.startswith("xtreme")} == {
        *("checkpoints_download", "tokenizer_train", "pretrain_initialise", "pretrain_adopt"),
        *("report_build", "checkpoints_export"),
    }
    text = {"corpora_download", "corpora_extract", "corpora_filter", "corpora_deal"}
    assert text <= jobs_of(config(**STARTED, xtreme=tasks))
    own = config(**STARTED, **whole, xtreme=tasks | {"tasks": ["standin_qa"]})
    assert text <= jobs_of(own) and "tokenizer_pack" not in jobs_of(own)
    aligned = config(**STARTED, **whole, xtreme=tasks | {"retrieval": "aligned"})
    assert text | {"tokenizer_pack"} <= jobs_of(aligned)
    assert text <= jobs_of(config(xtreme=tasks))  # which trains a vocabulary


def test_an_variant_shares_what_comes_before_its_difference(config):
    found = config(variants={"late": variant(btmlm=RATE), "early": variant(camlm=RATE)})
    assert plan.trained_variants(found, "initialise") == ["ernie_m"]
    assert plan.trained_variants(found, "camlm") == ["ernie_m", "early"]
    assert plan.trained_variants(found, "btmlm") == ["ernie_m", "late", "early"]
    assert plan.made_by(found, "late", "backtranslate") == "ernie_m"
    assert plan.chunks(found, "late") == plan.chunks(found, "ernie_m")


def test_two_variants_share_with_each_other(config):
    both = {"one": variant(camlm=RATE, btmlm=RATE), "two": variant(camlm=RATE)}
    assert plan.trained_variants(config(variants=both), "camlm") == ["ernie_m", "one"]


def test_an_variant_without_the_objective_generates_nothing(config):
    shares = {"objectives": {"btmlm": 0.0, "mmlm": 1.0}}
    found = config(
        pretrain={"btmlm": shares}, variants={"with": variant(btmlm={"objectives": {"btmlm": 1.0}})}
    )
    assert plan.chunks(found, "ernie_m") == []
    assert stages.jobs(found)["pretrain_backtranslate"] == plan.chunks(found, "with") != []


def test_a_shared_encoder_is_scored_once(config):
    found = plan.evaluations(config(variants={"late": variant(btmlm=RATE)}))
    scored = {job.split("/", 1)[1].rpartition("/")[0] for job in found}
    assert "late/btmlm" in scored and not {"late/camlm", "late/initialise"} & scored


def test_only_what_is_fine_tuned_is_repeated_with_other_seeds(config):
    found = plan.evaluations(config(xtreme={"seeds": [1, 2, 3]}))
    count = {task: sum(job.startswith(f"{task}/") for job in found) for task in plan.TASKS}
    assert count["standin_tagging"] == 3 * count["standin_retrieval"]


@pytest.mark.parametrize("overlays", [["paper_base", "ablation"], ["ablation_laptop"]], ids=str)
def test_the_ablation_has_the_variants_of_table_6(overlays):
    """At equal tokens, exp0 as the main variant's start and exp5 as its end."""
    found = read(*(Path(f"config/{name}.yaml") for name in overlays))
    assert found.xtreme.stages == ["initialise", "btmlm"]
    published = {
        name: set(variant.objectives) for name, variant in ABLATION.items() if variant.objectives
    }
    ours = {name: found.variant(name).pretrain for name in (MAIN_VARIANT, *found.variants)}
    ours["exp5"] = ours.pop(MAIN_VARIANT)
    on = {
        name: {key for key, share in own.btmlm.objectives.model_dump().items() if share}
        for name, own in ours.items()
    }
    assert on == published
    for own in ours.values():
        first = {key for key, share in own.camlm.objectives.model_dump().items() if share}
        last = {key for key, share in own.btmlm.objectives.model_dump().items() if share}
        assert first == last - {"btmlm"}
    tokens = [own.camlm.steps * own.camlm.batch_tokens for own in ours.values()]
    assert len(set(tokens)) == 1


def test_an_export_has_the_vectors_of_its_recipe_s_retrieval():
    config = read("config/released_xlmr.yaml")
    (job,) = stages.jobs(config)["checkpoints_export"]
    own = config.xtreme.predict_for("tatoeba", config.model.layers)
    found = stages.settings_of(config, "checkpoints_export", job)
    assert (found.layer, found.pooling, found.skip_specials) == (
        own.layer, own.pooling, own.skip_specials
    )  # fmt: skip
    assert found.layer != config.xtreme.predict.layer
