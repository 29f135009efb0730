"""Training repeats to the last bit: by seed, over shards, and through a kill."""

import json
import resource
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file
from safetensors.torch import load as load_tensors

from ernie_m.callbacks import checkpointer
from ernie_m.callbacks.checkpointer import Checkpointer
from ernie_m.callbacks.keeper import Keeper
from ernie_m.config.pretrain import MaskingSettings, MaskRatios, OptimiserSettings
from ernie_m.config.saving import SavingSettings
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.launch import STEP
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import result_with
from ernie_m.records.record import Record
from ernie_m.training import stage
from ernie_m.training.engine import Engine
from ernie_m.training.loop import Trainer
from ernie_m.training.stage import train_stage
from tests.pretrain.conftest import stage_job, write_corpus

OUTPUTS = ["model", "curves", "metrics"]
SAVING = SavingSettings(every_steps=5)


class Killed(BaseException):
    """Stands in for SIGKILL: nothing in the code under test may catch it."""


def train(
    job: Callable[..., Job[Any]],
    corpus: Any,
    model: Path,
    folder: str,
    granted: int = 2,
    saving: SavingSettings = SAVING,
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
    train_stage(made, [Keeper(made), Checkpointer(saving)])
    return [made.output(name).read_bytes() for name in OUTPUTS], made


def test_same_seed_same_bytes_whatever_the_shards_and_cores(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    one, made = train(job, write_corpus(tmp_path / "one", 1), model_file, "a")
    made.afterwards[0]()
    many, _ = train(job, write_corpus(tmp_path / "many", 4), model_file, "b", granted=1)
    assert one == many


# The peak rate from step 4 to 16, other ratios and exponents on either side.
BY_STEP = {
    "optimiser": OptimiserSettings(learning_rate=3e-3, warmup_steps=4, decay_steps=8),
    "alpha": ((0, 0.7), (8, 0.5), (18, 0.3)),
    "masking": MaskingSettings(ratio=MaskRatios(mmlm=((0, 0.3), (12, 0.15)))),
}


@pytest.mark.parametrize("changes", [{}, BY_STEP])
@pytest.mark.parametrize("stop", [4, 5, 13, 23])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    job: Callable[..., Job[Any]],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
    changes: dict[str, Any],
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    undisturbed, made = train(job, corpus, model_file, "a", **changes)
    made.afterwards[0]()
    step = Trainer._step

    def dying(self: Trainer, batch: Any) -> Any:
        if self.progress.step == stop:
            raise Killed
        return step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_step", dying)
        train(job, corpus, model_file, "b", **changes)
    resumed, made = train(job, corpus, model_file, "b", **changes)
    assert made.notes["resumed_from"] == stop // 5 * 5
    assert resumed == undisturbed


def test_damaged_states_do_not_outlive_whole_ones(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a later step, which the training has not come to yet, or they would count as newer."""
    corpus = write_corpus(tmp_path / "corpus", 1)
    step = Trainer._step

    def dying(self: Trainer, batch: Any) -> Any:
        if self.progress.step == 12:
            raise Killed
        return step(self, batch)

    monkeypatch.setattr(Trainer, "_step", dying)
    for _ in range(2):
        with pytest.raises(Killed):
            train(job, corpus, model_file, "a", saving=SavingSettings(every_steps=5, keep=1))
        (state,) = Path().rglob("work/state/**/step-*.pt")
        assert state.name.startswith("step-00000010-")
        state.rename(state.with_name(f"step-00000020-{16 * '0'}.pt"))


def test_the_workflow_says_how_often_state_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_M_SAVING", '{"every_steps": 7, "keep": 3}')
    assert Checkpointer().settings == SavingSettings(every_steps=7, keep=3)


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))  # of a file, in bytes
    try:
        with pytest.raises(UserError, match=r"(?s)written to work/state/.+ -> If there is no room"):
            train(job, corpus, model_file, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not [*Path("work").rglob("*.partial"), *Path("work").rglob("step-*")]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("seen", [True, False])
def test_a_job_that_is_warned_while_it_writes_is_queued_again(
    first: bool, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its first process; the others have nothing more to do."""
    asked = []
    monkeypatch.setenv(STEP, "1")
    monkeypatch.setattr(checkpointer, "queue_again", lambda: asked.append(True) or True)
    own, before = Checkpointer(), signal.getsignal(signal.SIGTERM)
    processes = SimpleNamespace(first=first)
    own.on_start(SimpleNamespace(engine=SimpleNamespace(processes=processes)))
    try:
        if seen:
            own.on_end()
        with pytest.raises(SystemExit) if first else nullcontext():
            signal.raise_signal(signal.SIGTERM)
            own.on_end()  # the loop did not look any more
            own.facts()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [True] * first


def test_a_kept_checkpoint_is_the_model_of_a_training_that_ended_there(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the rate does not depend on the end: in the steps at its peak. Steps of which the state
    was lost are kept once more, as the same bytes."""
    corpus = write_corpus(tmp_path / "corpus", 1)
    save = Checkpointer._save
    with monkeypatch.context() as patch, pytest.raises(Killed):

        def dying(self: Checkpointer, trainer: Trainer) -> None:
            if trainer.progress.step == 15:
                raise Killed
            save(self, trainer)

        patch.setattr(Checkpointer, "_save", dying)
        train(job, corpus, model_file, "a", keep_every=3, **BY_STEP)
    (twice,) = (tmp_path / "a").glob("step15/model")
    before = twice.read_bytes(), twice.stat().st_mtime_ns
    whole, made = train(job, corpus, model_file, "a", keep_every=3, **BY_STEP)
    assert made.notes["resumed_from"] == 10
    assert (twice.read_bytes(), before[1] < twice.stat().st_mtime_ns) == (before[0], True)
    made.afterwards[0]()
    kept = {path.parent.name: path.read_bytes() for path in (tmp_path / "a").glob("step*/model")}
    assert sorted(kept) == sorted(f"step{step}" for step in range(3, 24, 3))
    never = {**BY_STEP, "optimiser": BY_STEP["optimiser"].model_copy(update={"decay_steps": 0})}
    for step in (6, 15, 18):
        (ended, *_), made = train(job, corpus, model_file, f"b{step}", steps=step, **never)
        made.afterwards[0]()
        assert (ended == kept[f"step{step}"]) == (step <= 16)
    without, _ = train(job, corpus, model_file, "c", **BY_STEP)
    assert without == whole, "keeping changes nothing"


def test_a_kept_checkpoint_is_a_result_with_a_record(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    folder = "results/some/pretrain_camlm/ernie_m"
    _, made = train(job, corpus, model_file, folder, keep_every=8)
    path = Path(folder, "step8", "model")
    sha256 = file_sha256(path)
    record = Record.read(path.with_name("record.json"), str(path.with_name("record.json")))
    assert not record.fault and record.recorded == {str(path): sha256}
    assert record.job == "pretrain_camlm/ernie_m/step8" and record.settings["keep_every"] == 8
    assert record.inputs.keys() == {"init", "train", "valid"}
    assert path.with_name("SHA256SUMS").read_text() == f"{sha256}  model\n"
    assert result_with(Path(), sha256[:8]) == str(path)
    # Done again by its record: a training that ends there.
    again = replace(made, instance=record.instance, output_paths={"model": [Path("again")]})
    train_stage(again, [Keeper(again)])
    assert file_sha256(again.output("model")) == sha256
    assert not list(Path().glob("step*"))


def test_what_could_not_be_written_is_written_from_the_state(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    undisturbed, made = train(job, corpus, model_file, "a")
    made.afterwards[0]()

    def full(_: Any) -> Any:
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr("ernie_m.training.stage.count_cut", full)
        train(job, corpus, model_file, "b")
    again, made = train(job, corpus, model_file, "b")
    assert made.notes["resumed_from"] == 24 == made.settings.steps
    assert again == undisturbed


def test_a_torn_state_falls_back_to_the_one_before(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    undisturbed = train(job, corpus, model_file, "a")[0]  # its job ends, its state is left
    newest = sorted((tmp_path / "work/state").rglob("step-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed, made = train(job, corpus, model_file, "b")
    assert made.notes["resumed_from"] == 20
    assert resumed == undisturbed


def test_state_of_another_run_is_never_picked_up(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    train(job, corpus, model_file, "a")
    _, made = train(job, corpus, model_file, "b", alpha=0.6)
    assert made.notes["resumed_from"] == 0
    _, made = train(job, corpus, model_file, "c", saving=SavingSettings(every_steps=7))
    assert made.notes["resumed_from"] == 24


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


def test_the_unigram_level_is_that_of_all_text_whatever_the_objectives(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "c", 1)
    found = []
    for number, objectives in enumerate(({"mmlm": 1.0}, {"mmlm": 1.0, "tlm": 1.0})):
        off = dict.fromkeys(("mmlm", "tlm", "camlm", "btmlm"), 0.0)
        (_, _, metrics), _ = train(
            job, corpus, model_file, f"u{number}", objectives=off | objectives
        )
        found.append(json.loads(metrics)["unigram"]["mmlm"])
    assert found[0] == found[1]


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


@pytest.mark.parametrize(("step", "factor"), [(7, float("nan")), (7, float("inf")), (9, 1e3)])
def test_where_steps_are_not_waited_for_the_means_tell(
    job: Callable[..., Job[Any]],
    model_file: Path,
    tmp_path: Path,
    broken_step: Callable[[int, float], None],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    factor: float,
) -> None:
    """As on a GPU; an explosion needs means before it."""
    monkeypatch.setattr(Trainer, "_looks_at_steps", False)
    broken_step(step, factor)
    with pytest.raises(UserError, match=r"on average by step"):
        train(job, write_corpus(tmp_path / "c", 1), model_file, "a", steps=16, evaluate_every=4)


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
