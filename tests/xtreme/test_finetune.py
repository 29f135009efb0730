"""Fine-tuning and prediction through the stages themselves, on a tiny encoder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.xtreme import FinetuneSettings, PredictSettings, XtremeSettings
from ernie_m.errors import UserError
from ernie_m.model.checkpoint import read, save
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import pack
from ernie_m.xtreme import finetune, predict
from ernie_m.xtreme.files import EXAMPLE, PREDICTION, read_lines
from ernie_m.xtreme.finetune import batches, evaluation_steps
from ernie_m.xtreme.model.features import PER_TOKEN, Features
from ernie_m.xtreme.model.kinds import kind_of
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.tagging import Tagging
from ernie_m.xtreme.scoring.selection import criterion

from .conftest import LANGUAGES, MADE, make_examples, run_stage, trained_files

SETTINGS = FinetuneSettings(
    epochs=2, evaluations=2, max_tokens=128, stride=16, learning_rate=2e-3, dropout=0.0
)
TRAINED = [name for name in MADE if TASKS[name].trained]


def tune(examples, model: Path, spm: Path, folder: Path, task: str, seed: int = 1, **changed):
    inputs = {
        "model": [model],
        "tokenizer": [spm],
        "train": [examples[task]["train-en"]],
        "dev": [examples[task]["dev-en"]],
    }
    settings, outputs = SETTINGS.model_copy(update=changed), trained_files(folder)
    return run_stage(finetune, f"{task}/ernie_m/camlm/seed{seed}", settings, inputs, outputs, seed)


def foretell(examples, model: Path, spm: Path, folder: Path, task: str) -> dict[str, Path]:
    files = examples[task]
    languages = [lang for lang in LANGUAGES if f"test-{lang}" in files]
    inputs = {
        "model": [model],
        "tokenizer": [spm],
        "test": [files[f"test-{language}"] for language in languages],
        "dev": [path for stem, path in files.items() if stem.startswith("dev-")],
    }
    outputs = {"predictions": [folder / f"predictions-{language}.jsonl" for language in languages]}
    run_stage(predict, f"{task}/ernie_m/camlm/seed1", PredictSettings(), inputs, outputs)
    return dict(zip(languages, outputs["predictions"], strict=True))


@pytest.mark.parametrize("task", TRAINED)
def test_same_seed_same_bytes_and_predictions_for_all_languages(
    examples, pretrained, spm, tmp_path, task, monkeypatch
):
    first = tune(examples, pretrained, spm, tmp_path / "1", task)
    monkeypatch.setattr(finetune, "BLOCK_EXAMPLES", 7)  # how many are read at a time is no matter
    again = tune(examples, pretrained, spm, tmp_path / "2", task)
    for name, (path,) in first.items():
        assert path.read_bytes() == again[name][0].read_bytes(), name
    found = foretell(examples, first["model"][0], spm, tmp_path, task)
    for language, path in found.items():
        lines = examples[task][f"test-{language}"].read_text().splitlines()
        ids = [line.id for line in read_lines(path, PREDICTION[TASKS[task].kind])]
        assert ids == [json.loads(line)["id"] for line in lines]


def test_a_fine_tuned_encoder_retrieves(examples, pretrained, spm, tmp_path):
    # Without a decay by layer, so that the embeddings move far.
    task, far = "standin_classification", {"epochs": 10, "layer_decay": 1.0}
    (tuned,) = tune(examples, pretrained, spm, tmp_path, task, **far)["model"]
    found = [
        foretell(examples, model, spm, tmp_path / name, "standin_retrieval")["de"].read_text()
        for name, model in (("tuned", tuned), ("pretrained", pretrained))
    ]
    assert found[0] != found[1] and len(found[0].splitlines()) == len(found[1].splitlines())


def test_another_seed_another_model(examples, pretrained, spm, tmp_path):
    models = [
        tune(examples, pretrained, spm, tmp_path / str(seed), "standin_qa", seed, epochs=1)
        for seed in (1, 2)
    ]
    assert models[0]["model"][0].read_bytes() != models[1]["model"][0].read_bytes()


def test_it_learns_and_keeps_the_best_step(examples, pretrained, spm, tmp_path):
    changed = {"epochs": 25, "evaluations": 5, "batch_size": 6}
    out = tune(examples, pretrained, spm, tmp_path, "standin_tagging", **changed)
    curve = [json.loads(line) for line in out["curves"][0].read_text().splitlines()]
    assert curve[-1]["train_loss"] < 0.5 * curve[0]["train_loss"]
    metrics = json.loads(out["metrics"][0].read_text())
    best = max(curve, key=lambda point: (point["dev_criterion"], -point["dev_loss"]))
    assert metrics["best_step"] == best["step"] and metrics["standin"] is True
    assert "dev" in metrics["rule"]
    assert metrics["dev_criterion"] > 0.2


@pytest.mark.parametrize("task", ["standin_retrieval", "standin_mining"])
def test_retrieval_takes_the_encoder_as_it_is(examples, pretrained, spm, tmp_path, task):
    found = foretell(examples, pretrained, spm, tmp_path, task)
    assert set(found) == {"de", "zh"}
    for path in found.values():
        read_lines(path, PREDICTION[TASKS[task].kind])


def test_a_model_of_another_task_is_refused(examples, pretrained, spm, tmp_path):
    out = tune(examples, pretrained, spm, tmp_path, "standin_qa", epochs=1)
    with pytest.raises(UserError, match="fine-tuned on standin_qa, not on standin_tagging"):
        foretell(examples, out["model"][0], spm, tmp_path, "standin_tagging")
    with pytest.raises(UserError, match="fine-tuned on no task"):
        foretell(examples, pretrained, spm, tmp_path, "standin_qa")


def test_a_model_of_another_tokenizer_is_refused(examples, shape, spm, tmp_path):
    other = replace(shape, tokenizer="0" * 64)
    path = tmp_path / "other.safetensors"
    save(path, LanguageModel(other), other, {})
    with pytest.raises(UserError, match="another tokenizer"):
        tune(examples, path, spm, tmp_path, "standin_qa")


def test_the_encoder_is_really_the_pretrained_one(examples, pretrained, spm, tmp_path):
    out = tune(examples, pretrained, spm, tmp_path, "standin_qa", epochs=1, learning_rate=1e-12)
    before, after = read(pretrained)[0], read(out["model"][0])[0]
    for name in (name for name in before if name.startswith("encoder.")):
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


def test_all_languages_are_learnt_together(rows, pretrained, spm, tmp_path):
    folder = tmp_path / "examples"
    files = make_examples(rows, folder, "standin_tagging", training="all")
    counts = {x: len(files[f"train-{x}"].read_text().splitlines()) for x in LANGUAGES}
    assert all(counts.values())
    inputs = {
        "model": [pretrained],
        "tokenizer": [spm],
        "train": [files[f"train-{language}"] for language in LANGUAGES],
        "dev": [files["dev-en"]],
    }
    outputs = {
        "model": [tmp_path / "model.safetensors"],
        "curves": [tmp_path / "curves.jsonl"],
        "metrics": [tmp_path / "metrics.json"],
    }
    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_size": 1, "evaluate_every": 50})
    run_stage(finetune, "standin_tagging/ernie_m/camlm/seed1", settings, inputs, outputs)
    curve = [json.loads(line) for line in outputs["curves"][0].read_text().splitlines()]
    total = sum(counts.values())
    assert [point["step"] for point in curve] == sorted({*range(50, total, 50), total})


def test_the_last_step_is_kept_where_that_is_the_rule(examples, pretrained, spm, tmp_path):
    changed = {"epochs": 2, "evaluations": 4, "learning_rate": 0.05, "selection": "last"}
    out = tune(examples, pretrained, spm, tmp_path, "standin_tagging", **changed)
    curve = [json.loads(line) for line in out["curves"][0].read_text().splitlines()]
    metrics = json.loads(out["metrics"][0].read_text())
    assert metrics["rule"] == "last step"
    assert metrics["best_step"] == curve[-1]["step"]
    assert metrics["dev_loss"] == curve[-1]["dev_loss"]


def where_it_ends(points: list[dict], patience: int) -> tuple[int, int]:
    """Looks until no score of the last ``patience`` beats those before, and the best one's place;
    of equal scores the lower loss, then the first, is better."""
    scores = [(point["dev_criterion"], -point["dev_loss"]) for point in points]
    for end in range(1, len(scores) + 1):
        before, recent = scores[: max(0, end - patience)], scores[max(0, end - patience) : end]
        if before and max(recent) <= max(before):
            break
    return end, scores.index(max(scores[:end]))


@pytest.mark.parametrize("selection", ["english_dev", "last"])
@pytest.mark.parametrize("task", ["standin_paraphrase", "standin_tagging"])
def test_patience_ends_it_where_a_slow_reading_of_the_curve_does(
    examples, pretrained, spm, tmp_path, task, selection
):
    changed = {"epochs": 8, "evaluate_every": 2, "batch_size": 12, "selection": selection}

    def tuned(patience):
        out = tune(
            examples, pretrained, spm, tmp_path / str(patience), task, patience=patience, **changed
        )
        curve = [json.loads(line) for line in out["curves"][0].read_text().splitlines()]
        return curve, json.loads(out["metrics"][0].read_text())

    whole, metrics = tuned(0)
    assert metrics["steps"] == metrics["planned_steps"] == whole[-1]["step"]
    ends = set()
    for patience in (1, 2, 4):
        end, best = where_it_ends(whole, patience)
        curve, metrics = tuned(patience)
        assert curve == whole[:end]
        assert metrics["planned_steps"] == whole[-1]["step"]
        assert metrics["steps"] == whole[end - 1]["step"]
        kept = whole[best if selection == "english_dev" else end - 1]
        assert metrics["best_step"] == kept["step"]
        assert metrics["dev_criterion"] == kept["dev_criterion"]
        ends.add(end)
    assert min(ends) < len(whole)


@pytest.mark.parametrize("task", TRAINED)
def test_narrow_features_make_the_same_batches_in_less_memory(examples, tokenizer, shape, task):
    reader = Reader(tokenizer, shape, 64, "own")
    kind = kind_of(TASKS[task], reader, SETTINGS, finetune.DEV_CHOICE)
    lines = read_lines(examples[task]["train-en"], EXAMPLE[TASKS[task].kind])
    wide = kind.featurise(lines, "en")
    narrow = wide.narrowed()
    order = np.random.default_rng(0).permutation(len(wide))
    ours, theirs = (asdict(features.batch(order)) for features in (narrow, wide))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    width = theirs["packed"]["ids"].shape[1]
    assert torch.equal(pack(wide.documents.take(order), width).ids, ours["packed"]["ids"])
    assert torch.equal(torch.from_numpy(wide.targets.take(order).tokens), ours["targets"])
    sizes = [sum(getattr(f.documents, n).nbytes for n in PER_TOKEN) for f in (narrow, wide)]
    assert 5 * sizes[0] <= sizes[1]


def test_features_of_languages_are_joined_in_order(examples, tokenizer, shape):
    reader = Reader(tokenizer, shape, 32, "own")
    kind = Tagging(TASKS["standin_tagging"].labels, reader)
    form = EXAMPLE["tagging"]
    lines = {x: read_lines(examples["standin_tagging"][f"test-{x}"], form) for x in ("de", "zh")}
    parts = [kind.featurise(own, language) for language, own in lines.items()]
    joined = Features.join(parts)
    assert len(joined) == sum(map(len, parts))
    found = kind.decode(
        [*lines["de"], *lines["zh"]],
        joined,
        [np.eye(len(kind.tags))[joined.targets[i]] for i in range(len(joined))],
    )
    assert [tags.tags for tags in found] == [e.tags for own in lines.values() for e in own]
    assert joined.documents.languages.tolist() == [
        *parts[0].documents.languages,
        *parts[1].documents.languages,
    ]


def test_every_epoch_sees_every_document_once():
    plan = batches(10, 4, 3, seed=1)
    assert [len(order) for order in plan] == [4, 4, 2] * 3
    for epoch in range(3):
        assert sorted(np.concatenate(plan[3 * epoch : 3 * epoch + 3])) == list(range(10))
    assert evaluation_steps(10, 3) == {3, 7, 10} and evaluation_steps(1, 5) == {1}


def test_perfect_predictions_are_the_best_choice(examples):
    from ernie_m.xtreme.files import Answer

    lines = read_lines(examples["standin_qa"]["dev-en"], EXAMPLE["qa"])
    right = [Answer(id=line.id, answer=line.answers[0]) for line in lines]
    wrong = [Answer(id=line.id, answer="") for line in lines]
    assert criterion("qa", lines, right) == 1.0 and criterion("qa", lines, wrong) == 0.0


def test_settings_of_a_task_lie_over_the_common_ones():
    settings = XtremeSettings.model_validate(
        {"finetune": {"epochs": 3, "batch_size": 8}, "per_task": {"standin_qa": {"epochs": 7}}}
    )
    own = settings.finetune_for("standin_qa")
    assert (own.epochs, own.batch_size) == (7, 8)
    assert settings.finetune_for("standin_tagging").epochs == 3
