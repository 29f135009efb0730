"""`config/released.yaml` at small size: an ERNIE-M of random weights on the loopback device, taken
through two tasks in their publishers' formats, from the download to report, card and audit; nothing
is trained before the tasks."""

import io
import json
import random
import tarfile
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.load import deep_merge
from ernie_m.records.digest import file_sha256
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.xtreme.tasks.tatoeba import CODES
from tests.loopback import Publisher
from tests.repository import copy_of_repository, jobs_in

from .conftest import text
from .test_foreign import ERNIE_CONFIG, ernie_weights, folder_with

FILES = ("model.safetensors", "config.json", "sentencepiece.bpe.model", "vocab.txt")
ROW = "results/checkpoints_download/ernie-tiny"
EXPORT = "results/released/checkpoints_export/hf/none/pretrain_adopt/ernie_m"
SCORE = "xtreme/pawsx/de/accuracy"
# Spelt as ERNIE-M's vocab.txt has them.
SPECIAL = {"<s>": "[CLS]", "<pad>": "[PAD]", "</s>": "[SEP]", "<unk>": "[UNK]", "<mask>": "[MASK]"}


def ernie(folder: Path, vocabulary: Path) -> None:
    """A folder as the hub's port has it; the rows of the table in another order than the pieces."""
    tokenizer = Tokenizer(vocabulary)
    folder_with(folder, vocabulary, ERNIE_CONFIG, ernie_weights(tokenizer.size))
    order = random.Random(1).sample(range(tokenizer.size), tokenizer.size)
    listed = [tokenizer.piece(row) for row in order]
    (folder / "vocab.txt").write_text("".join(f"{SPECIAL.get(one, one)}\n" for one in listed))
    weights = load_file(folder / "model.safetensors")
    word = "embeddings.word_embeddings.weight"
    moved = weights[word][order].contiguous()
    save_file(weights | {word: moved}, folder / "model.safetensors")


def pawsx(folder: Path) -> None:
    """The archive: pairs of the same words, in one order or in two."""
    with tarfile.open(folder / "x-final.tar.gz", "w:gz") as archive:
        for language in TASKS["pawsx"].languages:
            draw = random.Random(language)
            for name, count in (("train", 24), ("dev_2k", 12), ("test_2k", 12)):
                lines = ["id\tsentence1\tsentence2\tlabel"]
                for number, one in enumerate(text("en", count, seed=draw.randrange(1000))):
                    same = number % 2
                    other = one if same else " ".join(reversed(one.split()))
                    lines.append(f"{number}\t{' '.join(one.split())}\t{other.strip()}\t{same}")
                content = "\n".join(lines).encode() + b"\n"
                info = tarfile.TarInfo(f"x-final/{language}/{name}.tsv")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def tatoeba(folder: Path) -> None:
    """Twelve sentences a language; the translation is the sentence, spelt backwards."""
    for code in CODES.values():
        english = [f"{line.split()[0]} {number}" for number, line in enumerate(text("en", 12))]
        for side, lines in (("eng", english), (code, [line[::-1] for line in english])):
            path = folder / f"tatoeba.{code}-eng.{side}"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def configure(repository, address: str) -> None:
    """The shipped configuration with a smaller encoder, fewer tasks and one seed."""
    folder = repository.path
    released = yaml.safe_load((folder / "config/released.yaml").read_text(encoding="utf-8"))
    shape = {"layers": 2, "width": 8, "heads": 2, "ffn": 16}
    row = {
        **{"id": "ernie-tiny", "url": f"{address}/{{version}}/{{file}}", "version": "main"},
        **{"files": {name: {} for name in FILES}, "shape": shape},
        "pieces": Tokenizer(folder / "published" / FILES[2]).size,
        **{"licence": "Apache-2.0", "home": "https://example.org/ernie", "note": "A port."},
    }
    sources = yaml.safe_load((folder / "config/xtreme_sources.yaml").read_text(encoding="utf-8"))
    for source in sources:
        source["files"] = {name: {} for name in source["files"]}
    small = {
        "init": "ernie-tiny",
        "checkpoints": {"registry": "config/own_checkpoints.yaml"},
        "model": shape | {"max_positions": 40},
        "tracking": {"uri": ""},
        "xtreme": {
            **{"registry": "config/own_sources.yaml", "tasks": ["pawsx", "tatoeba"]},
            **{"seeds": [1], "local": {"pawsx": "tasks", "tatoeba": "tasks"}},
            "score": {"min_examples": 1},
            "per_task": {"pawsx": {"epochs": 1, "max_tokens": 38}},
        },
    }
    for name, content in (
        ("own_checkpoints", [row]),
        ("own_sources", sources),
        ("released", deep_merge(released, small)),
    ):
        path = folder / "config" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def run(vocabulary, tmp_path_factory):
    """The whole run, in a copy of the repository."""
    repository = copy_of_repository(tmp_path_factory.mktemp("released") / "repository")
    ernie(repository.path / "published", vocabulary)
    (repository.path / "tasks").mkdir()
    pawsx(repository.path / "tasks")
    tatoeba(repository.path / "tasks")
    with Publisher(repository.path / "published") as publisher:
        configure(repository, publisher.address)
        repository.git("add", ".")
        repository.git("commit", "-q", "-m", "released")
        repository.log = repository.run(
            "snakemake", "--cores", "2", "--configfile", "config/released.yaml"
        ).stderr
    return repository


