"""A tiny run from a row of the registry to the report: an XLM-R of random weights on the loopback
device, killed while it is fetched and started again."""

import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml

from ernie_m.config.load import deep_merge
from ernie_m.model.checkpoint import load
from ernie_m.records.digest import file_sha256
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import write_wheel
from tests.loopback import Publisher
from tests.repository import copy_of_repository

from .conftest import padded, states, text

FILES = ("model.safetensors", "config.json", "sentencepiece.bpe.model")
ROW = Path("results/checkpoints_download/xlmr-tiny")
RUN = Path("results/tiny")
FACTS = {"version": "v1", "licence": "MIT", "home": "https://example.org"}
SMALL = {
    "init": "xlmr-tiny",
    "checkpoints": {"registry": "config/own.yaml"},
    "corpora": {
        **{"registry": "config/text.yaml", "datasets": ["wheel"]},
        **{"languages": ["en", "de"], "pairs": ["en-de"]},
        "filter": {"language_identifier": "none"},  # words are invented
    },
    "model": {"heads": 4, "max_positions": 130, "pair_positions": "continuous"},
    "tokenizer": {"train": {"trim": False}},
    "pretrain": {"backtranslate": {"chunks": 1}},
    "tracking": {"uri": ""},
    "xtreme": {"tasks": ["standin_retrieval"], "stages": ["btmlm"]},
}
COMMAND = ("snakemake", "--cores", "2", "--configfile", "config/tiny.yaml")


def registry(path: Path, address: str, source: Path) -> None:
    """A registry with one row, of which only the weights are pinned."""
    row = {
        **{"id": "xlmr-tiny", "url": f"{address}/{{version}}/{{file}}"},
        "files": {name: {} for name in FILES}
        | {FILES[0]: {"sha256": file_sha256(source / FILES[0])}},
        "shape": {"layers": 2, "width": 32, "heads": 4, "ffn": 64},
        "pieces": Tokenizer(source / FILES[2]).size,
        **FACTS,
    }
    path.write_text(json.dumps([row]))


@pytest.fixture(scope="module")
def publisher(source):
    with Publisher(source) as started:
        yield started


@pytest.fixture(scope="module")
def repository(source, publisher, tmp_path_factory):
    """A copy whose tiny configuration starts from the row."""
    made = copy_of_repository(tmp_path_factory.mktemp("start") / "repository")
    registry(made.path / "config/own.yaml", publisher.address, source)
    wheel = {"id": "wheel", "path": str(write_wheel(made.path / "wheel")), "filename": "wheel"}
    wheel |= {"format": "homeassistant", "languages": ["en", "de"], **FACTS}
    (made.path / "config/text.yaml").write_text(json.dumps([wheel]))
    tiny = made.path / "config/tiny.yaml"
    shipped = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    del shipped["variants"]
    tiny.write_text(yaml.safe_dump(deep_merge(shipped, SMALL)), encoding="utf-8")
    made.git("add", ".")
    made.git("commit", "-q", "-m", "start")
    return made


@pytest.fixture(scope="module")
def kept(repository, publisher):
    """The run, killed when half of the weights were fetched, and run again; what was kept of
    them."""
    half = (publisher.folder / FILES[0]).stat().st_size // 2
    publisher.stalls[FILES[0]] = half
    command = {"cwd": repository.path, "env": repository.environment, "start_new_session": True}
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen(COMMAND, **command, **nowhere)
    name = str(ROW / FILES[0]).replace("/", "+")
    part = repository.path / f"work/downloads/{name}.part"
    deadline = time.monotonic() + 300  # slow machines are no fault
    while not part.is_file() or part.stat().st_size < half - io.DEFAULT_BUFFER_SIZE:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    size = part.stat().st_size
    assert not (repository.path / ROW / FILES[0]).exists()
    repository.run(*COMMAND)
    return size


@pytest.fixture(scope="module")
def fetched(repository, kept):
    """The folder of the row."""
    return repository.path / ROW


def test_the_killed_download_went_on(fetched, kept, publisher) -> None:
    weights = [wanted for name, wanted in publisher.asked if name == FILES[0]]
    assert weights == [None, f"bytes={kept}-"] and kept > 0
    for name in FILES:
        assert (fetched / name).read_bytes() == (publisher.folder / name).read_bytes()
    assert not list(fetched.glob(".partial-*"))


def test_the_audit_walks_from_the_scores_to_the_row_s_files(repository, fetched) -> None:
    told = repository.run("ernie-m", "audit", str(RUN / "report_build/scores.csv"), "--full").stdout
    assert "VERIFIED" in told
    for stage in ("checkpoints_download", "pretrain_adopt", "pretrain_camlm", "pretrain_btmlm"):
        assert stage in told


def test_the_record_tells_how_each_digest_was_known(fetched) -> None:
    record = json.loads((fetched / "record.json").read_text())
    assert record["run"]["sha256_from"] == {
        FILES[0]: "registry",
        **dict.fromkeys(FILES[1:], "first use"),
    }
    (files,) = record["facts"]["outputs"].values()
    assert {file["path"]: file["sha256"] for file in files} == {
        (ROW / name).as_posix(): file_sha256(fetched / name) for name in FILES
    }


def test_the_model_that_stage_1_starts_from_is_the_row_s(repository, fetched, source) -> None:
    """All pieces stay; what the model computes is what XLM-R's classes do."""
    from transformers import XLMRobertaForMaskedLM

    run = repository.path / RUN
    vocabulary = run / "tokenizer_train/spm.model"
    assert vocabulary.read_bytes() == (source / FILES[2]).read_bytes()
    model = load(run / "pretrain_adopt/ernie_m/model.safetensors")
    documents = [[0, *ids, 2] for ids in Tokenizer(vocabulary).encode(text("de", 5, seed=1))]
    oracle = XLMRobertaForMaskedLM.from_pretrained(source).eval()
    with torch.no_grad():
        found = oracle(**padded(documents), output_hidden_states=True).hidden_states[-1]
    hidden, _ = states(model, documents, [1] * 5, alone=False)
    for number, ids in enumerate(documents):
        torch.testing.assert_close(
            found[number, : len(ids)], hidden[-1][number], rtol=0.0, atol=1e-5
        )


def test_another_shape_is_refused_before_anything_is_fetched(repository) -> None:
    done = repository.run(*COMMAND, "--dry-run", "--config", "model={layers: 3}", check=False)
    assert done.returncode == 1
    assert "`model.layers` is 3, but `xlmr-tiny`" in done.stdout + done.stderr
