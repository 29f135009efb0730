"""One tiny run from text of every kind and from a checkpoint of others to the report.

The text is n-way rows of others and of one's own, documents and pairs; the checkpoint an XLM-R of
random weights on the loopback device, killed while it is fetched and started again.
"""

import io
import json
import lzma
import os
import random
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
import yaml

from ernie_m.config.load import deep_merge
from ernie_m.model.checkpoint import load
from ernie_m.records.digest import file_sha256
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import sentence, write_wheel
from tests.loopback import Publisher
from tests.repository import ROOT, copy_of_repository

from .conftest import padded, states, text

CODES = ("en", "de")
TASKS = ["standin_retrieval", "standin_paraphrase", "standin_qa"]
FACTS = {"version": "1", "licence": "CC0-1.0", "home": "https://example.org"}
# What the test of a stand-in says, in the web's words.
LEAK = sentence("de", range(40, 52))

INIT = "xlmr-tiny"
FILES = ("model.safetensors", "config.json", "sentencepiece.bpe.model")
ROW = Path("results/checkpoints_download") / INIT
RUN = Path("results/mixed")
COMMAND = ("snakemake", "--cores", "2", "--configfile", "config/mixed.yaml")
SMALL = {
    "run": "mixed",
    "init": INIT,
    "checkpoints": {"registry": "weights.yaml"},
    "corpora": {
        "registry": "own.yaml",
        **{"languages": list(CODES), "pairs": ["en-de"]},
        # Words are invented.
        "filter": {"language_identifier": "none", "shard_bytes": 80_000},
    },
    "tokenizer": {"train": {"trim": False}},
    "model": {"heads": 4, "max_positions": 130, "pair_positions": "continuous"},
    "pretrain": {"backtranslate": {"chunks": 1}},
    "xtreme": {
        **{"tasks": TASKS, "stages": ["btmlm"]},
        # No more than the checkpoint has positions for.
        "finetune": {"max_tokens": 128, "max_query_tokens": 32, "stride": 16},
    },
    "tracking": {"uri": ""},
}


def said(draw, code, words=12):
    return sentence(code, [draw.randrange(625) for _ in range(words)])


def own_table(path):
    """Sentences of a user's own in groups of five; every other group says ``LEAK`` in German."""
    draw = random.Random(2)
    rows = []
    for number in range(600):
        made = {code: said(draw, code, 9) for code in CODES}
        made |= {"de": LEAK} if number % 10 == 0 else {}
        rows.append({"id": str(number), "group": f"book:{number // 5}", **made})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"format": "table", "languages": list(CODES)}


def web(path):
    """CC-100's form: a paragraph a line, an empty line between documents; one holds ``LEAK``."""
    draw = random.Random(3)
    documents = [[said(draw, "de") for _ in range(4)] for _ in range(200)]
    documents[7].append(LEAK)
    content = "\n\n".join("\n".join(document) for document in documents) + "\n"
    path.write_bytes(lzma.compress(content.encode()))
    return {"format": "cc100", "languages": ["de"], "text_bytes": len(content)}


def opus(path):
    """OPUS's zip in Moses form."""
    draw = random.Random(4)
    pairs = [[said(draw, code) for code in CODES] for _ in range(300)]
    with zipfile.ZipFile(path, "w") as archive:
        for place, code in enumerate(CODES):
            lines = "".join(f"{pair[place]}\n" for pair in pairs)
            archive.writestr(f"Own.de-en.{code}", lines)
    return {"format": "moses", "languages": list(CODES), "text_bytes": 60_000}


def wheel(path):
    return {"format": "homeassistant", "languages": list(CODES), "path": str(write_wheel(path))}


DATASETS = {"wheel": wheel, "own.jsonl": own_table, "de.txt.xz": web, "de-en.txt.zip": opus}
IDS = [name.split(".")[0] for name in DATASETS]


def dataset(folder, name):
    """The row of a dataset that is made in the folder."""
    path = folder / name
    row = {"id": name.split(".")[0], "path": str(path), "filename": name, **FACTS}
    return row | DATASETS[name](path)


def checkpoint(address, source):
    """The row of the checkpoint, of which only the weights are pinned."""
    pinned = {FILES[0]: {"sha256": file_sha256(source / FILES[0])}}
    return {
        **{"id": INIT, "url": f"{address}/{{version}}/{{file}}"},
        "files": {name: {} for name in FILES} | pinned,
        "shape": {"layers": 2, "width": 32, "heads": 4, "ffn": 64},
        "pieces": Tokenizer(source / FILES[2]).size,
        **FACTS,
    }


@pytest.fixture(scope="module")
def publisher(source):
    with Publisher(source) as started:
        yield started


@pytest.fixture(scope="module")
def planned(source, publisher, tmp_path_factory):
    """A copy with the tiny sizes' configuration of all four datasets and the checkpoint."""
    made = copy_of_repository(tmp_path_factory.mktemp("mixed") / "repository")
    config = yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8"))
    config = deep_merge(config, SMALL)
    config["corpora"]["datasets"] = IDS
    config["variants"] = {}
    contents = {
        "own.yaml": [dataset(made.path, name) for name in DATASETS],
        "weights.yaml": [checkpoint(publisher.address, source)],
        "config/mixed.yaml": config,
    }
    for name, content in contents.items():
        (made.path / name).write_text(yaml.safe_dump(content))
    made.git("add", ".")
    made.git("commit", "-q", "-m", "mixed")
    return made


