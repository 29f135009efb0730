"""Readers of published files, on files written here in exactly their publishers' formats; and the
same content as the Parquet tables of `google/xtreme`, written by `datasets`."""

from __future__ import annotations

import errno
import json
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.sources import SourceJob, load_sources
from ernie_m.config.xtreme import PrepareSettings, XtremeSettings
from ernie_m.downloads.fetch import Wanted, fetch
from ernie_m.errors import UserError
from ernie_m.rehearse import archives
from ernie_m.rehearse import tasks as made
from ernie_m.xtreme import prepare
from ernie_m.xtreme.examples import READERS
from ernie_m.xtreme.files import EXAMPLE, read_lines
from ernie_m.xtreme.tasks import conll, conllu, udpos, xquad
from ernie_m.xtreme.tasks.upstream import File, Upstream

from .conftest import run_stage

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
REGISTRY = Path("config/xtreme_sources.yaml")


def packed(path: Path, members: dict[str, str | bytes]) -> Path:
    """A zip or tar archive with these members."""
    path.write_bytes(archives.packed(path.name, members))
    return path


def plain(folder: Path, members: dict[str, str]) -> list[Path]:
    for name, text in members.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in members]


def upstream(task: str, files: list[Path], tmp_path: Path) -> Upstream:
    folder = tmp_path / "unpacked"
    folder.mkdir(exist_ok=True)
    return Upstream(files, folder, re.compile(READERS[task].WANTED))


def read(task: str, files: list[Path], tmp_path: Path, split: str, language: str) -> list:
    return list(READERS[task].read(upstream(task, files, tmp_path), split, language))


# --- the same content in both forms --------------------------------------------------------


def squad_file(*articles: tuple[str, list[tuple[str, str, list[tuple[str, int]]]]]) -> str:
    """Of (context, [(id, question, [(answer, start)])])."""
    return made.squad(
        {
            "id": id,
            "title": "T",
            "context": context,
            "question": question,
            "answers": {"text": [t for t, _ in answers], "answer_start": [s for _, s in answers]},
        }
        for context, asked in articles
        for id, question, answers in asked
    )


def squad_table(*articles: Any) -> list[dict[str, Any]]:
    """The same as the hub has it: texts stripped, starts as they were."""
    return [
        {
            "id": id,
            "title": "T",
            "context": context.strip(),
            "question": question.strip(),
            "answers": {
                "answer_start": [s for _, s in answers],
                "text": [t.strip() for t, _ in answers],
            },
        }
        for context, asked in articles
        for id, question, answers in asked
    ]


def parquet(folder: Path, name: str, rows: list[dict[str, Any]], **classes: list[str]) -> Path:
    """A table as `datasets` writes it; ``classes`` are columns (of lists) of class numbers."""
    path = folder / f"{name}.parquet"
    path.write_bytes(made.parquet(rows, **classes))
    return path


PARAGRAPHS = (
    (" Der alte Host läuft. ", [("a1", "Wer läuft? ", [("alte Host", 5), (" Host", 9)])]),
    ("Port 80 ist offen.", [("a2", "Was?", [("80", 5)]), ("a3", "Wie?", [("offen", 12)])]),
)


def both_xquad(folder: Path) -> tuple[list[Path], list[Path]]:
    raw = plain(folder, {"xquad.de.json": squad_file(*PARAGRAPHS)})
    return raw, [parquet(folder, "XQuAD.de.validation", squad_table(*PARAGRAPHS))]


def both_mlqa(folder: Path) -> tuple[list[Path], list[Path]]:
    name = "MLQA_V1/test/test-context-de-question-de.json"
    other = "MLQA_V1/test/test-context-de-question-en.json"
    raw = packed(folder / "MLQA_V1.zip", {name: squad_file(*PARAGRAPHS), other: squad_file()})
    return [raw], [parquet(folder, "MLQA.de.de.test", squad_table(*PARAGRAPHS))]


