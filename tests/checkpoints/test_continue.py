"""Pre-training goes on from an XLM-R-shaped folder, with the settings of the tiny configuration."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import XLMRobertaForMaskedLM

from ernie_m.config.load import read
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.model.attention import Table
from ernie_m.model.checkpoint import load
from ernie_m.pipeline.stages import settings_of
from ernie_m.pretrain import backtranslate, btmlm, camlm, draw
from ernie_m.tokenizer import pack, train
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.losses import TokenLosses
from ernie_m.training.stage import dataloader_of, texts_of
from tests.corpora.synthetic import run_stage, write_rows

from .conftest import padded, started_from, states, text

LANGUAGES = ("en", "de", "ru")
PAIRS = ("en-de", "en-ru")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """config/tiny.yaml in the shape of the source, with fewer languages."""
    overlay = tmp_path_factory.mktemp("config") / "mine.yaml"
    shape = {"width": 32, "heads": 4, "ffn": 64, "max_positions": 130}
    shape |= {"dropout": 0.0, "pair_positions": "continuous"}
    corpora = {"languages": list(LANGUAGES), "pairs": list(PAIRS)}
    overlay.write_text(json.dumps({"model": shape, "corpora": corpora}))
    return read("config/tiny.yaml", overlay)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Texts of each corpus, train and valid, as corpora.select leaves them."""
    made = tmp_path_factory.mktemp("continue")
    for part, count, seed in (("train", 300, 1), ("valid", 30, 2)):
        ids = [f"docutils:{part}:{number}" for number in range(count)]
        for codes in [[code] for code in LANGUAGES] + [pair.split("-") for pair in PAIRS]:
            sides = (text(code, count, seed) for code in codes)
            target = made / corpus_of(codes) / f"{part}.parquet"
            target.parent.mkdir(exist_ok=True)
            write_rows(target, zip(ids, ids, *sides, strict=True), codes)
    return made


def corpus_of(codes):
    return ("mono-" if len(codes) == 1 else "parallel-") + "-".join(codes)


@pytest.fixture(scope="module")
def started(config, folder, source) -> Path:
    """The vocabulary, trimmed, and the model that stage 1 starts from."""
    files = [source / "model.safetensors", source / "config.json"]
    vocabulary = {"model": [folder / "spm.model"], "stats": [folder / "stats.json"]}
    given = {"shards": sorted(folder.glob("*/train.parquet")), "source": files}
    run_stage(train.run, config.tokenizer.train, given, vocabulary)
    shape = settings_of(config, "pretrain_initialise", "ernie_m")
    return started_from(files, folder, shape)


@pytest.fixture(scope="module")
def shards(config, folder, started) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {"train": [], "valid": []}
    for name in [*(f"mono-{code}" for code in LANGUAGES), *(f"parallel-{pair}" for pair in PAIRS)]:
        inputs = {part: [folder / name / f"{part}.parquet"] for part in ("train", "valid")}
        outputs = {
            "train": [folder / name / "train.safetensors"],
            "valid": [folder / name / "valid.safetensors"],
            "manifest": [folder / name / "manifest.json"],
        }
        inputs["tokenizer"] = [folder / "spm.model"]
        run_stage(
            pack.run,
            settings_of(config, "tokenizer_pack", f"{name}/dealt"),
            inputs,
            outputs,
            instance=f"{name}/dealt",
        )
        found["train"] += outputs["train"]
        found["valid"] += outputs["valid"]
    return found


def test_step_0_is_the_source(started, source, folder) -> None:
    """The trimmed model with its language embedding computes what XLM-R's classes do."""
    model, tokenizer, whole = (
        load(started),
        Tokenizer(folder / "spm.model"),
        Tokenizer(source / "sentencepiece.bpe.model"),
    )
    assert tokenizer.size < 0.6 * whole.size and model.shape.vocabulary == tokenizer.size
    lines = text("de", 10, seed=1)
    theirs = padded([[0, *ids, 2] for ids in whole.encode(lines)])
    with torch.no_grad():
        oracle = XLMRobertaForMaskedLM.from_pretrained(source).eval()
        found = oracle(**theirs, output_hidden_states=True).hidden_states[-1]
    documents = [[0, *ids, 2] for ids in tokenizer.encode(lines)]
    hidden, _ = states(model, documents, [1] * len(lines), alone=False)
    for number, ids in enumerate(documents):
        torch.testing.assert_close(
            found[number, : len(ids)], hidden[-1][number], rtol=0.0, atol=1e-5
        )


