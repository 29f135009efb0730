"""What is shown of text from outside: no secret, and nothing that a terminal obeys."""

import json
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m import cli
from ernie_m.config.corpora import DatasetRow
from ernie_m.outside import one_line, redacted, secret, shown
from ernie_m.records.writer import Account, made_record, open_record, write_record
from ernie_m.report.svg import Drawing
from ernie_m.tracking import store


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://user:pw@host/x", "https://***@host/x"),
        ("https://ghp_0123@host/x", "https://***@host/x"),
        ("https://t0ken:x-oauth-basic@host/x", "https://***@host/x"),
        ("postgresql+psycopg2://user:pw@host/d", "postgresql+psycopg2://***@host/d"),
        ("s3://KEY:SECRET@bucket", "s3://***@bucket"),
        ("https://host/x?a=1&token=abc&b=2#c", "https://host/x?a=1&token=***&b=2#c"),
        ("https://host/x?X-Amz-Signature=abc", "https://host/x?X-Amz-Signature=***"),
        ('{"url": "https://host/x?api_key=abc"}', '{"url": "https://host/x?api_key=***"}'),
        ("no answer from /get?access_token=abc (timed out)", None),
    ],
)
def test_a_secret_in_an_address_is_hidden(text, told):
    told = told or text.replace("abc", "***")
    assert redacted(text) == told
    assert redacted(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "https://user:${PASSWORD}@host/x?token=${TOKEN}",
        "https://${USER}@host",
        "ssh://git@host/x",
        "postgresql://user@host/d",
        "https://host/x?author=me&id=3&tokenizer=bpe",
        "client.search(page_token=token, key=value)",
        'url = f"{base}?token={token}"',
        "mail@example.org",
    ],
)
def test_what_tells_no_secret_stays(text):
    assert redacted(text) == text


def test_values_of_the_environment_are_hidden(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hf_0123456789")
    monkeypatch.setenv("PRIVATE_ADDRESS", "internal/share")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsely")
    text = "hf_0123456789 internal/share falsely"
    assert redacted(text) == "*** internal/share falsely"
    assert secret("PRIVATE_ADDRESS") == "internal/share"
    assert redacted(text) == "*** *** falsely"
    assert secret("NOT_SET_ANYWHERE") is None


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_shown(text):
    told = one_line(text)
    assert not [
        c for c in told if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") and c != "\t"
    ]
    assert not [c for c in told if unicodedata.bidirectional(c) in BIDI]
    assert shown(text).count("\n") == text.count("\n")
    assert shown(told) == told


BIDI = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def test_letters_of_all_scripts_are_shown_as_they_are():
    text = "naïve مرحبا हिन्दी می‌خواهم 日本語 👩‍👩‍👧\n\tindented"
    assert shown(text) == text


PAYLOADS = [
    "\x1b[2J\x1b[31mVERIFIED",
    "\x1b]0;title\x07",
    "\x9b31m",
    "MIT\nVERIFIED",
    "MIT\r\nVERIFIED",
    "MIT\rVERIFIED",
    "\u202eDEIFIREV",
    "MIT\u2028VERIFIED",
    "]]></style><script>",
    "--- \x00",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_record_cannot_lie_on_the_screen(payload, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = Path("results/corpora_download/own/original")
    made.parent.mkdir(parents=True)
    made.write_text("text\n")
    names = ("id", "version", "licence", "home", "url", "note")
    row = dict.fromkeys(names, payload) | {"sha256": None}
    job = Account(
        "ernie_m.corpora.download", "corpora_download", "own", {}, {"file": [made]}, row, 1, 1
    )
    record = made.with_name("record.json")
    write_record(made_record(job, record, open_record(job)), record)
    for call in (["audit", str(made), "--full"], ["status"], ["trace", str(made)]):
        cli.main(call)
        told = "".join(capsys.readouterr())
        assert one_line(told).replace("\\n", "\n") == told.replace("\\n", "\n")
        assert not [line for line in told.splitlines() if line.startswith(("VERIFIED", "DEIF"))]
    cli.main(["audit", str(made), "--json"])
    told = capsys.readouterr().out
    assert json.loads(told)["sources"][0]["licence"] == payload
    assert shown(told) == told


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_registry_s_row_is_one_line(payload):
    facts = {"id": "own", "version": "1", "licence": "MIT", "home": "https://example.org"}
    facts |= {"filename": "own.txt", "format": "homeassistant", "languages": ["en"]}
    facts |= {"url": "https://example.org/own.txt"}
    DatasetRow(**facts, note="two\nlines\n")
    if payload.isprintable():
        return
    for name in ("version", "licence", "home", "filename"):
        with pytest.raises(ValueError, match=r"control character or line end|match pattern"):
            DatasetRow(**facts | {name: f"own{payload}"})


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_figure_is_xml_whatever_its_words(payload):
    drawing = Drawing(100, 100, payload)
    drawing.text((0, 0), payload, "tick")
    drawing.circle((0, 0), 1, "dot", payload)
    found = ElementTree.fromstring(drawing.file())
    assert "script" not in {element.tag.rpartition("}")[2] for element in found.iter()}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_mlflow_is_told_text(payload):
    assert one_line(store.shown(payload)).replace("\\n", "\n") == store.shown(payload)