def _tydi(language: str) -> tuple:
    return tuple(
        (context, [(f"{language}-{id}-1", q, answers) for id, q, answers in asked])
        for context, asked in PARAGRAPHS
    )


def both_tydiqa(folder: Path) -> tuple[list[Path], list[Path]]:
    members = {
        f"tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{name}.json": squad_file(*_tydi(name))
        for name in ("finnish", "russian")
    }
    raw = packed(folder / "tydiqa-goldp-v1.1-dev.tgz", members)
    rows = squad_table(*_tydi("russian"), *_tydi("finnish"))
    return [raw], [parquet(folder, "tydiqa.validation", rows)]


def both_xnli(folder: Path) -> tuple[list[Path], list[Path]]:
    header = "language\tgold_label\tl1\tl2\tl3\tl4\tsentence1\tsentence2\tpromptID\tpairID\n"
    rows = [
        ("ar", "neutral", "x", "y"),
        ("de", "entailment", 'Er sagt: "Ja.', "Er sagt es."),
        ("de", "contradiction", "Nein.", "Ja."),
    ]
    text = header + "".join(f"{a}\t{b}\t\t\t\t\t{c}\t{d}\t1\t2\n" for a, b, c, d in rows)
    raw = packed(folder / "XNLI-1.0.zip", {"XNLI-1.0/xnli.test.tsv": text, "XNLI-1.0/.DS": "?"})
    names = ("language", "gold_label", "sentence1", "sentence2")
    return [raw], [parquet(folder, "XNLI.test", [dict(zip(names, r, strict=True)) for r in rows])]


def both_pawsx(folder: Path) -> tuple[list[Path], list[Path]]:
    rows = [("1", "A b", "B a", "0"), ("2", '"C" d', "D c", "1")]
    text = "id\tsentence1\tsentence2\tlabel\n" + "".join("\t".join(row) + "\n" for row in rows)
    raw = packed(folder / "x-final.tar.gz", {"x-final/de/test_2k.tsv": text})
    table = [{"sentence1": b, "sentence2": c, "label": d} for _, b, c, d in rows]
    return [raw], [parquet(folder, "PAWS-X.de.test", table)]


def both_panx(folder: Path) -> tuple[list[Path], list[Path]]:
    text = "de:Der\tO\nde:Port\tB-ORG\nde:8:80\tI-ORG\n\nde:Ja\tO\n\n"
    inner = packed(folder / "de.tar.gz", {"test": text, "train": "de:x\tO\n"}).read_bytes()
    raw = packed(folder / "AmazonPhotos.zip", {"panx_dataset/de.tar.gz": inner})
    rows = [
        {
            "tokens": ["Der", "Port", "8:80"],
            "ner_tags": ["O", "B-ORG", "I-ORG"],
            "langs": ["de"] * 3,
        },
        {"tokens": ["Ja"], "ner_tags": ["O"], "langs": ["de"]},
    ]
    labels = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
    return [raw], [parquet(folder, "PAN-X.de.test", rows, ner_tags=labels)]


