"""Training repeats to the last bit: by seed, over shards, and through a kill."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from safetensors.torch import load as load_tensors

from ernie_m.callbacks.checkpointer import Checkpointer
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.training import stage
from ernie_m.training.engine import Engine
from ernie_m.training.loop import Trainer
from ernie_m.training.stage import train_stage
from tests.pretrain.conftest import stage_job, write_corpus

OUTPUTS = ["model", "curves", "metrics"]


class Killed(BaseException):
    """Stands in for SIGKILL: nothing in the code under test may catch it."""


def train(
    job: Callable[..., Job[Any]],
    corpus: Any,
    model: Path,
    folder: str,
    granted: int = 2,
    **changes: Any,
):
    inputs = {"init": model, "train": corpus["train"], "valid": corpus["valid"]}
    made = job(
        "ernie_m.pretrain.camlm",
        stage_job(**changes),
        inputs,
        OUTPUTS,
        folder=folder,
        threads=granted,
    )
    train_stage(made, [Checkpointer()])
    return [made.output(name).read_bytes() for name in OUTPUTS], made


def test_same_seed_same_bytes_whatever_the_shards_and_cores(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    one, made = train(job, write_corpus(tmp_path / "one", 1), model_file, "a")
    made.afterwards[0]()
    many, _ = train(job, write_corpus(tmp_path / "many", 4), model_file, "b", granted=1)
    assert one == many


@pytest.mark.parametrize("stop", [4, 5, 13, 23])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    job: Callable[..., Job[Any]],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    undisturbed, made = train(job, corpus, model_file, "a")
    made.afterwards[0]()
    step = Trainer._step

    def dying(self: Trainer, batch: Any) -> Any:
        if self.progress.step == stop:
            raise Killed
        return step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_step", dying)
        train(job, corpus, model_file, "b")
    resumed, made = train(job, corpus, model_file, "b")
    assert made.notes["resumed_from"] == stop // 5 * 5
    assert resumed == undisturbed


def test_a_torn_state_falls_back_to_the_one_before(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    undisturbed = train(job, corpus, model_file, "a")[0]  # its job ends, its state is left
    newest = sorted((tmp_path / "work/state").rglob("step-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed, made = train(job, corpus, model_file, "b")
    assert made.notes["resumed_from"] == 15
    assert resumed == undisturbed


def test_state_of_another_run_is_never_picked_up(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    train(job, corpus, model_file, "a")
    _, made = train(job, corpus, model_file, "b", alpha=0.6)
    assert made.notes["resumed_from"] == 0
    _, made = train(job, corpus, model_file, "c", checkpoint_every=7)
    assert made.notes["resumed_from"] == 20


def test_metrics_and_curves_tell_the_run(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    (_, curves, metrics), _ = train(job, write_corpus(tmp_path / "c", 1), model_file, "a")
    points = [json.loads(line) for line in curves.decode().splitlines()]
    assert [point["step"] for point in points] == [8, 16, 24]
    told = json.loads(metrics)
    assert set(told["valid"]) == set(told["unigram"]) == {"mmlm", "camlm"}
    assert set(told["valid"]["camlm"]) == {"en-de", "en-el"}
    assert points[-1]["valid/camlm/en-de"] == told["valid"]["camlm"]["en-de"]


@pytest.fixture
def broken_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Make the losses of one training step so many times too large."""

    def make(step: int, factor: float) -> None:
        backward, done = Engine.backward, iter(range(1000))

        def breaking(self: Engine, batch: Any) -> Any:
            share = backward(self, batch)
            if next(done) == step:
                for parameter in self.model.parameters():
                    assert parameter.grad is not None
                    parameter.grad *= factor
                self._pending = [(losses * factor, scored) for losses, scored in self._pending]
                return share * factor
            return share

        monkeypatch.setattr(Engine, "backward", breaking)

    return make


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 100.0])
def test_a_diverging_loss_stops_and_keeps_the_batch(
    job: Callable[..., Job[Any]],
    model_file: Path,
    tmp_path: Path,
    broken_step: Callable[[int, float], None],
    factor: float,
) -> None:
    broken_step(7, factor)
    with pytest.raises(UserError, match=r"at step 8 .*batch-00000008.safetensors"):
        train(job, write_corpus(tmp_path / "c", 1), model_file, "a")
    (kept,) = (tmp_path / "work/state").rglob("batch-*.safetensors")
    assert load_file(kept)["ids"].shape[1] == 32


def test_a_diverging_step_is_left_out_and_counted(
    job: Callable[..., Job[Any]],
    model_file: Path,
    tmp_path: Path,
    broken_step: Callable[[int, float], None],
) -> None:
    broken_step(7, float("nan"))  # the last before a validation
    corpus = write_corpus(tmp_path / "c", 1)
    (model, curves, metrics), _ = train(job, corpus, model_file, "a", on_divergence="skip")
    assert json.loads(metrics)["skipped"] == 1 and b"NaN" not in curves
    assert all(bool(tensor.isfinite().all()) for tensor in load_tensors(model).values())


def test_a_foreign_tokenizer_is_refused(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.pretrain.conftest.TOKENIZER", "u" * 64)
    corpus = write_corpus(tmp_path / "c", 1)
    with pytest.raises(UserError, match="tokenizer"):
        train(job, corpus, model_file, "a")


def test_rows_beyond_the_positions_are_refused(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="positions"):
        train(job, write_corpus(tmp_path / "c", 1), model_file, "a", row_length=128)


def test_masking_takes_ids_and_positions_from_the_checkpoint(model_file: Path) -> None:
    from ernie_m.model.checkpoint import load

    shape = load(model_file).shape
    masking = stage.masking_for(shape, stage_job().masking)
    assert masking.mask_id == shape.vocabulary - 1
    assert masking.pair_positions == "reset"
