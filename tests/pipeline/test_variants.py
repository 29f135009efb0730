"""Ways of fine-tuning as variants: what a recipe, a task and a variant make of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ernie_m.catalogue.tasks import TASKS, Kind
from ernie_m.config.load import deep_merge, load, read_yaml
from ernie_m.config.recipes import RECIPES
from ernie_m.config.xtreme import FinetuneSettings, PredictSettings, TaskName
from ernie_m.errors import UserError
from ernie_m.pipeline import plan, stages
from ernie_m.pipeline.stages import settings_of


@pytest.fixture
def config():
    base = read_yaml(Path("config/config.yaml"))
    return lambda **changes: load(deep_merge(base, changes))


def finetune(config, task, variant="ernie_m"):
    return settings_of(config, "xtreme_finetune", f"{task}/{variant}/btmlm/seed1")


def test_recipes_name_known_kinds_tasks_and_keys():
    kinds, tasks = (set(alias.__args__) for alias in (Kind, TaskName))
    official = {"xnli", "pawsx", "udpos", "panx"}
    for name, recipes in RECIPES.items():
        assert recipes.keys() <= kinds | tasks | official, name
        for recipe in recipes.values():
            FinetuneSettings(**{**recipe.finetune, **recipe.all_languages})
            PredictSettings(**{**recipe.predict, **recipe.deep})


def test_published_values(config):
    """As the scripts of the benchmark and of the authors have them (see config/recipes.py)."""
    xtreme = config(xtreme={"recipe": "xtreme"})
    pair, qa = (finetune(xtreme, f"standin_{x}") for x in ("classification", "qa"))
    assert (pair.learning_rate, pair.epochs, pair.max_tokens, pair.eps) == (2e-5, 5, 128, 1e-8)
    assert (pair.warmup_share, pair.weight_decay, pair.layer_decay) == (0.0, 0.0, 1.0)
    assert (qa.learning_rate, qa.window_step, qa.warmup_steps, qa.selection) == (
        3e-5,
        128,
        500,
        "last",
    )
    predict = settings_of(xtreme, "xtreme_predict", "standin_mining/ernie_m/btmlm/seed1")
    assert (predict.layer, predict.pooling, predict.neighbours) == (8, "cls", 4)
    deep = {"layers": 24, "width": 64, "heads": 4, "ffn": 64}
    large = config(xtreme={"recipe": "xtreme"}, model=deep)
    layers = [
        settings_of(one, stage, instance).layer
        for one in (xtreme, large)
        for stage, instance in (
            ("xtreme_predict", "standin_retrieval/ernie_m/btmlm/seed1"),
            ("xtreme_align", "ernie_m/btmlm/seed1"),
        )
    ]
    assert layers == [8, 8, 14, 14]
    base, large = (config(xtreme={"recipe": f"ernie_m_{x}"}) for x in ("base", "large"))
    tagging = [finetune(one, "standin_tagging") for one in (base, large)]
    assert [t.learning_rate for t in tagging] == [4e-4, 4e-4]
    in_all = [
        finetune(config(xtreme={"recipe": f"ernie_m_{x}", "training": "all"}), "standin_tagging")
        for x in ("base", "large")
    ]
    assert [(t.learning_rate, t.layer_decay) for t in in_all] == [(3e-4, 0.8), (2e-4, 0.9)]


def published(config, task, recipe, training="english"):
    changes = {"recipe": recipe, "training": training}
    return config(xtreme=changes).xtreme.finetune_for(task)


def test_xlmr_is_fine_tuned_as_its_authors_tell_it(config):
    xnli, pawsx = (published(config, task, "xlmr") for task in ("xnli", "pawsx"))
    for pair in (xnli, pawsx):
        assert (pair.learning_rate, pair.batch_size, pair.patience) == (5e-6, 128, 5)
        assert (pair.weight_decay, pair.warmup_share, pair.selection) == (0.0, 0.0, "english_dev")
    # Thirty epochs of 5,000 batches each, in passes over MultiNLI and over its 15 languages.
    batches = 392_702 / xnli.batch_size
    assert xnli.evaluate_every == 5_000 and round(xnli.epochs * batches / 5_000) == 30
    everywhere = published(config, "xnli", "xlmr", "all")
    assert everywhere.epochs * 15 * batches >= 150_000 > (everywhere.epochs - 1) * 15 * batches
    # Elsewhere one look a pass.
    assert (pawsx.epochs, pawsx.evaluations, pawsx.evaluate_every) == (30, 30, 0)
    for task in ("udpos", "panx", "xquad", "mlqa", "tydiqa"):
        assert published(config, task, "xlmr") == published(config, task, "xtreme")


def test_vectors_of_published_retrieval(config):
    """By recipe and depth: hidden state and pooling for Tatoeba, and for BUCC."""

    def vectors(recipe, layers):
        settings = config(xtreme={"recipe": recipe}).xtreme
        found = [settings.predict_for(task, layers) for task in ("tatoeba", "bucc2018")]
        assert not any(one.centre or one.skip_specials for one in found)
        assert {(one.scoring, one.neighbours) for one in found} == {("cosine", 4)}
        return [(one.layer, one.pooling) for one in found]

    assert vectors("xtreme", 12) == [(8, "mean"), (8, "cls")]
    assert vectors("xtreme", 24) == [(14, "mean"), (14, "cls")]
    assert vectors("xlmr", 12) == [(8, "mean"), (8, "mean")]
    assert vectors("xlmr", 24) == [(11, "mean"), (11, "mean")]
    assert vectors("ernie_m_large", 24) == [(19, "mean"), (19, "mean")]
    own = config().xtreme.predict
    for recipe, layers in (("ernie_m_base", 12), ("ernie_m_large", 2)):
        assert config(xtreme={"recipe": recipe}).xtreme.predict_for("tatoeba", layers) == own


def test_a_task_lies_over_the_recipe_and_the_recipe_over_the_rest(config):
    found = config(
        xtreme={
            "recipe": "ernie_m_base",
            "finetune": {"epochs": 77, "stride": 9},
            "per_task": {"standin_qa": {"learning_rate": 0.5}},
        }
    )
    qa = finetune(found, "standin_qa")
    assert (qa.learning_rate, qa.epochs, qa.stride, qa.layer_decay) == (0.5, 2, 9, 0.8)


def test_an_variant_changes_what_it_names_and_keeps_the_rest(config):
    found = config(
        xtreme={"per_task": {"standin_tagging": {"epochs": 9}}, "finetune": {"batch_size": 8}},
        variants={"other": {"xtreme": {"per_task": {"standin_tagging": {"stride": 7}}}}},
    )
    main, other = (finetune(found, "standin_tagging", variant) for variant in ("ernie_m", "other"))
    assert other == main.model_copy(update={"stride": 7})
    assert (other.epochs, other.batch_size) == (9, 8)
    # Only the task that differs is fine-tuned again.
    again = [job for job in plan.evaluations(found) if "/other/" in job]
    assert {job.split("/")[0] for job in again} == {"standin_tagging"}


def test_an_variant_in_all_languages_is_fine_tuned_again_where_there_is_such_text(config):
    found = config(variants={"translated": {"xtreme": {"training": "all"}}})
    again = {job.split("/")[0] for job in plan.evaluations(found) if "/translated/" in job}
    assert again == {task for task in found.xtreme.tasks if TASKS[task].trains_in_all}
    names = plan.training_files(found, "standin_qa")
    assert names == [f"train-{language}.jsonl" for language in found.corpora.languages]
    assert plan.training_files(config(), "standin_qa") == ["train-en.jsonl"]


def test_aligned_vectors_are_trained_as_they_are_used(config):
    found = config(
        xtreme={"seeds": [1, 2]}, variants={"near": {"xtreme": {"retrieval": "aligned"}}}
    )
    jobs = stages.jobs(found)
    assert jobs["xtreme_align"] == [
        f"near/{stage}/seed{seed}" for stage in found.xtreme.stages for seed in (1, 2)
    ]
    job = settings_of(found, "xtreme_align", "near/btmlm/seed1")
    assert (job.layer, job.pooling) == (found.xtreme.predict.layer, "mean")
    again = {job.split("/")[0] for job in plan.evaluations(found) if "/near/" in job}
    assert again == {task for task in found.xtreme.tasks if not TASKS[task].trained}


def test_retrieval_after_another_task_waits_for_its_fine_tuning(config):
    variants = {"tuned": {"xtreme": {"retrieval": "finetuned"}}}
    found = config(xtreme={"seeds": [1, 2], "stages": ["btmlm"]}, variants=variants)
    again = [job for job in plan.evaluations(found) if "/tuned/" in job]
    assert again == [
        f"standin_{task}/tuned/btmlm/seed{seed}"
        for task in ("retrieval", "mining")
        for seed in (1, 2)
    ]
    # The task itself is the same in both variants, and fine-tuned once.
    assert plan.scored_as(found, "standin_classification", "tuned", "btmlm") == "ernie_m"
    with pytest.raises(UserError, match="needs `standin_classification` in `tasks`"):
        config(xtreme={"tasks": ["standin_retrieval"], "retrieval": "finetuned"})


def test_what_is_asked_is_the_same_for_all_variants(config):
    with pytest.raises(UserError, match="`seeds` is the same for all variants"):
        config(variants={"other": {"xtreme": {"seeds": [2]}}})
    with pytest.raises(UserError, match=r"did you mean `variants\.other\.xtreme\.training`"):
        config(variants={"other": {"xtreme": {"trainin": "all"}}})


def test_variants_are_compared_with_each_other_once_and_not_for_each_seed(config, monkeypatch):
    variants = {f"variant{n}": {"xtreme": {"finetune": {"epochs": n}}} for n in range(1, 9)}
    found = config(xtreme={"seeds": [1, 2, 3, 4, 5]}, variants=variants)
    compared, use = [], plan._use
    monkeypatch.setattr(plan, "_use", lambda *given: compared.append(given) or use(*given))
    assert len(plan.evaluations(found, lambda task: task.trained)) >= 8 * 5 * 3 * 2
    questions = len(found.xtreme.tasks) * len(found.xtreme.stages)
    assert 0 < len(compared) <= questions * len(found.variant_names) ** 2
