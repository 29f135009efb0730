"""Documents and pairs through the real rules, from `.txt.xz` and an OPUS zip to packed shards."""

import hashlib
import json
import lzma
import os
import random
import shutil
import zipfile

import pyarrow.parquet as parquet
import pytest
import yaml

from ernie_m.config.tokenizer import TrainSettings
from ernie_m.tokenizer import train
from ernie_m.tokenizer.bottom_k import row_counts
from ernie_m.tokenizer.quotas import quotas
from ernie_m.tokenizer.shards import read_shard
from tests.repository import Repository, copy_of_repository
from tests.tokenizer.test_train import distinct_lines

LETTERS = {"en": "abdefgiklmnoprst", "de": "abdefghiklmnorstuwzäöü"}
CONFIG = {
    "run": "shards",
    "corpora": {
        "registry": "own.yaml",
        "datasets": ["web-en", "web-de", "opus"],
        "languages": ["en", "de"],
        "pairs": ["en-de"],
        "filter": {"language_identifier": "none", "shard_bytes": 60_000},
        "select": {"valid_share": 0.1},
    },
    "tokenizer": {"train": {"vocabulary_size": 300, "sample_lines": 900, "num_threads": 1}},
    "xtreme": {"tasks": []},
    "tracking": {"uri": ""},
}


def sentence(draw, language, words=12):
    made = ["".join(draw.choice(LETTERS[language]) for _ in range(5)) for _ in range(words)]
    return " ".join(made).capitalize() + "."


