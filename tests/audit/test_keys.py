"""Which keys reach a job: found by the audit's table, and by changing each."""

import pytest
import yaml

from ernie_m.audit.keys import Layers, explained, keys_of
from ernie_m.config.load import load
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.pipeline.stages import STAGES, seed_of, settings_of
from ernie_m.records.record import Record
from ernie_m.words import flatten
from tests.repository import ROOT

from ..workflow.test_dvc import INSTANCES, MILESTONE, settings_texts, with_another_value

RUN = MILESTONE.keys()  # the stages of the default run


def node(config, stage, instance):
    """A job as far as its keys are concerned."""
    settings = settings_of(config, stage, instance).model_dump(mode="json")
    seed = seed_of(config, stage, instance)
    return Record("", stage, instance, settings=settings, seed=seed)


def test_a_key_reaches_exactly_the_stages_whose_settings_follow_it():
    """No key is missing from an audit, and none is named that has no part in the number."""
    mapping = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    config, before = load(mapping), settings_texts(mapping)
    named = {s: keys_of(node(config, s, INSTANCES[s])) for s in RUN}
    tried = 0
    for key in dict(flatten(mapping)):
        after = settings_texts(with_another_value(mapping, key))
        if not after or after == before:
            continue  # no other value could be made up, or the key decides which jobs there are
        tried += 1
        follow = {stage for stage in RUN if after[stage] != before[stage]}
        assert follow == {stage for stage in RUN if key in named[stage]}, key
    assert tried > 80


def test_every_named_key_is_one_of_the_configuration():
    mapping = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    config, known = load(mapping), dict(flatten(mapping)).keys()
    for stage in RUN:
        for key in keys_of(node(config, stage, INSTANCES[stage])):
            assert key in known or key.startswith("corpora.registry."), (stage, key)


def test_the_head_of_a_file_is_named_by_the_key_that_asks_for_it():
    chosen = {"corpora.head_bytes.cc100": 1000}
    corpora = {
        "registry": "config/corpora_paper.yaml",
        "datasets": ["cc100-en", "cc100-de", "wikimatrix-en-de"],
        "languages": ["en", "de"],
        "pairs": ["en-de"],
        "head_bytes": {"cc100": 1000},
    }
    config = load({"corpora": corpora, "xtreme": {"tasks": []}})
    for stage, instance in (("download", ""), ("extract", "/en")):
        head = node(config, f"corpora_{stage}", f"cc100-en.head-1000{instance}")
        keys = keys_of(head, chosen)
        assert keys["corpora.head_bytes.cc100"] == 1000
        assert keys["corpora.registry.cc100-en.languages"] == ["en"]
        assert "corpora.registry.cc100-en.head_bytes" in keys_of(head, {})


def test_the_seed_is_a_key_of_what_draws():
    config = load({})
    for stage in RUN:
        reached = "seed" in keys_of(node(config, stage, INSTANCES[stage]))
        assert reached == (STAGES[stage].seed == "run")


@pytest.fixture
def study(monkeypatch):
    monkeypatch.chdir(ROOT)
    return Layers.read(ROOT / "config/ablation_laptop.yaml")


def test_an_variant_has_its_own_keys_where_it_differs(study):
    job = node(study.config, "pretrain_btmlm", "exp2")
    keys = keys_of(job, study.chosen)
    own = "variants.exp2.pretrain.btmlm.objectives.btmlm"
    assert keys[own] == 0.0 and "pretrain.btmlm.objectives.btmlm" not in keys
    assert "pretrain.btmlm.steps" in keys
    assert own not in keys_of(node(study.config, "pretrain_btmlm", "ernie_m"), study.chosen)


def test_what_a_recipe_sets_is_named_after_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    overlay = tmp_path / "recipes.yaml"
    overlay.write_text(
        "variants: {other: {xtreme: {recipe: ernie_m_base, finetune: {stride: 9}}}}\n"
        "xtreme: {recipe: xtreme, per_task: {standin_qa: {epochs: 4}}}\n"
    )
    layers = Layers.read(overlay)

    def told(variant, stage="xtreme_finetune"):
        job = node(layers.config, stage, f"standin_qa/{variant}/btmlm/seed1")
        return {key["key"]: key for key in explained([job], layers)}

    rate, usual = told("ernie_m")["xtreme.recipe.learning_rate"], FinetuneSettings().learning_rate
    assert rate["value"] == 3e-5 and rate["where"] == str(overlay) and rate["default"] == usual
    other = told("other")
    assert other["variants.other.xtreme.recipe.learning_rate"]["value"] == 3e-4
    assert other["variants.other.xtreme.finetune.stride"]["value"] == 9
    assert other["xtreme.per_task.standin_qa.epochs"]["value"] == 4
    assert "xtreme.recipe.n_best" in told("ernie_m", "xtreme_predict")
    job = node(layers.config, "xtreme_finetune", "standin_qa/other/btmlm/seed1")
    assert "xtreme.finetune.learning_rate" in keys_of(job)  # without the configuration


def test_a_key_is_said_with_its_file_its_default_and_the_paper(study):
    job = node(study.config, "pretrain_camlm", "ernie_m")
    told = {key["key"]: key for key in explained([job], study)}
    rate = told["pretrain.camlm.optimiser.learning_rate"]
    assert "2e-4 for base" in rate["paper"] and rate["flag"] == "deviation"
    assert rate["where"] == "config/config.yaml" and rate["value"] == rate["default"]
    job = node(study.config, "pretrain_btmlm", "ernie_m")
    steps = {key["key"]: key for key in explained([job], study)}["pretrain.btmlm.steps"]
    assert steps["where"].endswith("config/ablation_laptop.yaml")
    assert steps["value"] != steps["default"]
