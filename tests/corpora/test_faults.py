"""Filters on single rows, and their account."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import json
import random

import pytest

from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.config.corpora import RowRules
from ernie_m.corpora.drops import EXAMPLE_CHARACTERS, EXAMPLES, DropCounts
from ernie_m.corpora.faults import Line, line_fault
from ernie_m.errors import UserError
from tests.corpora.synthetic import filter_rows, kept_rows, write_rows

LONG_ENGLISH = "The device could not be reached because the password has been changed recently."
LONG_GERMAN = "Das Gerät war nicht erreichbar, weil das Passwort vor Kurzem geändert worden ist."


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("en", "Host", None),
        ("en", "V", "too short"),
        ("en", "word " * 300, "too long"),
        ("en", "broken \ufffd text", "broken encoding"),
        ("en", "{value} 100 %", "no letters"),
        ("en", "`code_only`", "no letters"),
        ("ru", "Bang & Olufsen", "another script"),
        ("ru", "Настройка Bang & Olufsen", None),
        ("zh", "重新验证 Synology DSM", None),
        ("ja", "パスワード", None),
        ("ko", "비밀번호를 입력하세요", None),
        ("de", LONG_GERMAN, None),
        ("de", LONG_ENGLISH, "another language"),
        ("en", LONG_ENGLISH, None),
        ("en", LONG_GERMAN, "another language"),
        ("wo", "Nit ki ñëwoon na ci néeg bi te waxul kenn dara ci li xewoon", None),  # not known
    ],
)
@pytest.mark.parametrize("identifier", ["py3langid", "fasttext"])
def test_reasons(language, text, reason, identifier):
    settings = RowRules(language_identifier=identifier)
    assert line_fault(Line(text.strip(), LANGUAGES[language]), settings) == reason


def test_a_language_that_only_one_identifier_knows():
    line = Line("א גוטן טאָג, ווי גייט עס אײַך הײַנט אין דער פֿרי", LANGUAGES["yi"])
    for identifier in ("py3langid", "fasttext"):
        assert line_fault(line, RowRules(language_identifier=identifier)) is None
    assert "yi" in LANGUAGES["yi"].labels and LANGUAGES["yi"].identified == {"fasttext"}


def test_switches():
    loose = RowRules(language_identifier="none", min_script_share=0.0, min_chars=1)
    for text in (LONG_ENGLISH, "Bang & Olufsen", "V"):
        assert line_fault(Line(text, LANGUAGES["ru"]), loose) is None


def rows_file(path, texts):
    return write_rows(path, ((f"home:g:{n}", "home:g", text) for n, text in enumerate(texts)))


def test_drops_are_counted_with_examples(tmp_path):
    rows = rows_file(tmp_path / "in.parquet", ["Host", " two  spaces ", "{only}", "x", *"1" * 9])
    path = filter_rows(rows, tmp_path, "rows-en")
    stats = json.loads(path.with_name("stats.json").read_text())
    assert kept_rows(path, "text") == [["Host", "two spaces"]]
    assert stats["rows_in"] == 13 and stats["rows_out"] == 2
    assert stats["dropped"] == {"no letters": 1, "too short": 10}
    assert len(stats["examples"]["too short"]) == EXAMPLES
    assert stats["examples"]["no letters"] == [{"id": "home:g:2", "text": "{only}"}]


def test_a_damaged_table_is_named(tmp_path):
    rows = rows_file(tmp_path / "in.parquet", ["Host"])
    rows.write_bytes(rows.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"in\.parquet is not a whole Parquet file"):
        filter_rows(rows, tmp_path, "rows-en")


def test_examples_do_not_depend_on_the_order_of_drops():
    forward, backward = DropCounts(), DropCounts()
    for number in range(40):
        forward.add("reason", id=str(number))
        backward.add("reason", id=str(39 - number))
    assert forward.facts() == backward.facts()


def test_examples_of_endless_texts_are_cut():
    drops = DropCounts()
    drops.add("too long", id="a", text="x" * 1_000_000)
    (example,) = drops.facts()["examples"]["too long"]
    assert example == {"id": "a", "text": "x" * EXAMPLE_CHARACTERS}


def test_a_long_text_does_not_repeat_itself_by_its_length() -> None:
    """Of 400 words each occurs ten times in 4,000, as in any text of some pages."""
    rng = random.Random(1)
    text = " ".join(rng.choice([f"word{i}" for i in range(400)]) for _ in range(4000))
    settings = RowRules(max_chars=100_000, language_identifier="none")
    assert line_fault(Line(text, LANGUAGES["en"]), settings) is None
    again = " ".join(rng.choice(["cheap", "flight", "now"]) for _ in range(4000))
    assert line_fault(Line(again, LANGUAGES["en"]), settings) == "repeats itself"
