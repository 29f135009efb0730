"""An export is a job with a record, and a card that its lineage tells; the commands read any."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
import torch
import yaml
from markdown_it import MarkdownIt

from ernie_m import cli
from ernie_m.checkpoints import card, command
from ernie_m.checkpoints.forms import files_of_form
from ernie_m.config.export import ExportSettings
from ernie_m.errors import UserError
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import save
from ernie_m.records.digest import file_sha256
from ernie_m.records.record import File, Record, seal
from ernie_m.report.evidence import Evidence
from ernie_m.use import align, embed, fill_mask, translate_tokens
from ernie_m.use.common import Model, Text

MODEL = "results/default/pretrain_btmlm/ernie_m"


@pytest.fixture
def run(model, vocabulary, tmp_path, monkeypatch) -> Path:
    """A run's folder with a checkpoint and its vocabulary, without records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(command.__file__).parents[2]))
    Path(MODEL).mkdir(parents=True)
    save(Path(MODEL, "model.safetensors"), model, model.shape, {"stage": "btmlm"})
    Path("results/default/tokenizer_train").mkdir()
    Path("results/default/tokenizer_train/spm.model").write_bytes(vocabulary.read_bytes())
    return tmp_path


def test_an_export_has_a_record_and_a_card(run, capsys) -> None:
    assert cli.main(["export", "hf", MODEL, "--language", "de"]) == 0
    folder = Path("results/default/checkpoints_export/hf/de/pretrain_btmlm/ernie_m")
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    named = files_of_form("hf")
    record = json.loads((folder / "record.json").read_text())
    assert record["seal"] == seal(record) and record["module"] == "ernie_m.checkpoints.export"
    for name, files in named.items():
        recorded = record["facts"]["outputs"][name]
        assert [Path(file["path"]).name for file in recorded] == [Path(f).name for f in files]
        assert all(file_sha256(Path(file["path"])) == file["sha256"] for file in recorded)
    (read,) = record["facts"]["inputs"]["model"]
    assert read["sha256"] == file_sha256(Path(MODEL, "model.safetensors"))
    page = (folder / "README.md").read_text()
    assert "language: [en, de, ru]" in page and read["sha256"] in page
    assert "the default, is `de`" in page and "No record of the text" in page
    assert not list(folder.glob(".partial*"))


def test_the_card_has_each_download_s_digest_and_each_remark_once() -> None:
    def downloaded(name: str) -> Record:
        row = {"id": name, "version": "1", "licence": "CC0-1.0", "home": "https://example.org"}
        row |= {"sha256": None, "note": "Web text."}  # upstream publishes no digest
        folder = f"results/corpora_download/{name}"
        outputs = {"file": [File(f"{folder}/original", 16 * name + "0", 1)]}
        stage = "corpora_download"
        return Record(f"{folder}/record.json", stage, name, settings=row, outputs=outputs)

    records = [downloaded("a"), downloaded("b"), downloaded("of_another_run")]
    read = [File(f"results/corpora_download/{name}/original", 16 * name + "0", 1) for name in "ab"]
    made = {"model": [File(MODEL, "0" * 64, 1)]}
    stage, place = "pretrain_btmlm", f"{MODEL}/record.json"
    records.append(Record(place, stage, "ernie_m", inputs={"train": read}, outputs=made))
    subject = card.Subject(MODEL, "", stage, "ernie_m", *[None] * 5)
    lines = card._text(card._sources(subject, Evidence(records, [])))
    assert [line for line in lines if "|" in line][2:] == [
        f"| {name} | 1 | CC0-1.0 | https://example.org | `{16 * name}` |" for name in "ab"
    ]
    assert lines.count("Web text.") == 1