def both_udpos(folder: Path) -> tuple[list[Path], list[Path]]:
    """Without multi-word tokens, which the tables do not have."""
    text = (
        "# text = x\n1\tTrả lời\t_\tVERB\t_\t_\t0\troot\t_\t_\n"
        "2\tanh\t_\tNOUN\t_\t_\t1\tobj\t_\t_\n\n"
        "# text = y\n1\tĐi\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    )
    name = "ud-treebanks-v2.5/UD_Vietnamese-VTB/vi_vtb-ud-test.conllu"
    raw = packed(folder / "ud-treebanks-v2.5.tgz", {name: text, "ud-treebanks-v2.5/README.md": "?"})
    rows = [
        {"tokens": ["Trả lời", "anh"], "pos_tags": ["VERB", "NOUN"]},
        {"tokens": ["Đi"], "pos_tags": ["VERB"]},
    ]
    return [raw], [parquet(folder, "udpos.Vietnamese.test", rows, pos_tags=list(udpos.TAGS))]


def both_tatoeba(folder: Path) -> tuple[list[Path], list[Path]]:
    sides = {"eng": ["Hello. ", "Bye."], "deu": ["Hallo.", "Tschüss."]}
    raw = plain(
        folder, {f"tatoeba.deu-eng.{k}": "".join(f"{x}\n" for x in v) for k, v in sides.items()}
    )
    rows = [
        {"source_sentence": f"{b}\n", "target_sentence": f"{a}\n", "source_lang": "deu"}
        for a, b in zip(sides["eng"], sides["deu"], strict=True)
    ]
    return raw, [parquet(folder, "tatoeba.deu.validation", rows)]


BOTH = {
    "xquad": (both_xquad, "de", 3),
    "mlqa": (both_mlqa, "de", 3),
    "tydiqa": (both_tydiqa, "fi", 3),
    "xnli": (both_xnli, "de", 2),
    "pawsx": (both_pawsx, "de", 2),
    "panx": (both_panx, "de", 2),
    "udpos": (both_udpos, "vi", 2),
    "tatoeba": (both_tatoeba, "de", 2),
}


@pytest.mark.parametrize("task", BOTH)
def test_published_files_and_parquet_tables_give_the_same_examples(task, tmp_path):
    make, language, count = BOTH[task]
    raw, table = make(tmp_path)
    ours = read(task, raw, tmp_path, "test", language)
    assert len(ours) == count
    assert ours == read(task, table, tmp_path, "test", language)


# --- single formats ------------------------------------------------------------------------


def test_training_text_of_xnli_is_the_english_side_of_its_translations(tmp_path):
    text = "premise\thypo\tlabel\nA .\tB .\tcontradictory\nC .\tD .\tneutral\n"
    path = packed(
        tmp_path / "XNLI-MT-1.0.zip", {"XNLI-MT-1.0/multinli/multinli.train.en.tsv": text}
    )
    found = read("xnli", [path], tmp_path, "train", "en")
    assert [line.label for line in found] == ["contradiction", "neutral"]
    assert found[0].first == "A ." and found[0].second_language == "en"


def test_tydiqa_trains_on_english_and_holds_some_of_it_out(tmp_path):
    articles = [
        (f"Text {i} here", [(f"{name}-{i}-0", "?", [("here", 7 if i < 10 else 8)])])
        for i in range(60)
        for name in ("english", "finnish")
    ]
    paths = plain(tmp_path, {"tydiqa-goldp-v1.1-train.json": squad_file(*articles)})
    train, dev = (read("tydiqa", paths, tmp_path, split, "en") for split in ("train", "dev"))
    assert len(train) + len(dev) == 60 and 0 < len(dev) < 20
    assert not {x.context for x in train} & {x.context for x in dev}


def test_bucc_has_both_heaps_and_the_partners(tmp_path):
    members = {
        "bucc2018/de-en/de-en.training.de": "de-1\tHallo\nde-2\tNein\n",
        "bucc2018/de-en/de-en.training.en": "en-1\tYes\nen-2\tHello\n",
        "bucc2018/de-en/de-en.training.gold": "de-1\ten-2\n",
    }
    path = packed(tmp_path / "bucc2018-de-en.training-gold.tar.bz2", members)
    found = {line.id: line for line in read("bucc2018", [path], tmp_path, "test", "de")}
    assert {id: line.partner for id, line in found.items()} == {
        **{"en-1": None, "en-2": "de-1"},
        **{"de-1": "en-2", "de-2": None},
    }
    assert found["de-2"].language == "de" and found["en-1"].text == "Yes"


def test_conll_spans_begin_with_b_and_documents_end(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\nSão NNP I-NP I-LOC\nPaulo NNP I-NP I-LOC\n"
    text += "EU NNP I-NP B-LOC\n\n.\tO\n"
    (tmp_path / "eng.testb").write_bytes(text.encode("latin-1"))
    first, second = read("conll", [tmp_path / "eng.testb"], tmp_path, "test", "en")
    assert first.words == ["São", "Paulo", "EU"] and first.tags == ["B-LOC", "I-LOC", "B-LOC"]
    assert second.words == ["."]
    assert conll.begun(["I-PER", "I-LOC", "O", "I-LOC"]) == ["B-PER", "B-LOC", "O", "B-LOC"]


def tree(*rows: str, language: str = "fr") -> tuple[list[str], list[str]]:
    """Surface words and tags of a sentence of `id form UPOS head` rows."""
    found = conllu.Tree()
    file = File(Path("x"), "x.conllu")
    for number, row in enumerate(rows, start=1):
        id, form, tag, head = row.split()
        cells = [id, form, "_", tag, "_", "_", head, "_", "_", "_"]
        conllu._add(found, file, number, cells)
    return found.sentence(language)


def test_a_fused_form_has_the_tag_of_its_highest_word():
    # "vers le port": le belongs to port, vers too; du = de + le, of which de is as deep as le.
    rows = ("1 va VERB 0", "2-3 du _ _", "2 de ADP 4", "3 le DET 4", "4 port NOUN 1")
    assert tree(*rows) == (["va", "du", "port"], ["VERB", "ADP", "NOUN"])
    # Spanish "dámelo": the verb governs both pronouns.
    rows = ("1-3 dámelo _ _", "1 da VERB 0", "2 me PRON 1", "3 lo PRON 1")
    assert tree(*rows, language="es") == (["dámelo"], ["VERB"])


def test_of_equally_high_words_the_list_of_the_language_decides():
    rows = ("1 x NOUN 0", "2-3 ab _ _", "2 a ADV 1", "3 b PRON 1")
    assert tree(*rows, language="it")[1] == ["NOUN", "ADV"]
    assert tree(*rows, language="fr")[1] == ["NOUN", "PRON"]


def test_treebanks_without_text_zero_width_signs_and_empty_nodes(tmp_path):
    rows = [
        "1\t_\t_\tNOUN\t_\t_\t0\t_\t_\t_\n2\t_\t_\tNOUN\t_\t_\t1\t_\t_\t_\n\n",
        "1\tمی\u200cرود\t_\tVERB\t_\t_\t0\t_\t_\t_\n1.1\tx\t_\tVERB\t_\t_\t_\t_\t_\t_\n"
        "2\t1 000\t_\tNUM\t_\t_\t1\t_\t_\t_\n\n",
    ]
    paths = plain(tmp_path, {"fa_seraji-ud-test.conllu": "".join(rows)})
    (found,) = read("udpos", paths, tmp_path, "test", "fa")
    assert found.words == ["میرود", "1000"] and found.tags == ["VERB", "NUM"]


def test_all_treebanks_of_a_language_and_split_are_read(tmp_path):
    row = "1\t{}\t_\tX\t_\t_\t0\t_\t_\t_\n\n"
    names = ["en_ewt-ud-test", "en_gum-ud-test", "en_ewt-ud-train", "et_edt-ud-test"]
    paths = plain(tmp_path, {f"{name}.conllu": row.format(name) for name in names})
    found = read("udpos", paths, tmp_path, "test", "en")
    assert [line.words[0] for line in found] == names[:2]


# --- real files ----------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not here")
def test_real_files(tmp_path):
    registry = load_sources(REGISTRY)
    tatoeba = [SHARED / "tatoeba" / name for name in registry["tatoeba"].files]
    found = read("tatoeba", tatoeba, tmp_path, "test", "te")
    assert len(found) == 234 and all(line.english and line.text for line in found)
    xquad = sorted((SHARED / "xquad").glob("*.json"))
    for language in TASKS["xquad"].languages:
        assert len(read("xquad", xquad, tmp_path, "test", language)) == 1190
    train, dev, test = (
        {x.context for x in read("standin_xquad", xquad, tmp_path, split, "en")}
        for split in ("train", "dev", "test")
    )
    assert len(train) + len(dev) + len(test) == len(train | dev | test) == 240
    treebanks = sorted((SHARED / "udpos").glob("*.conllu"))
    assert len(read("standin_udpos", treebanks, tmp_path, "test", "th")) == 1000


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        (
            "xquad",
            "xquad.de.json",
            squad_file(("abc", [("q7", "?", [("x", 1)])])),
            "question q7 is",
        ),
        (
            "xquad",
            "xquad.de.json",
            squad_file(("abc", [("q8", "?", [("c", 1)])])),
            "question q8 is",
        ),
        ("xquad", "xquad.de.json", '{"data": [\n}', "xquad.de.json, line 2: it is not JSON"),
        ("xquad", "xquad.de.json", '{"data": [{}]}', "is not of SQuAD's form"),
        ("panx", "de.tar.gz", "de:a\tO\nde b\tO\n", "de.tar.gz/test, line 2"),
        ("panx", "de.tar.gz", "de:a\tO\nde:b\tB-CAT\n", "line 2: there is no tag `B-CAT`"),
        ("pawsx", "x.tar.gz", "h\nid\ta\tb\n", "line 1: 1 columns"),
        ("pawsx", "x.tar.gz", "a\tb\tc\td\n1\ta\tb\t7\n", "line 2: there is no class `7`"),
        ("udpos", "de_gsd-ud-test.conllu", "1\ta\tb\n", "line 1: 3 columns, where CoNLL-U has 10"),
        (
            "udpos",
            "de_gsd-ud-test.conllu",
            "# text = a\n1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n2\ta\t_\tFOO\t_\t_\t1\t_\t_\t_\n\n",
            "line 3: there is no tag `FOO`",
        ),
        (
            "udpos",
            "de_gsd-ud-test.conllu",
            "2\ta\t_\tX\t_\t_\t0\t_\t_\t_\n",
            "word 2 stands behind",
        ),
        (
            "udpos",
            "de_gsd-ud-test.conllu",
            "9" * 5000 + "\ta\t_\tX\t_\t_\t0\t_\t_\t_\n",
            "is not the number of a word",
        ),
        (
            "udpos",
            "de_gsd-ud-test.conllu",
            "²\ta\t_\tX\t_\t_\t0\t_\t_\t_\n",
            "`²` is not the number of a word",
        ),
        ("conll", "deu.testb", "Wort\n", "line 1: `Wort` has a word and no tag"),
        ("conll", "deu.testb", "Wort O\na\0 O\n", "line 2: it holds NUL bytes"),
        ("xquad", "xquad.de.json", "", "line 1: it is not JSON"),
        ("xquad", "xquad.de.json", "[" * 20_000, "is not JSON (it is nested too deeply)"),
        ("xquad", "xquad.de.json", squad_file(("a", [("q", "?", [])])), "q has no answer"),
        ("xquad", "xquad.de.json", squad_file(("a", [("q", "?", [("a", "0")])])), "is no number"),
        ("xquad", "xquad.de.json", squad_file((5, [("q", "?", [("a", 0)])])), "'5' is no text"),
        ("panx", "de.tar.gz", "de:a\tO\nde:\0\tO\n", "line 2: it holds NUL bytes"),
    ],
)
def test_broken_files_are_named_with_the_line(tmp_path, task, name, text, message):
    if name.endswith(".tar.gz"):
        member = {"panx": "test", "pawsx": "x-final/de/test_2k.tsv"}[task]
        files = [packed(tmp_path / name, {member: text})]
    else:
        files = plain(tmp_path, {name: text})
    with pytest.raises(UserError) as error:
        read(task, files, tmp_path, "test", "de")
    assert message in error.value.what and name in error.value.what


