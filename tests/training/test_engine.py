"""However a step is divided, over passes or processes, it is the same step."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from torch.nn import Module

from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.pretrain import OptimiserSettings, Shares
from ernie_m.config.saving import SAVING, SavingSettings
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import load, save
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import pack
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.objectives.objectives import Masking
from ernie_m.training import corpora, losses
from ernie_m.training.batches import CLASSES, Batch, DataLoader
from ernie_m.training.engine import Engine
from ernie_m.training.losses import TokenLosses
from ernie_m.training.processes import Processes
from tests.pretrain.conftest import LANGUAGES, TOKENIZER, VOCABULARY, stage_job, write_corpus

CPU = torch.device("cpu")
SHAPE = Architecture(VOCABULARY, 2, 16, 2, 32, 66, 0.0, 0.0, True, "reset", LANGUAGES, TOKENIZER)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return write_corpus(tmp_path_factory.mktemp("corpus"), 1)


@pytest.fixture(scope="module")
def dataloader(corpus: dict[str, list[Path]]) -> DataLoader:
    shards = [
        corpora.read_shards(corpus["train"], sides, TOKENIZER, VOCABULARY) for sides in (1, 2)
    ]
    mono = corpora.mono_texts(corpora.monolingual(shards[0], LANGUAGES, 14), LANGUAGES)
    pairs = corpora.parallel_texts(shards[1], LANGUAGES, max_text_tokens("camlm", 32, 0.3), 0.3)
    masking = Masking(
        VOCABULARY - 1,
        dict.fromkeys(OBJECTIVES, 0.3),
        random_share=0.1,
        keep_share=0.1,
        pair_positions="reset",
    )
    shares = {"mmlm": 1.0, "tlm": 1.0, "camlm": 1.0}
    texts = {"mmlm": mono, "tlm": replace(pairs, slot_ratio=0.0), "camlm": pairs}
    return DataLoader(texts, shares, 256, 32, 0.5, masking, seed=1)


def model() -> LanguageModel:
    torch.manual_seed(5)
    return LanguageModel(SHAPE)


def engine(rank: int = 0, size: int = 1, **hardware: Any) -> Engine:
    made = Engine(model(), OptimiserSettings(), HardwareSettings(**hardware), Processes(0, 1, CPU))
    made.processes = Processes(rank, size, CPU)
    return made


def gradients(made: Engine, batch: Batch) -> list[torch.Tensor]:
    loss = made.backward(batch)
    found = [p.grad for p in made.model.parameters() if p.grad is not None]
    return [loss, *found]


@settings(max_examples=40, deadline=None)
@given(step=st.integers(0, 50), size=st.integers(1, 12), forward=st.sampled_from([0, 32, 70, 999]))
def test_parts_of_all_processes_are_the_batch(
    dataloader: DataLoader, step: int, size: int, forward: int
) -> None:
    whole = dataloader.batch(step)
    made = [dataloader.batch(step, rank, size) for rank in range(size)]
    for own in made:
        assert own.row_count == len(whole.rows.ids) and own.predicted == whole.predicted
        assert own.lengths.tolist() == whole.rows.lengths.tolist()
    shares = [
        engine(rank, size, forward_tokens=forward).micro_batches(own.rows, own.row_count)
        for rank, own in enumerate(made)
    ]
    assert len({len(share) for share in shares}) == 1
    parts = [part for share in shares for part in share]
    real = [part for part in parts if len(part.lengths)]
    for name, tensor in vars(whole.rows).items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(torch.cat([getattr(part, name) for part in real]), tensor), name
    groups = torch.cat([part.scored().groups for part in parts]) // CLASSES
    assert dict(Counter(groups.tolist())) == whole.predicted
    if forward:
        assert all(part.ids.numel() <= max(32, forward) for part in parts)
    for part in real:
        again = part.flat_index()
        assert len(again) == part.lengths.sum() and (part.documents.flatten()[again] >= 0).all()


@pytest.mark.parametrize("hardware", [{"forward_tokens": 64}, {"recompute": True}])
def test_divided_and_recomputed_steps_are_whole_steps(
    dataloader: DataLoader, hardware: dict[str, Any]
) -> None:
    batch = dataloader.batch(3)
    whole, other = gradients(engine(), batch), gradients(engine(**hardware), batch)
    for one, two in zip(whole, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_the_head_may_take_tokens_in_chunks(
    dataloader: DataLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = dataloader.batch(3)
    whole = gradients(engine(), batch)
    monkeypatch.setattr(losses, "HEAD_LOGITS", 7 * VOCABULARY)
    for one, two in zip(whole, gradients(engine(), batch), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_packed_documents_have_the_losses_of_padded_ones(dataloader: DataLoader) -> None:
    documents = dataloader.documents(3)
    measured = TokenLosses(model())
    in_rows, alone = pack(documents, 32), pack(documents, 32, one_per_row=True)
    packed, padded = (measured(rows, rows.scored()) for rows in (in_rows, alone))
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-6)


def test_flex_attention_reads_what_the_mask_allows(dataloader: DataLoader) -> None:
    batch = dataloader.batch(3).rows
    dense = TokenLosses(model())
    blocks = TokenLosses(model())
    blocks.model.encoder.flex = True
    with torch.no_grad():  # FlexAttention has no way back on CPUs
        expected, found = (m(batch, batch.scored()) for m in (dense, blocks))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_compiled_layers_compute_what_eager_ones_do(
    dataloader: DataLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the kernels, which for this processor would take half a minute to make."""
    monkeypatch.setattr(Module, "compile", partialmethod(Module.compile, backend="aot_eager"))
    batch = dataloader.batch(3)
    whole, compiled = gradients(engine(), batch), gradients(engine(compile=True), batch)
    for one, two in zip(whole, compiled, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("forward", [0, 512])
def test_compiled_layers_see_few_numbers_of_rows(dataloader: DataLoader, forward: int) -> None:
    large = replace(dataloader, batch_tokens=2048)
    plain, compiled = (engine(forward_tokens=forward, compile=on) for on in (False, True))
    shapes, given, made = set(), Counter[int](), Counter[int]()
    for step in range(100):
        batch = large.batch(step)
        parts = [one.micro_batches(batch.rows, batch.row_count) for one in (plain, compiled)]
        for one, two in zip(*parts, strict=True):
            assert torch.equal(one.scored().where, two.scored().where)
            assert (two.documents[len(one.ids) :] == -1).all()
            shapes.add(two.ids.shape)
            given[0] += len(one.ids)
            made[0] += len(two.ids)
    assert len(shapes) <= 4, shapes
    assert made[0] <= 1.07 * given[0]


@pytest.mark.parametrize("attention", ["sdpa", "flex"])
def test_layers_compile_once_for_a_number_of_rows(
    dataloader: DataLoader, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not again for what the rows hold."""
    counted = CompileCounter()
    monkeypatch.setattr(Module, "compile", partialmethod(Module.compile, backend=counted))
    made = engine(compile=True, forward_tokens=512, attention=attention)
    shapes, compiled = set(), []
    for step in range(12):
        batch = replace(dataloader, batch_tokens=2048).batch(step)
        for part in made.micro_batches(batch.rows, batch.row_count):
            with torch.no_grad():  # FlexAttention has no way back on CPUs
                made.losses(part, part.scored())
            shapes.add(part.ids.shape)
            compiled.append(counted.frame_count)
    assert 0 < compiled[-1] <= 2 * len(shapes) and compiled[-1] == compiled[len(compiled) // 2]


def test_rows_of_padding_change_no_loss(dataloader: DataLoader) -> None:
    batch = dataloader.batch(3).rows
    more, measured = batch.padded(len(batch.ids) + 5), TokenLosses(model())
    expected, found = (measured(rows, rows.scored()) for rows in (batch, more))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert more.documents.shape == (len(batch.ids) + 5, 32)


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("bfloat16", 0.01)])
def test_the_fused_head_has_the_losses_of_the_chunked_one(
    dataloader: DataLoader, precision: str, near: float
) -> None:
    batch = dataloader.batch(3)
    chunked, fused = (
        gradients(engine(head=head, precision=precision), batch) for head in ("chunked", "fused")
    )
    whole = sum(float(one.square().sum()) for one in chunked[1:]) ** 0.5
    for one, two in zip(chunked, fused, strict=True):
        if precision == "float32":
            torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
        assert (one - two).norm() <= near * whole
    nothing = batch.rows.part(0, 0)
    losses = engine(head="fused").losses(nothing, nothing.scored())
    losses.sum().backward()
    assert len(losses) == 0


def test_bfloat16_is_near_float32(dataloader: DataLoader) -> None:
    batch = dataloader.batch(3)
    whole, low = engine().backward(batch), engine(precision="bfloat16").backward(batch)
    assert low.dtype == torch.float32 and 0 < abs(whole - low) < 0.05 * whole


# State is saved every third step.
OFTEN = os.environ | {SAVING: SavingSettings(every_steps=3).model_dump_json()}


def command_of(
    folder: Path, corpus: dict[str, list[Path]], steps: int, **hardware: Any
) -> list[str]:
    """The command line of a training in ``folder``."""
    folder.mkdir(parents=True)
    save(folder / "init.safetensors", model(), SHAPE, {"stage": "initialise"})
    job = stage_job(
        objectives=Shares(mmlm=1, tlm=1, camlm=1),
        steps=steps,
        batch_tokens=256,
        evaluate_every=4,
        keep_every=5,
        hardware=HardwareSettings(num_threads=1, **hardware),
    )
    command = [sys.executable, "-m", "ernie_m.pretrain.camlm", "--settings", job.model_dump_json()]
    command += ["--input", "init", str(folder / "init.safetensors")]
    for name in ("train", "valid"):
        command += ["--input", name, *map(str, corpus[name])]
    for name in ("model", "curves", "metrics"):
        command += ["--output", name, str(folder / name)]
    return [*command, "--record", str(folder / "record.json")]


def trained(
    folder: Path, corpus: dict[str, list[Path]], **hardware: Any
) -> tuple[list[dict[str, float]], Path]:
    """Curve and model of a short training by the stage's own command line."""
    command = command_of(folder, corpus, 8, **hardware)
    done = subprocess.run(
        command, cwd=folder, env=OFTEN, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    curve = [json.loads(line) for line in (folder / "curves").read_text().splitlines()]
    return curve, folder / "model"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, corpus: dict[str, list[Path]]):
    return trained(tmp_path_factory.mktemp("alone") / "run", corpus)


@pytest.mark.parametrize(
    "hardware",
    [
        {"processes_per_node": 2},
        {"processes_per_node": 3},
        {"processes_per_node": 2, "sharding": "full"},
    ],
    ids=["two", "three", "sharded"],
)
def test_several_processes_train_as_one(
    tmp_path: Path, corpus: dict[str, list[Path]], alone: Any, hardware: dict[str, Any]
) -> None:
    curve, path = trained(tmp_path / "run", corpus, **hardware)
    for one, many in zip(alone[0], curve, strict=True):
        assert one["tokens"] == many["tokens"] and one.keys() == many.keys()
        for name in one:
            assert many[name] == pytest.approx(one[name], rel=1e-6, abs=1e-6), name
    for name in ("model", "step5/model"):  # the last one, and the one that was kept
        models = (load(folder / name).parameters() for folder in (alone[1].parent, path.parent))
        for one, many in zip(*models, strict=True):
            torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-5)
    assert [kept.name for kept in path.parent.glob("step*")] == ["step5"]


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_first_process_has_all_save_their_state(
    tmp_path: Path, corpus: dict[str, list[Path]], which: signal.Signals
) -> None:
    folder = tmp_path / "run"
    command = command_of(folder, corpus, 100_000, processes_per_node=2)
    pipe = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=OFTEN, **pipe) as process:
        while process.poll() is None and not list((folder / "work").rglob("step-*.pt")):
            time.sleep(0.1)
        process.send_signal(which)
        said = process.communicate()[1]
    saved = re.findall(r"state saved after step (\d+)", said)
    assert process.returncode != 0 and len(saved) == 1, said
    assert list((folder / "work").rglob(f"step-{int(saved[0]):08d}-*.pt"))