def test_the_loss_of_step_0_is_the_source_s(config, started, shards, source) -> None:
    """On the first batch of stage 1, where XLM-R's classes can read it: no streams."""
    model, settings = load(started).eval(), settings_of(config, "pretrain_camlm", "ernie_m")
    paths = {name: list(map(Path, files)) for name, files in shards.items()}
    job = Job("ernie_m.pretrain.camlm", "ernie_m", settings, 1, 1, paths, {})
    batch = dataloader_of(job, model.shape, texts_of(job, model.shape, "train")).batch(0).rows
    scored = batch.scored()
    whole = Tokenizer(source / "sentencepiece.bpe.model")
    names = [whole.piece(row) for row in range(whole.size)]
    own = Tokenizer(started.with_name("spm.model"))
    kept = torch.tensor([names.index(own.piece(row)) for row in range(own.size)])
    oracle = XLMRobertaForMaskedLM.from_pretrained(source).eval()
    theirs = torch.full(batch.ids.shape, float("nan"))
    with torch.no_grad():
        ours = TokenLosses(model)(batch, scored)
        for row, start, length in zip(batch.rows, batch.starts, batch.lengths, strict=True):
            place = (row, slice(start, start + length))
            if batch.tables[row, start] in (Table.ONE_SENTENCE, Table.EVERYTHING):
                logits = oracle(kept[batch.ids[place]].unsqueeze(0)).logits[0, :, kept]
                theirs[place] = cross_entropy(logits, batch.labels[place], reduction="none")
    found = theirs.flatten()[scored.where]
    both = found.isfinite()
    assert both.sum() > 100
    torch.testing.assert_close(ours[both], found[both], rtol=0.0, atol=1e-5)


def test_both_stages_train_on_from_it(config, started, shards, folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    outputs = {
        stage: {
            "model": [folder / stage / "model.safetensors"],
            "curves": [folder / stage / "curves.jsonl"],
            "metrics": [folder / stage / "metrics.json"],
        }
        for stage in ("camlm", "btmlm")
    }
    settings = {s: settings_of(config, f"pretrain_{s}", "ernie_m") for s in ("camlm", "btmlm")}
    run_stage(
        camlm.run, settings["camlm"], {"init": [started], **shards}, outputs["camlm"], "ernie_m"
    )
    drawn = {"sentences": [folder / "sentences.safetensors"]}
    run_stage(draw.run, settings_of(config, "pretrain_draw", "ernie_m"), shards, drawn, "ernie_m")
    pseudo = []
    for chunk in range(config.pretrain.backtranslate.chunks):
        made = {"pseudo": [folder / f"{chunk}.safetensors"], "stats": [folder / f"{chunk}.json"]}
        run_stage(
            backtranslate.run,
            settings_of(config, "pretrain_backtranslate", f"ernie_m/{chunk}"),
            {"model": outputs["camlm"]["model"], **drawn},
            made,
            f"ernie_m/{chunk}",
        )
        pseudo += made["pseudo"]
    given = {"init": outputs["camlm"]["model"], "pseudo": pseudo, **shards}
    run_stage(btmlm.run, settings["btmlm"], given, outputs["btmlm"], "ernie_m")
    before, after = load(started), load(outputs["btmlm"]["model"][0])
    assert after.shape == before.shape
    for name, tensor in before.state_dict().items():
        assert not torch.equal(tensor, after.state_dict()[name]), name
    curve = outputs["camlm"]["curves"][0].read_text().splitlines()
    losses = [json.loads(line)["train/camlm"] for line in curve if "train/camlm" in line]
    assert losses[-1] < losses[0]
    steps = [json.loads(outputs[s]["metrics"][0].read_text())["steps"] for s in outputs]
    assert steps == [30, 20]


def test_a_shape_that_is_not_the_source_s_is_refused(config, folder, started, source) -> None:
    own = settings_of(config, "pretrain_initialise", "ernie_m").model_copy(update={"layers": 3})
    files = [source / "model.safetensors"]
    with pytest.raises(UserError, match=r"of another architecture: .*layers\.2"):
        started_from(files, folder, own, "refused.safetensors")