PAYLOADS = [
    "MIT\nbase_model: forged/model\ntags: [forged]",
    "MIT\n---\n\n# Forged\n",
    "MIT\r\n---\r\n# Forged",
    "# Forged",
    "x\n===\n",
    "=== Forged",
    "1. Forged\n- Forged",
    "[forged](https://forged.example)",
    "![forged](https://forged.example/x.png)",
    "<script>forged()</script>",
    "</script><b>forged</b>",
    "<https://forged.example>",
    "` | **forged** | [forged][1] |\n\n[1]: https://forged.example",
    "\\[forged](https://forged.example)",
    "]]> &lt;forged&gt; \x1b[31mforged\u202e",
    "https://host/[forged](https://forged.example)",
    "no",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_registry_says_stays_text_in_the_card(payload) -> None:
    def told(text: str) -> str:
        row = {"id": text, "version": text, "licence": text, "home": text, "note": text}
        stage, path = "corpora_download", "results/corpora_download/own/original"
        files, model = [file_at(path)], [file_at(text)]
        made = Record("record.json", stage, "own", settings=row, outputs={"file": files})
        maker = Record(
            "2/record.json", "xtreme_align", inputs={"text": files}, outputs={"model": model}
        )
        shape = Architecture(
            **{"vocabulary": 9, "layers": 1, "width": 8, "heads": 1, "ffn": 8},
            **{"max_positions": 8, "dropout": 0.0, "attention_dropout": 0.0, "tokenizer": "0"},
            **{"language_embeddings": True, "pair_positions": "reset"},
            languages=("en", "no"),
        )
        settings = ExportSettings(
            format="hf", language="none", layer=1, pooling="mean", skip_specials=False
        )
        subject = card.Subject(
            text, "0" * 64, "pretrain_btmlm", text, shape, 1, None, settings, "VERIFIED"
        )
        return card.card(subject, Evidence([made, maker], []))

    plain, page = told("plain"), told(payload)
    front = yaml.safe_load(page.split("\n---\n")[0])
    wanted = {"license": "other" if payload != "no" else "no", "language": ["en", "no"]}
    assert front == yaml.safe_load(plain.split("\n---\n")[0]) | wanted
    assert outline(page) == outline(plain)
    assert not [c for c in page if unicodedata.category(c) == "Cc" and c != "\n"]
    assert "\u202e" not in page


def file_at(path: str) -> File:
    return File(path, "0" * 64, 1)


def outline(page: str) -> list[str]:
    """What a page consists of besides text: headings, tables, code, links, HTML."""
    body = page.split("\n---\n", 1)[1]
    blocks = MarkdownIt("commonmark", {"linkify": False}).enable("table").parse(body)
    inner = (token for block in blocks for token in (block, *(block.children or ())))
    kinds = (f"{token.type} {token.tag} {token.attrs}" for token in inner)
    return [kind for kind in kinds if not kind.startswith(("text ", "text_special"))]


def test_what_cannot_be_exported_is_refused(run, capsys) -> None:
    assert cli.main(["export", "hf", MODEL, "--language", "fi"]) == 1
    assert cli.main(["export", "hf", "nowhere"]) == 1
    assert "There is no checkpoint nowhere" in capsys.readouterr().err
    assert not Path(
        "results/default/checkpoints_export/hf/fi/pretrain_btmlm/ernie_m/README.md"
    ).exists()
    with pytest.raises(SystemExit):
        cli.main(["export", "pickle"])


def test_commands_read_our_checkpoint_and_its_export_alike(run, model, tokenizer) -> None:
    from ernie_m.checkpoints import huggingface

    Path("hf").mkdir()
    huggingface.write_tokenizer(
        Path("hf"), tokenizer.path.read_bytes(), tokenizer.path, model.shape
    )
    huggingface.write_model(Path("hf"), model.state_dict(), model.shape, "none")
    ours, theirs = Model.open(Path(MODEL)), Model.open(Path("hf"))
    line = ours.parse("de:list <mask> table")
    assert line.language == "de"
    found = fill_mask.fill(ours, line, 4)
    assert found == fill_mask.fill(theirs, line, 4) and [len(row) for row in found] == [4]
    texts = [ours.parse(one) for one in ("de:bild", "ru:список", "figure")]
    usual = embed.USUAL.model_copy(update={"centre": False})
    vectors = embed.vectors(ours, texts, usual)
    assert (vectors == embed.vectors(theirs, texts, usual)).all()
    assert translate_tokens.translate(
        ours, texts[0], ["en", "ru"], 1.0
    ) == translate_tokens.translate(theirs, texts[0], ["en", "ru"], 1.0)


def test_a_misspelt_language_is_told_with_the_nearest(run) -> None:
    opened = Model.open(Path(MODEL))
    for given in ("dee:bild", "DE:bild"):
        with pytest.raises(UserError, match=r"no language of the model, which knows (?s:.*)`de:`"):
            opened.parse(given)
    with pytest.raises(UserError, match="no text"):
        opened.parse("de: ")
    for given in (" ok: bild", "note: bild", "bild"):
        assert opened.parse(given) == Text("", given)


def test_a_missing_checkpoint_is_named_with_what_makes_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["fill-mask", "en:a <mask>"]) == 1
    told = capsys.readouterr().err
    assert "results/default/pretrain_btmlm/ernie_m" in told and "`make reproduce`" in told
    for words in (["fill-mask", "a <mask>", "--top", "0"], ["translate-tokens", "a", "--ratio=-1"]):
        with pytest.raises(SystemExit):
            cli.main(words)


def test_the_likeliest_pieces_are_the_head_s(run, model, tokenizer) -> None:
    opened = Model.open(Path(MODEL))
    ((best, *_),) = fill_mask.fill(opened, opened.parse("en:<mask>"), 1)
    from ernie_m.model.packing import pack, sentences

    batch = pack(sentences([[0, tokenizer.mask_id, 2]], [0]), 3)
    with torch.no_grad():
        scores = model(batch, torch.tensor([1])).softmax(1)[0, 4:-1]
    assert best == (pytest.approx(scores.max().item()), tokenizer.piece(4 + int(scores.argmax())))


def test_the_picture_shows_every_pair_of_tokens(run, capsys) -> None:
    words = ["align", "--model", MODEL, "en:list <table>", "de:liste & bild", "--out", "a.svg"]
    assert cli.main(words) == 0
    opened = Model.open(Path(MODEL))
    (rows, columns), values = align.similarity(
        opened, (opened.parse(words[3]), opened.parse(words[4])), -2
    )
    picture = Path("a.svg").read_text(encoding="utf-8")
    from xml.etree import ElementTree

    ElementTree.fromstring(picture)
    assert len(re.findall("<title>", picture)) == len(rows) * len(columns) == values.numel()
    assert values.abs().max() <= 1 + 1e-5
    same, likeness = align.similarity(opened, (opened.parse("en:list"),) * 2, -2)
    if len(same[0]) > 1:
        assert torch.allclose(likeness.diagonal(), torch.ones(len(same[0])), atol=1e-5)


def test_texts_that_cannot_be_read_are_refused(run, capsys) -> None:
    assert cli.main(["translate-tokens", "--model", MODEL, "no language"]) == 1
    assert "does not say its language" in capsys.readouterr().err
    assert cli.main(["embed", "--model", MODEL, "en:ok", "--layer", "9"]) == 1
    assert cli.main(["fill-mask", "--model", MODEL, "en:" + "list " * 200 + "<mask>"]) == 1
    assert "the encoder reads 128" in capsys.readouterr().err