@pytest.fixture(scope="module")
def kept(planned, publisher):
    """The run, killed when half of the weights were fetched; the bytes that it left of them."""
    half = (publisher.folder / FILES[0]).stat().st_size // 2
    publisher.stalls[FILES[0]] = half
    command = {"cwd": planned.path, "env": planned.environment, "start_new_session": True}
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen(COMMAND, **command, **nowhere)
    name = str(ROW / FILES[0]).replace("/", "+")
    part = planned.path / f"work/downloads/{name}.part"
    deadline = time.monotonic() + 300  # slow machines are no fault
    while not part.is_file() or part.stat().st_size < half - io.DEFAULT_BUFFER_SIZE:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (planned.path / ROW / FILES[0]).exists()
    return part.stat().st_size


@pytest.fixture(scope="module")
def mixed(planned, kept):
    """The copy in which the killed run went on up to the report."""
    planned.run(*COMMAND)
    return planned


@pytest.fixture(scope="module")
def fetched(mixed):
    """The folder of the checkpoint."""
    return mixed.path / ROW


def selected(repository, corpus, part="train"):
    """Selected rows by shard."""
    folder = repository.path / RUN / "corpora_select" / corpus
    return {
        path.parent.name: parquet.read_table(path).to_pylist()
        for path in sorted(folder.glob(f"*/{part}.parquet"))
    }


def test_a_corpus_has_the_text_of_every_dataset_that_holds_it(mixed):
    found = {
        corpus: {
            row["id"].split(":")[0] for rows in selected(mixed, corpus).values() for row in rows
        }
        for corpus in ("mono-en", "mono-de", "parallel-en-de")
    }
    assert found == {
        "mono-en": {"wheel", "own"},
        "mono-de": {"wheel", "own", "de"},
        "parallel-en-de": {"wheel", "own", "de-en"},
    }
    assert set(selected(mixed, "mono-de")) == {"0", "1", "dealt"}
    assert set(selected(mixed, "mono-en")) == {"dealt"}


def test_what_a_held_out_row_says_is_in_no_training_text(mixed):
    """The own table says it in groups that are held out, and so does a page of the web."""
    folder = mixed.path / RUN
    tests = parquet.read_table(folder / "corpora_deal/rows-test-de.parquet")["text"].to_pylist()
    assert LEAK in tests
    for corpus, side in (("mono-de", "text"), ("parallel-en-de", "target")):
        rows = [row for shard in selected(mixed, corpus).values() for row in shard]
        assert LEAK not in {row[side] for row in rows}
    stats = [
        json.loads(path.read_text()) for path in folder.glob("corpora_select/mono-de/*/stats.json")
    ]
    assert sum(own["dropped"].get("evaluation text", 0) for own in stats) == 1


def test_tasks_are_made_of_rows_of_both_kinds(mixed):
    path = mixed.path / RUN / "xtreme_prepare/standin_retrieval/test-de.jsonl"
    ids = [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert {name.split(":")[0] for name in ids} == {"wheel", "own"}


def test_the_killed_download_went_on(fetched, kept, publisher):
    weights = [wanted for name, wanted in publisher.asked if name == FILES[0]]
    assert weights == [None, f"bytes={kept}-"] and kept > 0
    for name in FILES:
        assert (fetched / name).read_bytes() == (publisher.folder / name).read_bytes()
    assert not list(fetched.glob(".partial-*"))


def test_the_record_tells_how_each_digest_was_known(fetched):
    record = json.loads((fetched / "record.json").read_text())
    assert record["run"]["sha256_from"] == {
        FILES[0]: "registry",
        **dict.fromkeys(FILES[1:], "first use"),
    }
    (files,) = record["facts"]["outputs"].values()
    assert {file["path"]: file["sha256"] for file in files} == {
        (ROW / name).as_posix(): file_sha256(fetched / name) for name in FILES
    }


def test_the_model_that_stage_1_starts_from_is_the_checkpoint_s(mixed, source):
    """All pieces stay; what the model computes is what XLM-R's classes do."""
    from transformers import XLMRobertaForMaskedLM

    run = mixed.path / RUN
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


def test_the_report_is_verified_to_every_download(mixed):
    done = mixed.run("ernie-m", "audit", str(RUN / "report_build/report.html"), "--json")
    found = json.loads(done.stdout)
    assert found["verdict"] == "VERIFIED" and found["seen_text"]["compared"]
    assert {source["id"] for source in found["sources"]} == {*IDS, INIT}


def test_the_audit_walks_from_the_scores_to_the_checkpoint_s_files(mixed):
    told = mixed.run("ernie-m", "audit", str(RUN / "report_build/scores.csv"), "--full").stdout
    assert "VERIFIED" in told
    for stage in ("checkpoints_download", "pretrain_adopt", "pretrain_camlm", "pretrain_btmlm"):
        assert stage in told


def test_another_shape_is_refused_before_anything_is_fetched(planned):
    done = planned.run(*COMMAND, "--dry-run", "--config", "model={layers: 3}", check=False)
    assert done.returncode == 1
    assert f"`model.layers` is 3, but `{INIT}`" in done.stdout + done.stderr
