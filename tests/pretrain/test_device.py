"""Batches follow the model to its device; a GPU computes what the CPU does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.pretrain import Shares
from ernie_m.errors import UserError
from ernie_m.model.checkpoint import load
from ernie_m.model.device import REQUIRED, best_device, device_of
from ernie_m.model.encoder import LanguageModel
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.objectives.objectives import Masking
from ernie_m.training import corpora
from ernie_m.training.batches import Batch, DataLoader
from ernie_m.training.losses import TokenLosses, step_loss
from ernie_m.xtreme.model import features
from ernie_m.xtreme.model.heads import TaskModel, loss
from tests.pretrain.conftest import LANGUAGES, TOKENIZER, VOCABULARY, write_corpus


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    paths = write_corpus(tmp_path_factory.mktemp("corpus"), 1)["train"]
    mono = corpora.monolingual(corpora.read_shards(paths, 1, TOKENIZER, VOCABULARY), LANGUAGES, 14)
    shards = corpora.read_shards(paths, 2, TOKENIZER, VOCABULARY)
    pairs = corpora.parallel_texts(shards, LANGUAGES, max_text_tokens("camlm", 32, 0.3), 0.3)
    texts = {
        "mmlm": corpora.mono_texts(mono, LANGUAGES),
        "tlm": replace(pairs, slot_ratio=0.0),
        "camlm": pairs,
    }
    ratio = dict.fromkeys(OBJECTIVES, 0.3)
    masking = Masking(VOCABULARY - 1, ratio, 0.1, 0.1, "reset")
    shares = Shares(mmlm=1, tlm=1, camlm=1).model_dump()
    return DataLoader(texts, shares, 256, 32, 0.5, masking, seed=1).batch(0)


def losses_and_gradients(model: LanguageModel, batch: Batch) -> list[torch.Tensor]:
    scored = batch.rows.scored()
    losses = TokenLosses(model.eval())(batch.rows, scored)
    step_loss(losses, scored, batch.predicted).backward()
    return [losses, *(p.grad for p in model.parameters() if p.grad is not None)]


def test_a_training_batch_follows_the_model(model_file: Path, batch: Batch) -> None:
    # On the meta device every operation checks where its operands are.
    values = losses_and_gradients(load(model_file).to("meta"), batch)
    assert {value.device.type for value in values} == {"meta"}
    assert batch.rows.ids.device.type == "cpu"


@pytest.mark.parametrize("kind", ["pair", "tagging"])
def test_a_fine_tuning_batch_follows_the_model(model_file: Path, batch: Batch, kind: str) -> None:
    task = next(task for task in TASKS.values() if task.kind == kind)
    model = TaskModel(load(model_file).shape, task, 0.1).to("meta")
    packed = batch.rows
    first = torch.from_numpy(packed.rows * packed.ids.shape[1] + packed.starts)
    ones = torch.ones_like(first)
    made = features.Batch(packed=packed, where=first, counts=ones, targets=0 * ones)
    value = loss(task, model(made), made)
    value.backward()
    assert value.device == device_of(model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_computes_what_the_cpu_does(model_file: Path, batch: Batch) -> None:
    here = losses_and_gradients(load(model_file), batch)
    there = losses_and_gradients(load(model_file).to(best_device()), batch)
    again = losses_and_gradients(load(model_file).to(best_device()), batch)
    for cpu, gpu, repeated in zip(here, there, again, strict=True):
        assert torch.equal(gpu, repeated)
        np.testing.assert_allclose(cpu.detach(), gpu.detach().cpu(), rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_cpu_is_used() -> None:
    assert best_device() == torch.device("cpu")


@pytest.mark.parametrize("by_the_workflow", [True, False])
def test_a_gpu_that_is_required_is_not_replaced_by_the_cpu(
    by_the_workflow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device().type == "cpu"
    if by_the_workflow:
        monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(
        UserError, match=r"(?s)`hardware.require_gpu` is set\..*torch here is built"
    ):
        best_device(required=not by_the_workflow)