@pytest.mark.parametrize(
    ("task", "name", "text"),
    [
        ("xquad", "xquad.de.json", squad_file(*PARAGRAPHS)),
        ("udpos", "de_gsd-ud-test.conllu", "# text = a\n1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n"),
        ("udpos", "de_gsd-ud-test.conllu", "1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n"),
        ("conll", "deu.testb", "São NNP I-NP I-LOC\n"),
        ("panx", "de.tar.gz", "de:a\tO\n"),
        ("pawsx", "x.tar.gz", "id\ta\tb\tl\n1\ta\tb\t0\n"),
    ],
)
def test_a_byte_order_mark_and_blank_lines_carry_nothing(tmp_path, task, name, text):
    def examples(text):
        if name.endswith(".tar.gz"):
            member = {"panx": "test", "pawsx": "x-final/de/test_2k.tsv"}[task]
            files = [packed(tmp_path / name, {member: text})]
        else:
            files = plain(tmp_path, {name: text})
        return read(task, files, tmp_path, "test", "de")

    assert examples("\ufeff" + text + "\n\r\n") == examples(text) != []


def test_a_copy_of_conll_in_utf8_is_not_read_as_latin1(tmp_path):
    files = plain(tmp_path, {"deu.testb": "São NNP I-NP I-LOC\n"})
    (sentence,) = read("conll", files, tmp_path, "test", "de")
    assert sentence.words == ["São"]