def test_nothing_is_trained_before_the_tasks_and_no_text_is_read(run) -> None:
    stages = set(jobs_in(run.log)) - {"xtreme_align"}
    assert {name for name in stages if not name.startswith("xtreme")} == {
        *("checkpoints_download", "tokenizer_train", "pretrain_initialise", "pretrain_adopt"),
        *("report_build", "checkpoints_export"),
    }


def test_every_piece_is_kept(run) -> None:
    made = run.path / "results/released/tokenizer_train/spm.model"
    assert made.read_bytes() == (run.path / "published" / FILES[2]).read_bytes()


def test_the_audit_walks_from_a_score_to_the_released_files(run) -> None:
    told = json.loads(run.run("ernie-m", "audit", SCORE, "--run", "released", "--json").stdout)
    assert told["verdict"] == "VERIFIED" and told["findings"] == []
    sources = {source["file"]: source for source in told["sources"]}
    for name in FILES:
        own = sources[f"{ROW}/{name}"]
        assert own["recorded"] == own["observed"] == file_sha256(run.path / "published" / name)
        assert own["url"].endswith(f"/main/{name}")
    assert {key["key"]: key["value"] for key in told["keys"]}["init"] == "ernie-tiny"


def test_what_was_changed_in_the_folder_is_found_out(run) -> None:
    path = run.path / ROW / FILES[3]
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    told = run.run("ernie-m", "audit", SCORE, "--run", "released", check=False).stdout
    path.write_bytes(before)
    assert "TAMPERED" in told and f"{ROW}/{FILES[3]}" in told


def test_the_report_sets_the_scores_beside_the_published_ones(run) -> None:
    page = (run.path / "results/released/report_build/report.html").read_text(encoding="utf-8")
    assert "As released" in page and "Untrained" not in page
    assert "ERNIE-M large, trained on English" in page  # published for PAWS-X
    for name in FILES:
        assert file_sha256(run.path / ROW / name) in page
    assert "https://example.org/ernie" in page and "A port." in page
    averages = json.loads((run.path / "results/released/report_build/metrics.json").read_text())
    assert averages["pawsx"]["initialise"] > 0 and averages["valid_loss"] == {}


def test_the_export_is_of_the_released_weights_and_says_so(run) -> None:
    card = (run.path / EXPORT / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card
    assert "https://example.org/ernie" in card and "no pre-training" in card
    assert "CAMLM" not in card.partition("## Citation")[0]
    assert "VERIFIED at export" in " ".join(card.split())


def test_a_second_call_has_nothing_to_do(run) -> None:
    assert not run.planned("--configfile", "config/released.yaml")
