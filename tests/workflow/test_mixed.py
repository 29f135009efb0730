"""Text of every kind in one run: n-way rows of others and of one's own, documents and pairs."""

import json
import lzma
import random
import zipfile
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml

from ernie_m.config.load import deep_merge
from tests.corpora.synthetic import sentence, write_wheel
from tests.repository import ROOT, copy_of_repository

CODES = ("en", "de")
TASKS = ["standin_retrieval", "standin_paraphrase", "standin_qa"]
FACTS = {"version": "1", "licence": "CC0-1.0", "home": "https://example.org"}
# What the test of a stand-in says, in the web's words.
LEAK = sentence("de", range(40, 52))


def text(draw, code, words=12):
    return sentence(code, [draw.randrange(625) for _ in range(words)])


def own_table(path):
    """Sentences of a user's own in groups of five; every other group says ``LEAK`` in German."""
    draw = random.Random(2)
    rows = []
    for number in range(600):
        made = {code: text(draw, code, 9) for code in CODES}
        made |= {"de": LEAK} if number % 10 == 0 else {}
        rows.append({"id": str(number), "group": f"book:{number // 5}", **made})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"format": "table", "languages": list(CODES)}


def web(path):
    """CC-100's form: a paragraph a line, an empty line between documents; one holds ``LEAK``."""
    draw = random.Random(3)
    documents = [[text(draw, "de") for _ in range(4)] for _ in range(200)]
    documents[7].append(LEAK)
    content = "\n\n".join("\n".join(document) for document in documents) + "\n"
    path.write_bytes(lzma.compress(content.encode()))
    return {"format": "cc100", "languages": ["de"], "text_bytes": len(content)}


def opus(path):
    """OPUS's zip in Moses form."""
    draw = random.Random(4)
    pairs = [[text(draw, code) for code in CODES] for _ in range(300)]
    with zipfile.ZipFile(path, "w") as archive:
        for place, code in enumerate(CODES):
            lines = "".join(f"{pair[place]}\n" for pair in pairs)
            archive.writestr(f"Own.de-en.{code}", lines)
    return {"format": "moses", "languages": list(CODES), "text_bytes": 60_000}


def wheel(path):
    return {"format": "homeassistant", "languages": list(CODES), "path": str(write_wheel(path))}


DATASETS = {"wheel": wheel, "own.jsonl": own_table, "de.txt.xz": web, "de-en.txt.zip": opus}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A copy in which a run of the tiny sizes was made of all four, up to the report."""
    repository = copy_of_repository(tmp_path_factory.mktemp("mixed") / "repository")
    rows = []
    for name, make in DATASETS.items():
        path = repository.path / name
        row = {"id": name.split(".")[0], "path": str(path), "filename": name, **FACTS}
        rows.append(row | make(path))
    (repository.path / "own.yaml").write_text(yaml.safe_dump(rows))
    config = yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8"))
    config = deep_merge(config, {
        "run": "mixed",
        "corpora": {
            "registry": "own.yaml",
            "datasets": [row["id"] for row in rows],
            "languages": list(CODES),
            "pairs": ["en-de"],
            "filter": {"language_identifier": "none", "shard_bytes": 80_000},
        },
        "tokenizer": {"train": {"vocabulary_size": 400, "num_threads": 1}},
        "xtreme": {"tasks": TASKS, "stages": ["btmlm"]},
        "pretrain": {"backtranslate": {"chunks": 1}},
        "tracking": {"uri": ""},
    })  # fmt: skip
    config["variants"] = {}
    (repository.path / "config/mixed.yaml").write_text(yaml.safe_dump(config))
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "mixed")
    repository.run("snakemake", "--cores", "2", "--configfile", "config/mixed.yaml")
    return repository


def selected(repository, corpus, part="train"):
    """Selected rows by shard."""
    folder = repository.path / "results/mixed/corpora_select" / corpus
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
    folder = mixed.path / "results/mixed"
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
    path = mixed.path / "results/mixed/xtreme_prepare/standin_retrieval/test-de.jsonl"
    ids = [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert {name.split(":")[0] for name in ids} == {"wheel", "own"}


def test_the_report_is_verified_to_every_download(mixed):
    done = mixed.run("ernie-m", "audit", "results/mixed/report_build/report.html", "--json")
    found = json.loads(done.stdout)
    assert found["verdict"] == "VERIFIED" and found["seen_text"]["compared"]
    assert {source["id"] for source in found["sources"]} == {
        Path(name).name.split(".")[0] for name in DATASETS
    }