def row(name, path, form, languages, size):
    facts = {"id": name, "path": str(path), "version": "1", "filename": path.name}
    facts |= {"licence": "CC0-1.0", "format": form, "languages": languages, "text_bytes": size}
    return facts | {"home": "https://example.org"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A copy in which the text was taken as far as packed shards."""
    repository = copy_of_repository(tmp_path_factory.mktemp("shards") / "repository")
    draw = random.Random(1)
    rows = []
    for language in LETTERS:
        documents = [
            "\n".join(sentence(draw, language) for _ in range(5)) + "\n" for _ in range(300)
        ]
        text = "\n".join([*documents, *documents[:20]])
        path = repository.path / f"{language}.txt.xz"
        path.write_bytes(lzma.compress(text.encode()))
        rows.append(row(f"web-{language}", path, "cc100", [language], len(text)))
    path = repository.path / "en-de.txt.zip"
    pairs = [(sentence(draw, "en"), sentence(draw, "de")) for _ in range(400)]
    with zipfile.ZipFile(path, "w") as archive:
        for place, language in enumerate(LETTERS):
            lines = "".join(pair[place] + "\n" for pair in pairs)
            archive.writestr(f"Own.en-de.{language}", lines)
    rows.append(row("opus", path, "moses", ["en", "de"], 60_001))
    (repository.path / "own.yaml").write_text(yaml.safe_dump(rows))
    (repository.path / "config/shards.yaml").write_text(yaml.safe_dump(CONFIG))
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "shards")
    repository.run("snakemake", "--cores", "2", "tokenizer", "--configfile", "config/shards.yaml")
    return repository


def test_all_text_arrives_once(shards):
    results = shards.path / "results/shards"
    found = {}
    for path in results.glob("corpora_select/*/*/*.parquet"):
        corpus = path.parts[-3]
        found.setdefault(corpus, []).extend(parquet.read_table(path)["id"].to_pylist())
    assert {corpus: len(ids) for corpus, ids in found.items()} == {
        "mono-en": 1500,
        "mono-de": 1500,
        "parallel-en-de": 400,
    }
    assert all(len(set(ids)) == len(ids) for ids in found.values())
    folders = {path.parent.name for path in (results / "tokenizer_pack/mono-en").glob("*/*")}
    assert folders == {"0", "1"}


def test_the_vocabulary_is_the_one_of_all_text_together(shards):
    """As if one job had drawn its lines."""
    results = shards.path / "results/shards"
    paths = sorted(results.glob("corpora_select/*/*/train.parquet"))
    wanted = TrainSettings(**CONFIG["tokenizer"]["train"])
    lines, sizes = distinct_lines(paths), row_counts(paths)
    drawn = quotas(sizes, wanted)
    text = [line for code, own in lines.items() for line in train.sample(own, drawn[code], 1)]
    assert len(text) == 900 < sum(sizes.values())
    model = results / "tokenizer_train/spm.model"
    assert model.read_bytes() == train._train(text, wanted)
    assert len(list(results.glob("tokenizer_sample/*/*/lines.parquet"))) == len(paths) == 6


def test_the_shards_are_what_training_reads(shards):
    paths = sorted(shards.path.glob("results/shards/tokenizer_pack/*/*/train.safetensors"))
    assert len(paths) == 6
    found = {path.parts[-3]: 0 for path in paths}
    for path in paths:
        shard = read_shard(path)
        facts = json.loads(path.with_name("manifest.json").read_text())["parts"]["train"][0]
        assert len(shard) == facts["sentences"]
        found[path.parts[-3]] += facts["tokens"]
    assert all(tokens > 1000 for tokens in found.values())


def test_what_was_packed_is_verified_back_to_the_download(shards):
    packed = "results/shards/tokenizer_pack/mono-de/1/train.safetensors"
    done = shards.run("ernie-m", "audit", packed, "--json")
    found = json.loads(done.stdout)
    assert found["verdict"] == "VERIFIED" and found["findings"] == []
    assert {job["stage"] for job in found["jobs"]} == {
        *("corpora_download", "corpora_extract", "corpora_filter", "corpora_dedup"),
        *("corpora_select", "tokenizer_quotas", "tokenizer_sample"),
        *("tokenizer_train", "tokenizer_pack"),
    }


def test_another_number_of_shards_gives_the_same_text(shards):
    before = text_of(shards)
    changed = json.loads(json.dumps(CONFIG))
    changed["corpora"]["filter"]["shard_bytes"] = 25_000
    (shards.path / "config/shards.yaml").write_text(yaml.safe_dump(changed))
    targets = [f"results/shards/corpora_select/mono-de/{k}/train.parquet" for k in range(5)]
    shards.run("snakemake", "--cores", "2", *targets, "--configfile", "config/shards.yaml")
    assert text_of(shards) == before


def text_of(repository):
    """All training rows in order."""
    folder = repository.path / "results/shards/corpora_select/mono-de"
    paths = sorted(folder.glob("*/train.parquet"), key=lambda path: int(path.parent.name))
    return [row for path in paths for row in parquet.read_table(path).to_pylist()]


def test_a_card_tells_of_each_corpus(shards):
    (shards.path / "config/shards.yaml").write_text(yaml.safe_dump(CONFIG))
    shards.run("ernie-m", "card", "--configfile", "config/shards.yaml")
    cards = shards.path / "results/shards/cards"
    assert {path.stem for path in cards.iterdir()} == {"mono-en", "mono-de", "parallel-en-de"}
    text = (cards / "mono-en.md").read_text(encoding="utf-8")
    assert "| repeated | 100 |" in text
    assert "CC0-1.0" in text and "first download is trusted" in text
    done = shards.run("ernie-m", "card", "mono-fr", check=False)
    assert done.returncode == 1 and "no corpus `mono-fr`" in done.stderr


# Above this size Snakemake goes by dates; nearly all files of the text are larger.
LIMIT = ("--max-checksum-file-size", "2KB", "--configfile", "config/shards.yaml")


def planned(repository):
    return repository.planned("tokenizer", *LIMIT)


def files_of_results(repository):
    return sorted(path for path in (repository.path / "results").rglob("*") if path.is_file())


@pytest.fixture
def settled(shards):
    """The copy with its configuration as it was made, and everything there."""
    (shards.path / "config/shards.yaml").write_text(yaml.safe_dump(CONFIG))
    shards.run("snakemake", "--cores", "2", "tokenizer", "--configfile", "config/shards.yaml")
    return shards


def test_dates_of_files_that_are_too_large_to_compare_decide_nothing(settled):
    """As git, DVC and copies leave them: in any order."""
    paths = files_of_results(settled)
    assert sum(path.stat().st_size > 2000 for path in paths) > 50
    draw = random.Random(5)
    for path in paths:
        made = 1_700_000_000 + draw.randrange(10_000)
        os.utime(path, (made, made))
    assert not planned(settled)
    for path in paths:  # restored: the same bytes in a new file
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert not planned(settled)


def test_a_copy_has_nothing_to_run(settled, tmp_path):
    copy = Repository(tmp_path / "copy")
    shutil.copytree(settled.path, copy.path, copy_function=shutil.copyfile)
    assert not planned(copy)


def test_another_byte_of_a_file_that_is_too_large_runs_what_depends_on_it(settled):
    """Told by the digests that a job leaves beside its outputs."""
    # Of the two shards that there are; another test has left more.
    shards = settled.path.glob("results/shards/corpora_filter/mono-de/[01]/rows.arrow")
    path = max(shards, key=lambda path: path.stat().st_size)
    assert path.stat().st_size > 2000
    sums = path.with_name("SHA256SUMS")
    before = sums.read_text()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{digest}  rows.arrow" in before.splitlines()
    sums.write_text(before.replace(digest, digest[::-1]))
    try:
        assert set(planned(settled)) == {
            *("corpora_dedup", "corpora_select"),
            *("tokenizer_quotas", "tokenizer_sample", "tokenizer_train", "tokenizer_pack"),
        }
    finally:
        sums.write_text(before)
    assert not planned(settled)