def test_a_language_without_a_file_is_named(tmp_path):
    files = plain(tmp_path, {"xquad.de.json": squad_file(*PARAGRAPHS)})
    with pytest.raises(
        UserError, match=r"No file is called xquad\.el\.json.* among xquad\.de\.json"
    ):
        read("xquad", files, tmp_path, "test", "el")


def test_sides_of_different_length_are_refused(tmp_path):
    files = plain(tmp_path, {"tatoeba.deu-eng.eng": "a\nb\n", "tatoeba.deu-eng.deu": "a\n"})
    with pytest.raises(UserError, match="has 2 lines"):
        read("tatoeba", files, tmp_path, "test", "de")


def test_bucc_pairs_must_be_one_to_one_and_of_known_sentences(tmp_path):
    def made(gold: str) -> list[Path]:
        stem = "de-en.training"
        members = {f"{stem}.de": "de-1\tx\n", f"{stem}.en": "en-1\ty\n", f"{stem}.gold": gold}
        return [packed(tmp_path / "b.tar.bz2", members)]

    for gold, message in (
        ("de-1\ten-1\nde-1\ten-2\n", "line 2: `de-1` is in a second pair"),
        ("de-1\ten-1\nde-9\ten-9\n", "gold, line 2: the sentence `de-9` of a pair is in neither"),
    ):
        with pytest.raises(UserError, match=message):
            read("bucc2018", made(gold), tmp_path, "test", "de")


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "C:evil"])
@pytest.mark.parametrize("archive", ["MLQA_V1.zip", "MLQA_V1.tar.gz"])
def test_archives_that_lead_out_of_their_folder_are_refused(tmp_path, archive, name):
    path = packed(tmp_path / archive, {name: "{}"})
    with pytest.raises(UserError, match="leads out of its folder"):
        read("mlqa", [path], tmp_path, "test", "de")
    assert not list(tmp_path.rglob("evil*"))


