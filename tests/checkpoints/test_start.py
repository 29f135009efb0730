"""From a row of the registry to the model that stage 1 starts from: an XLM-R of random weights on
the loopback device, fetched by a job that is killed half-way and started again."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ernie_m.config.load import read
from ernie_m.errors import UserError
from ernie_m.model.checkpoint import load
from ernie_m.pipeline.stages import settings_of, settings_text
from ernie_m.records.digest import file_sha256
from ernie_m.tokenizer import train
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import run_stage
from tests.loopback import Publisher
from tests.repository import ROOT

from .conftest import padded, started_from, states, text

FILES = ("model.safetensors", "config.json", "sentencepiece.bpe.model")
ROW = Path("results/checkpoints_download/xlmr-tiny")


def registry(path: Path, address: str, source: Path) -> None:
    """A registry with one row, of which only the weights are pinned."""
    row = {
        **{"id": "xlmr-tiny", "url": f"{address}/{{version}}/{{file}}", "version": "v1"},
        "files": {name: {} for name in FILES}
        | {FILES[0]: {"sha256": file_sha256(source / FILES[0])}},
        "shape": {"layers": 2, "width": 32, "heads": 4, "ffn": 64},
        "pieces": Tokenizer(source / FILES[2]).size,
        **{"licence": "MIT", "home": "https://example.org/xlmr"},
    }
    path.write_text(json.dumps([row]))


@pytest.fixture(scope="module")
def config(source, publisher, place):
    """config/tiny.yaml that starts from the row, with the whole vocabulary."""
    registry(place / "own.yaml", publisher.address, source)
    shape = {"heads": 4, "max_positions": 130, "pair_positions": "continuous"}
    (place / "overlay.yaml").write_text(
        json.dumps(
            {
                "init": "xlmr-tiny",
                "checkpoints": {"registry": str(place / "own.yaml")},
                "model": shape,
                "tokenizer": {"train": {"trim": False}},
            }
        )
    )
    return read("config/tiny.yaml", place / "overlay.yaml")


@pytest.fixture(scope="module")
def publisher(source):
    with Publisher(source) as started:
        yield started


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("start")


def job(config, place, **more: str) -> subprocess.Popen:
    """The download as its rule calls it, in ``place``."""
    words = ["--instance", "xlmr-tiny"]
    words += ["--settings", settings_text(config, "checkpoints_download", "xlmr-tiny")]
    words += ["--output", "files", *(str(ROW / name) for name in FILES)]
    words += ["--record", str(ROW / "record.json")]
    return subprocess.Popen(
        [sys.executable, "-m", "ernie_m.checkpoints.download", *words],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def fetched(config, publisher, place):
    """The folder of the row; what was kept of the weights by the job that was killed."""
    half = (publisher.folder / FILES[0]).stat().st_size // 2
    publisher.stalls[FILES[0]] = half
    killed = job(config, place)
    part = place / "work/downloads/results+checkpoints_download+xlmr-tiny+model.safetensors.part"
    deadline = time.monotonic() + 300  # slow machines are no fault
    while not part.is_file() or part.stat().st_size < half - io.DEFAULT_BUFFER_SIZE:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kept = part.stat().st_size
    assert not (place / ROW / FILES[0]).exists()
    again = job(config, place)
    told, _ = again.communicate(timeout=300)
    assert again.returncode == 0, told
    return place / ROW, kept


def test_the_killed_download_went_on(fetched, publisher) -> None:
    folder, kept = fetched
    weights = [wanted for name, wanted in publisher.asked if name == FILES[0]]
    assert weights == [None, f"bytes={kept}-"] and kept > 0
    for name in FILES:
        assert (folder / name).read_bytes() == (publisher.folder / name).read_bytes()
    assert not list(folder.glob(".partial-*"))


def test_the_record_tells_how_each_digest_was_known(fetched) -> None:
    folder, _ = fetched
    record = json.loads((folder / "record.json").read_text())
    assert record["run"]["sha256_from"] == {
        FILES[0]: "registry",
        **dict.fromkeys(FILES[1:], "first use"),
    }
    (files,) = record["facts"]["outputs"].values()
    assert {file["path"]: file["sha256"] for file in files} == {
        (ROW / name).as_posix(): file_sha256(folder / name) for name in FILES
    }


def test_the_model_that_stage_1_starts_from_is_the_row_s(config, fetched, source, place) -> None:
    """All pieces stay; what the model computes is what XLM-R's classes do."""
    from transformers import XLMRobertaForMaskedLM

    folder, _ = fetched
    files = [folder / name for name in config.checkpoint.names]
    made = {"model": [place / "spm.model"], "stats": [place / "stats.json"]}
    run_stage(train.run, config.tokenizer.train, {"text": [], "source": files}, made)
    assert made["model"][0].read_bytes() == (source / FILES[2]).read_bytes()
    model = started_from(files, place, settings_of(config, "pretrain_initialise", "ernie_m"))
    tokenizer = Tokenizer(place / "spm.model")
    documents = [[0, *ids, 2] for ids in tokenizer.encode(text("de", 5, seed=1))]
    oracle = XLMRobertaForMaskedLM.from_pretrained(source).eval()
    with torch.no_grad():
        found = oracle(**padded(documents), output_hidden_states=True).hidden_states[-1]
    hidden, _ = states(load(model), documents, [1] * 5, alone=False)
    for number, ids in enumerate(documents):
        torch.testing.assert_close(
            found[number, : len(ids)], hidden[-1][number], rtol=0.0, atol=1e-5
        )


def test_offline_it_says_what_to_do(config, place) -> None:
    elsewhere = place / "offline"
    elsewhere.mkdir()
    done = job(config, elsewhere, ERNIE_M_OFFLINE="1")
    told, _ = done.communicate(timeout=300)
    assert done.returncode == 1
    assert "Checkpoint `xlmr-tiny`: model.safetensors is not here" in told
    assert "name the folder that has all files in `init`" in told


def test_another_shape_is_refused_before_anything_is_fetched(config, place) -> None:
    (place / "wrong.yaml").write_text(json.dumps({"model": {"layers": 3}}))
    with pytest.raises(UserError, match=r"`model.layers` is 3, but `xlmr-tiny`.* has 2"):
        read("config/tiny.yaml", place / "overlay.yaml", place / "wrong.yaml")
