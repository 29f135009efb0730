"""Made files, read by what reads those of the publishers."""

from collections import Counter
from pathlib import Path

import pytest

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.checkpoints import Shape
from ernie_m.config.corpora import DatasetRow
from ernie_m.config.sources import load_sources
from ernie_m.corpora import extract
from ernie_m.corpora.tables import read_table
from ernie_m.corpora.text import script
from ernie_m.errors import UserError
from ernie_m.foreign.weights import read_foreign
from ernie_m.rehearse import checkpoint, corpora, tasks
from ernie_m.rehearse.words import Words
from ernie_m.xtreme.examples import published
from ernie_m.xtreme.prepare import CheckedLines
from tests.corpora.synthetic import run_stage

SOURCES = load_sources(Path("config/xtreme_sources.yaml"))
FORMATS = [
    *[("homeassistant", "home.whl"), ("cc100", "de.txt.xz")],
    *[("ccnet", "de.json.gz"), ("ccnet_text", "de.gz"), ("tmx", "en-de.tmx.gz")],
    *[("moses", "en-de.txt.zip"), ("moses", "parallel.tgz"), ("wikimatrix", "de-en.tsv.gz")],
    *[("bitext", "en-de.tsv"), ("bitext", "en-de.tsv.xz"), ("gettext", "de.po")],
    *[("gettext", "de.mo"), ("gettext", "wheel.whl"), ("table", "rows.txt")],
    *[(form, f"x.{kind}") for form in ("table", "document_table", "pair_table")
      for kind in ("jsonl", "csv", "tsv", "parquet")],
]  # fmt: skip
DOCUMENTS = ("cc100", "ccnet", "ccnet_text", "document_table")
ROWS = ("homeassistant", "table")


@pytest.mark.parametrize(("form", "filename"), FORMATS)
def test_a_dataset_is_in_its_format(form, filename, tmp_path):
    alone = form in DOCUMENTS or filename.endswith(".txt")
    languages = ("de",) if alone else ("en", "de")
    row = DatasetRow(
        id="made", path="x", version="1", filename=filename, licence="MIT", home="https://x",
        format=form, languages=languages,
    )  # fmt: skip
    content = corpora.dataset(row)
    assert content == corpora.dataset(row)
    file = tmp_path / "original"
    file.write_bytes(content)
    instance = "de" if alone or form in ROWS else "en-de"
    outputs = {name: [tmp_path / name] for name in ("rows", "stats", "bad_lines")}
    run_stage(extract.run, row.extract_settings(), {"file": [file]}, outputs, f"made/{instance}")
    assert not outputs["bad_lines"][0].read_bytes()
    texts = read_table(outputs["rows"][0], ["text"] if "-" not in instance else ["source"])[0]
    assert len(texts) >= 80


@pytest.mark.parametrize("form", ["raw", "parquet"])
def test_published_files_have_examples_of_every_language(form, tmp_path):
    read = {task for row in SOURCES.values() for task in getattr(row, form)}
    assert len(read) >= 8
    for task in map(TASKS.__getitem__, sorted(read)):
        rows = [row for row in SOURCES.values() if task.name in getattr(row, form)]
        paths = [tmp_path / name for row in rows for name in row.files]
        for path in paths:
            path.write_bytes(tasks.published(path.name))
        training = "all" if task.trains_in_all and form == "raw" else "english"
        stems = [Path(name).stem for part in task.files((), training).values() for name in part]
        found = Counter()
        for stem, lines in published(task.name, paths, stems):
            found[stem] = sum(1 for _ in CheckedLines(task, stem).through(lines))
        assert list(found) == stems and all(found.values())


def test_a_file_that_no_task_has_is_named():
    with pytest.raises(UserError, match=r"called other\.zip"):
        tasks.published("other.zip")


@pytest.mark.parametrize(
    "files",
    [
        ("model.safetensors", "config.json", "sentencepiece.bpe.model"),
        ("pytorch_model.bin", "config.json", "sentencepiece.bpe.model"),
        ("pytorch_model.bin", "config.json", "sentencepiece.bpe.model", "vocab.txt"),
        ("model_state.pdparams", "config.json", "sentencepiece.bpe.model", "vocab.txt"),
    ],
)
def test_a_checkpoint_is_read_in_every_form(files, tmp_path):
    shape = Shape(layers=3, width=16, heads=2, ffn=32)
    made = checkpoint.checkpoint(files, shape)
    assert made == checkpoint.checkpoint(files, shape)
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    found = read_foreign(tmp_path)
    assert (found.layers, found.width, found.heads, found.ffn) == (3, 16, 2, 32)
    assert found.vocabulary == list(checkpoint.pieces())
    assert ("head.bias" in found.weights) == ("vocab.txt" not in files)


def test_words_are_in_the_letters_of_their_language():
    for code, language in LANGUAGES.items():
        sentence = Words(code, "x").sentence()
        assert {script(letter) for letter in sentence if letter.isalpha()} <= language.scripts
        assert sentence == Words(code, "x").sentence() != Words(code, "y").sentence()