def test_links_in_archives_are_not_followed(tmp_path):
    path = tmp_path / "x-final.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("x-final/de/test_2k.tsv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UserError, match="No file is called"):
        read("pawsx", [path], tmp_path, "test", "de")


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ernie_m.xtreme.tasks.upstream.MAX_MEMBER_BYTES", 1000)
    name = "MLQA_V1/test/test-context-de-question-de.json"
    path = packed(tmp_path / "MLQA_V1.zip", {name: " " * 5000})
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        read("mlqa", [path], tmp_path, "test", "de")


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        ("MAX_MEMBERS", 3, "With x.zip/3.txt it is more than 3 files to unpack"),
        ("MAX_BYTES", 2500, "With x.zip/2.txt it is more than 2,500 bytes to unpack"),
    ],
)
def test_members_that_unpack_to_too_much_together_are_refused(
    tmp_path, monkeypatch, bound, value, said
):
    monkeypatch.setattr(f"ernie_m.xtreme.tasks.upstream.{bound}", value)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", "x" * 1000)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=said):
        _ = Upstream([tmp_path / "x.zip"], tmp_path / "out").files
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_with_a_damaged_byte_is_read_or_named(tmp_path, method):
    """Wherever it is: never with an error that names no file."""
    lines = "".join(f"de\tneutral\tSatz {n}\tNoch {n * n}\n" for n in range(40))
    text = "language\tgold_label\tsentence1\tsentence2\n" + lines
    whole, path = tmp_path / "whole", tmp_path / "XNLI.zip"
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.writestr("XNLI/xnli.test.tsv", text)
    content, refused = whole.read_bytes(), 0
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read("xnli", [path], tmp_path, "test", "de")
        except UserError as error:
            refused += "XNLI.zip" in error.what
    assert refused > len(content) / 20


