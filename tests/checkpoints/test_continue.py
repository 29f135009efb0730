"""The start from an XLM-R-shaped folder, with the settings of the tiny configuration."""

import json
from pathlib import Path

import pytest
import torch
from transformers import XLMRobertaForMaskedLM

from ernie_m.config.load import read
from ernie_m.corpora.tables import write_table
from ernie_m.errors import UserError
from ernie_m.lineage.slices import settings_of
from ernie_m.model.checkpoint import load
from ernie_m.pretrain import initialise
from ernie_m.tokenizer import train
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import run_stage

from .conftest import padded, states, text

LANGUAGES = ("en", "de", "ru")
PAIRS = ("en-de", "en-ru")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """config/tiny.yaml in the shape of the source, with fewer languages."""
    overlay = tmp_path_factory.mktemp("config") / "mine.yaml"
    shape = {"width": 32, "heads": 4, "ffn": 64, "max_positions": 130, "dropout": 0.0}
    corpora = {"languages": list(LANGUAGES), "pairs": list(PAIRS)}
    overlay.write_text(json.dumps({"model": shape, "corpora": corpora}))
    return read("config/tiny.yaml", overlay)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Texts of each corpus, train and valid."""
    made = tmp_path_factory.mktemp("continue")
    for part, count, seed in (("train", 300, 1), ("valid", 30, 2)):
        ids = [f"docutils:{part}:{number}" for number in range(count)]
        for code in LANGUAGES:
            columns = {"id": ids, "text": text(code, count, seed)}
            write_table(made / f"mono-{code}-{part}.parquet", columns, [code])
        for pair in PAIRS:
            first, second = pair.split("-")
            sides = {"source": text(first, count, seed), "target": text(second, count, seed)}
            write_table(
                made / f"parallel-{pair}-{part}.parquet", {"id": ids, **sides}, [first, second]
            )
    return made


@pytest.fixture(scope="module")
def started(config, folder, source) -> Path:
    """The vocabulary, trimmed, and the model that stage 1 starts from."""
    files = [source / "model.safetensors", source / "config.json"]
    vocabulary = {"model": [folder / "spm.model"], "stats": [folder / "stats.json"]}
    given = {"text": sorted(folder.glob("*-train.parquet")), "source": files}
    run_stage(train.run, config.tokenizer.train, given, vocabulary)
    run_stage(
        initialise.run,
        settings_of(config, "pretrain_initialise", "ernie_m"),
        {"tokenizer": vocabulary["model"], "source": files},
        {"model": [folder / "initialise.safetensors"]},
    )
    return folder / "initialise.safetensors"


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


def test_a_shape_that_is_not_the_source_s_is_refused(config, folder, started, source) -> None:
    own = settings_of(config, "pretrain_initialise", "ernie_m").model_copy(update={"layers": 3})
    files = [source / "model.safetensors"]
    with pytest.raises(UserError, match=r"of another architecture: .*layers\.2"):
        run_stage(
            initialise.run,
            own,
            {"tokenizer": [folder / "spm.model"], "source": files},
            {"model": [folder / "refused.safetensors"]},
        )