def test_a_damaged_archive_is_named(tmp_path):
    for make, task in ((both_pawsx, "pawsx"), (both_mlqa, "mlqa")):
        (path,), _ = make(tmp_path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=f"{path.name} is not a whole archive"):
            read(task, [path], tmp_path, "test", "de")


# --- the stages ----------------------------------------------------------------------------


def test_examples_are_prepared_and_counted(tmp_path):
    raw, _ = both_panx(tmp_path)
    outputs = {
        "examples": [tmp_path / "out/test-de.jsonl"],
        "stats": [tmp_path / "out/stats.json"],
    }
    run_stage(prepare, "panx", PrepareSettings(), {"files": raw}, outputs)
    lines = read_lines(outputs["examples"][0], EXAMPLE["tagging"])
    assert [line.words[0] for line in lines] == ["Der", "Ja"]
    stats = json.loads(outputs["stats"][0].read_text())
    assert stats["standin"] is False
    assert stats["files"] == {"test-de": {"examples": 2, "labels": {"B-ORG": 1}}}


def test_a_table_with_another_label_is_refused(tmp_path):
    rows = [{"sentence1": "a", "sentence2": "b", "label": "3"}]
    files = [parquet(tmp_path, "PAWS-X.de.test", rows)]
    outputs = {"examples": [tmp_path / "out/test-de.jsonl"], "stats": [tmp_path / "out/s.json"]}
    with pytest.raises(UserError, match="Example 1 of test-de of pawsx has the label `3`"):
        run_stage(prepare, "pawsx", PrepareSettings(), {"files": files}, outputs)


def source(**values: Any) -> SourceJob:
    row = {"id": "s", "version": "1", "licence": "MIT", "home": "https://a.b", "files": {"f": {}}}
    return SourceJob(**{**row, **values})


def bring(row: SourceJob, name: str, target: Path) -> str:
    """Fetch one file of a row; returns where the trusted digest came from."""
    folder = target.parent
    result = f"results/xtreme_download/{row.id}/{name}"
    wanted = Wanted(row, name, result, folder / "trusted", folder / "parts", ())
    return fetch({target: wanted})[name]


def test_a_copy_is_taken_from_a_folder_and_compared_with_the_registry(tmp_path):
    (tmp_path / "f").write_text("text")
    target = tmp_path / "target"
    assert bring(source(folder=str(tmp_path)), "f", target) == "first use"
    assert target.read_text() == "text"
    with pytest.raises(UserError, match="the registry says 000"):
        bring(source(folder=str(tmp_path), files={"f": {"sha256": "0" * 64}}), "f", target)
    with pytest.raises(UserError, match="none/f does not exist") as error:
        bring(source(folder=str(tmp_path / "none")), "f", target)
    assert "the folder in `xtreme.local.s`" in error.value.fix
    (tmp_path / "f").write_text("other")
    with pytest.raises(UserError, match="when it was first fetched"):
        bring(source(folder=str(tmp_path)), "f", target)


def test_a_file_is_fetched_from_its_address(tmp_path, httpd):
    (httpd.folder / "a b").write_text("text")
    row = source(url=f"{httpd.address}/{{file}}", files={"a b": {}, "none": {}})
    bring(row, "a b", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "text"
    with pytest.raises(UserError, match=r"Source `s`: none could not be fetched: .*404"):
        bring(row, "none", tmp_path / "target")


def test_what_cannot_be_fetched_tells_how_to_get_it(tmp_path):
    with pytest.raises(UserError) as error:
        bring(source(note="Click there."), "f", tmp_path / "never")
    assert "Click there." in error.value.what and "xtreme.local.s" in error.value.fix


def test_the_registry_has_every_published_task_and_knows_all_its_files():
    rows = load_sources(REGISTRY)
    raw = {task for row in rows.values() for task in row.raw}
    assert raw == {name for name, task in TASKS.items() if task.published}
    assert set(rows["xquad"].files) == {f"xquad.{x}.json" for x in TASKS["xquad"].languages}
    assert len(rows["tatoeba"].files) == 2 * len(TASKS["tatoeba"].languages)
    for name in ("tatoeba", "xquad"):
        assert all(facts.sha256 for facts in rows[name].files.values())
    revisions = {row.version for row in rows.values() if row.hub}
    assert len(revisions) == 1 and re.fullmatch("[0-9a-f]{40}", revisions.pop())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("  url: https://a.b/x", "url"),
        ("  raw: [standin_qa]", "reads no published files"),
        ("  hub: a/b", "files of a hub end in"),
        ("  colour: red", "colour"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    path = tmp_path / "sources.yaml"
    row = "- id: s\n  version: '1'\n  licence: MIT\n  home: h\n  files: {f: {}}\n"
    path.write_text(f"{row}{change}\n")
    with pytest.raises(ValueError, match=r"sources\.yaml, row 1") as error:
        load_sources(path)
    assert message in str(error.value)


def test_sources_of_the_tasks_that_are_run_and_their_folders():
    settings = XtremeSettings(
        tasks=["panx", "xnli", "standin_qa"], parquet=["panx"], local={"xnli": "here"}
    )
    sources = settings.sources()
    assert set(sources) == {"hub_panx", "xnli", "xnli_mt"}
    assert sources["xnli"].folder == "here" and sources["xnli_mt"].folder is None
    with pytest.raises(ValueError, match="cannot be read from Parquet"):
        XtremeSettings(parquet=["bucc2018"])
    with pytest.raises(ValueError, match="`local` names the source `xnl`"):
        XtremeSettings(local={"xnl": "here"})


def test_xquad_s_dev_has_none_of_its_test_s_paragraphs(tmp_path):
    """Which are of SQuAD's, told by their words or, where those differ, by their questions' ids."""

    def written(name, **paragraphs):
        asked = [
            {
                "context": context,
                "qas": [
                    {
                        "id": id,
                        "question": f"Which is {id}?",
                        "answers": [{"text": "word", "answer_start": 0}],
                    }
                    for id in ids
                ],
            }
            for ids, context in paragraphs.items()
        ]
        path = tmp_path / name
        path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": asked}]}))
        return path

    paths = [
        written("dev-v1.1.json", ab="word one", cd="word two", ef="word three"),
        written("xquad.en.json", a="word one", c="word  two"),
    ]
    (tmp_path / "unpacked").mkdir()
    upstream = Upstream(paths, tmp_path / "unpacked")
    assert [question.id for question in xquad.read(upstream, "dev", "en")] == ["e", "f"]
    assert [question.id for question in xquad.read(upstream, "test", "en")] == ["a", "c"]


def test_a_full_disk_is_no_broken_archive(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b", "text")
    monkeypatch.setattr(Upstream, "_unpacked", full)
    with pytest.raises(OSError, match="No space left"):
        _ = Upstream([tmp_path / "a.zip"], tmp_path).files
