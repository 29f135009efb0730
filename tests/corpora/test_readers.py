"""Each reader on files in exactly the upstream format, and on damaged and hostile ones."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.config.corpora import ExtractSettings
from ernie_m.corpora import extract
from ernie_m.corpora.extract import reader_of
from ernie_m.corpora.readers import archive, interface, streams
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from tests.corpora.synthetic import run_stage

DATA = Path(__file__).parents[3] / "shared/data"
CATALOGUES = sorted(Path("/usr/share/locale/de/LC_MESSAGES").glob("*.mo"))


def read(path, form, wanted, **settings):
    read = reader_of(ExtractSettings(format=form, **settings))
    return list(read(path, wanted, Leftovers(path, 0)))


def xz(path, text):
    path.write_bytes(lzma.compress(text.encode()))
    return path


def packed(path, text):
    path.write_bytes(gzip.compress(text.encode()))
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def tarred(path, members):
    with tarfile.open(path, "w:gz") as file:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            file.addfile(entry, io.BytesIO(text.encode()))
    return path


OPUS = {
    "MultiUN.en-fr.en": "One.\nTwo\u2028halves.\n\n",
    "MultiUN.en-fr.fr": "Un.\nDeux\x0cmoitiés.\n\n",
    "MultiUN.en-fr.ids": "a\tb\t1\t1\n",
    "README": "See opus",
}
PAIRS = [("", ("One.", "Un.")), ("", ("Two\u2028halves.", "Deux\x0cmoitiés.")), ("", ("", ""))]


def test_cc100(tmp_path):
    path = xz(tmp_path / "original", "First.\nSecond.\n\nThird.\n\n\nFourth.\n")
    assert read(path, "cc100", ["de"]) == [
        ("0", ("First.",)),
        ("0", ("Second.",)),
        ("1", ("Third.",)),
        ("3", ("Fourth.",)),
    ]


@pytest.mark.parametrize("compress", [lzma.compress, bz2.compress])
@pytest.mark.parametrize("between", [0, 8, 3 << 20])
def test_cc100_in_several_streams(tmp_path, compress, between):
    path = tmp_path / "original"
    parts = [compress(b"Eins.\nZw"), compress(b""), compress(b"ei.\n"), b""]
    path.write_bytes(bytes(between).join(parts))
    assert [texts for _, texts in read(path, "cc100", ["de"])] == [("Eins.",), ("Zwei.",)]


@pytest.mark.parametrize("compress", [lzma.compress, bz2.compress])
@pytest.mark.parametrize("place", [2, 12, 40, -2])
def test_a_later_stream_that_is_damaged_is_no_end(tmp_path, compress, place):
    path = tmp_path / "original"
    later = bytearray(compress("".join(f"line {k * k}\n" for k in range(500)).encode()))
    later[place] ^= 0xFF
    path.write_bytes(compress(b"Eins.\n") + later)
    with pytest.raises(UserError, match="damaged or cut off"):
        read(path, "cc100", ["de"])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\n\r\0\ufeff", codec="utf-8"), min_size=1),
            min_size=1,
        )
    )
)
def test_cc100_gives_back_what_was_written(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("cc100") / "original"
    xz(path, "\n\n".join("\n".join(document) for document in documents))
    found = {}
    for group, (text,) in read(path, "cc100", ["de"]):
        found.setdefault(group, []).append(text)
    assert list(found.values()) == documents


def test_ccnet_regrouped(tmp_path):
    path = packed(tmp_path / "original", "One.\nTwo.\n")
    assert read(path, "ccnet_text", ["en"]) == [("0", ("One.",)), ("1", ("Two.",))]


def test_ccnet_json_lines(tmp_path):
    lines = [
        {"url": "http://a", "length": 9, "nlines": 2, "title": "", "raw_content": "One.\nTwo."},
        {"url": "http://b", "length": 5, "nlines": 1, "title": "", "raw_content": "Lone \ud800."},
    ]
    path = packed(tmp_path / "original", "".join(json.dumps(line) + "\n" for line in lines))
    assert read(path, "ccnet", ["en"]) == [
        ("0", ("One.",)),
        ("0", ("Two.",)),
        ("1", ("Lone \ud800.",)),  # which extraction replaces
    ]
    with pytest.raises(UserError, match="line 1 is not a document of cc_net"):
        read(packed(tmp_path / "odd", '{"text": "x"}\n'), "ccnet", ["en"])


@pytest.mark.parametrize("write", [zipped, tarred])
def test_aligned_files_in_an_archive(tmp_path, write):
    path = write(tmp_path / "original", OPUS)
    assert read(path, "moses", ["en", "fr"]) == PAIRS
    assert read(path, "moses", ["fr", "en"]) == [(group, pair[::-1]) for group, pair in PAIRS]


def test_iitb(tmp_path):
    members = {"parallel/IITB.en-hi.en": "One\n", "parallel/IITB.en-hi.hi": "एक\n"}
    path = tarred(tmp_path / "original", members)
    assert read(path, "moses", ["en", "hi"]) == [("", ("One", "एक"))]


@pytest.mark.parametrize("write", [zipped, tarred])
def test_files_of_unequal_length_are_refused(tmp_path, write):
    path = write(tmp_path / "original", OPUS | {"MultiUN.en-fr.fr": "Un.\n"})
    with pytest.raises(UserError, match="`fr` ends before line 2"):
        read(path, "moses", ["en", "fr"])


@pytest.mark.parametrize("write", [zipped, tarred])
def test_a_language_that_is_not_there_is_named(tmp_path, write):
    path = write(tmp_path / "original", OPUS)
    with pytest.raises(UserError, match=r"ends in a tag of `de`, as \.de; it has MultiUN"):
        read(path, "moses", ["en", "de"])


@pytest.mark.parametrize("write", [zipped, tarred])
@pytest.mark.parametrize("name", ["../x.en", "/x.en", "a/../../x.en", "C:/x.en"])
def test_members_that_lead_outside_are_refused(tmp_path, write, name):
    path = write(tmp_path / "original", {name: "text\n"} | OPUS)
    with pytest.raises(UserError, match="leads out of its folder"):
        read(path, "moses", ["en", "fr"])


@pytest.mark.parametrize("write", [zipped, tarred])
def test_a_bomb_in_an_archive_is_refused(tmp_path, write, monkeypatch):
    monkeypatch.setattr(streams, "FREE_BYTES", 1000)
    path = write(tmp_path / "original", OPUS | dict.fromkeys(list(OPUS)[:2], " \n" * 1_000_000))
    with pytest.raises(UserError, match="unpacks to more than 200 times"):
        read(path, "moses", ["en", "fr"])


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "FREE_BYTES", 1000)
    with pytest.raises(UserError, match="unpacks to more than 200 times"):
        read(xz(tmp_path / "original", "x\n" * 5_000_000), "cc100", ["en"])


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    path = xz(tmp_path / "original", "short\n" + "x" * 2000)
    with pytest.raises(UserError, match="line 2 is longer than 1,000 bytes"):
        read(path, "cc100", ["en"])


@pytest.mark.parametrize("write", [xz, packed])
def test_a_file_that_is_cut_off_is_refused(tmp_path, write):
    path = write(tmp_path / "original", "".join(f"line {k * k}\n" for k in range(5000)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged or cut off"):
        read(path, "cc100", ["en"])


@pytest.mark.parametrize("write", [zipped, tarred])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, write):
    path = write(tmp_path / "original", {"a.en": "".join(f"{k * k}\n" for k in range(9999))})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"damaged or cut off|not a whole|ends in"):
        read(path, "moses", ["en", "fr"])


def test_a_tar_that_ends_within_a_member_is_refused(tmp_path):
    path = tarred(tmp_path / "whole", {"a.en": "line\n" * 9999, "a.fr": "ligne\n" * 9999})
    cut = tmp_path / "original"
    cut.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:20_000]))
    with pytest.raises(UserError, match="not a whole tar archive"):
        read(cut, "moses", ["en"])


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99)], ids=["encrypted", "unknown"])
def test_a_member_that_cannot_be_unpacked_is_refused(tmp_path, place, value):
    path = zipped(tmp_path / "original", OPUS)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value  # flags, method of the first member
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"member MultiUN\.en-fr\.en cannot be unpacked"):
        read(path, "moses", ["en", "fr"])


WHEEL = "homeassistant/components/sun/translations/en.json"


@pytest.mark.parametrize("form", ["moses", "homeassistant"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_with_a_damaged_byte_is_read_or_refused(tmp_path, form, method):
    """Wherever it is: never with an error that names no file."""
    members = {WHEEL: json.dumps({str(n): f"Line {n}" for n in range(60)}), **OPUS}
    whole, path = tmp_path / "whole", tmp_path / "original"
    with zipfile.ZipFile(whole, "w", method) as file:
        for name, text in members.items():
            file.writestr(name, text)
    content, refused = whole.read_bytes(), 0
    for place in range(0, len(content), 9):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            if form == "moses":
                read(path, form, ["en", "fr"])
            else:
                list(
                    interface.read(
                        path, "en", Leftovers(path, 0), layout=interface.LAYOUTS["homeassistant"]
                    )
                )
        except UserError as error:
            refused += "original" in error.what
    assert refused > len(content) / 90


def test_a_member_that_lies_about_its_size_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "FREE_BYTES", 1000)
    path = zipped(tmp_path / "original", {"a.en": " \n" * 1_000_000})
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + 20  # compressed size, as the list of members has it
    content[start : start + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match="unpacks to more than 200 times"):
        read(path, "moses", ["en"])


def test_plain_bitext(tmp_path):
    path = packed(tmp_path / "original", 'One "quoted\tEins\nTwo\tZwei\n')
    order = {"languages": ("en", "de")}
    assert read(path, "bitext", ["de", "en"], **order) == [
        ("", ("Eins", 'One "quoted')),
        ("", ("Zwei", "Two")),
    ]
    with pytest.raises(UserError, match="line 1 has 2 columns instead of 3"):
        read(path, "wikimatrix", ["en", "de"], **order)


def test_wikimatrix_is_read_from_the_threshold_on_in_any_order(tmp_path):
    text = "1.25\tGut.\tGood.\n1.03\tDarunter.\tBelow.\n1.04\tKnapp.\tNarrow.\n"
    path = packed(tmp_path / "original", text)
    order = {"languages": ("en", "de")}
    pairs = [("", ("Good.", "Gut.")), ("", ("Narrow.", "Knapp."))]
    assert read(path, "wikimatrix", ["en", "de"], **order) == pairs
    assert read(path, "wikimatrix", ["en", "de"], min_score=1.2, **order) == pairs[:1]
    with pytest.raises(UserError, match="which is no score"):
        read(packed(tmp_path / "odd", "a\tb\tc\n"), "wikimatrix", ["en", "de"], **order)


TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header creationtool="Uplug" segtype="sentence" srclang="en"/><body>
<tu><tuv xml:lang="en-GB">
<seg>Tea &amp; <bpt i="1">&lt;b&gt;</bpt><hi>milk</hi><ept i="1"/></seg></tuv>
<tuv xml:lang="de"><seg>Tee mit Milch</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Alone</seg></tuv></tu>
<tu><tuv lang="DE"><seg>Zwei</seg></tuv><tuv lang="EN"><seg>Two</seg></tuv></tu>
</body></tmx>
"""


def test_tmx(tmp_path):
    path = packed(tmp_path / "original", TMX)
    assert read(path, "tmx", ["en", "de"]) == [
        ("", ("Tea & milk", "Tee mit Milch")),
        ("", ("Two", "Zwei")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TMX[:-20], "no element found|not a TMX"),
        ('<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx>&a;</tmx>', "declares entities"),
        ('<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]><tmx>&a;</tmx>', "entities"),
        ("plain text", "not a TMX file"),
    ],
)
def test_what_is_no_tmx_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(packed(tmp_path / "original", text), "tmx", ["en", "de"])


@pytest.mark.parametrize("text", ["word " * 90_000, "<hi>" * 90_000, f'<ph x="{"y" * 450_000}"/>'])
def test_a_unit_without_end_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 200_000)
    long = TMX.replace("Zwei", text)
    with pytest.raises(UserError, match="a unit is longer than 200,000 characters"):
        read(packed(tmp_path / "original", long), "tmx", ["en", "de"])
    many = TMX.replace("<body>", "<body>" + TMX.splitlines()[6] * 5000)
    assert len(read(packed(tmp_path / "original", many), "tmx", ["en", "de"])) == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_gettext_catalogue(tmp_path, compiled):
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    catalogue.append(polib.POEntry(msgid="Open", msgstr="Öffnen"))
    catalogue.append(polib.POEntry(msgid="Later", msgstr=""))
    catalogue.append(polib.POEntry(msgid="Maybe", msgstr="Nie", flags=["fuzzy"]))
    catalogue.append(
        polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "a", 1: "b"})
    )
    path = tmp_path / "original"
    (catalogue.save_as_mofile if compiled else catalogue.save)(str(path))
    left = Leftovers(path, 0.0)
    rows = list(reader_of(ExtractSettings(format="gettext"))(path, ["en", "de"], left))
    assert rows == [("", ("Open", "Öffnen"))]
    source = {"not translated": 1, "obsolete or fuzzy": 1}  # which are not compiled
    assert left.skipped == {"with plural forms": 1, **({} if compiled else source)}


def compiled(**messages):
    catalogue = polib.MOFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    for english, translation in messages.items():
        catalogue.append(polib.POEntry(msgid=english, msgstr=translation))
    return catalogue.to_binary()


def test_catalogues_of_a_wheel(tmp_path):
    """A language may have several, and names that begin like it; sources stand beside them."""
    members = {
        "app/conf/locale/zh_Hans/LC_MESSAGES/django.mo": compiled(Open="打开"),
        "app/conf/locale/zh_Hans/LC_MESSAGES/django.po": b"no catalogue",
        "app/conf/locale/zh_Hant/LC_MESSAGES/django.mo": compiled(Open="開啟"),
        "app/admin/locale/zh_CN/LC_MESSAGES/django.mo": compiled(Close="关闭"),
        "app/admin/locale/de/LC_MESSAGES/django.mo": compiled(Close="Schließen"),
        "locale/de/LC_MESSAGES/app.mo": compiled(Save="Speichern"),
        "app/locale/nde/LC_MESSAGES/app.mo": compiled(Save="?"),
    }
    path = zipped(tmp_path / "original", members)
    assert read(path, "gettext", ["en", "zh"]) == [("", ("Open", "打开")), ("", ("Close", "关闭"))]
    assert read(path, "gettext", ["zh_hant", "en"]) == [("", ("開啟", "Open"))]
    assert [pair for _, pair in read(path, "gettext", ["en", "de"])] == [
        ("Close", "Schließen"),
        ("Save", "Speichern"),
    ]
    with pytest.raises(UserError, match="holds no text in language `en-fr`"):
        extracted(tmp_path, path, "gettext", "app/en-fr", languages=("en", "fr"))


def test_a_member_that_is_no_catalogue_is_named(tmp_path):
    name = "locale/de/LC_MESSAGES/app.mo"
    path = zipped(tmp_path / "original", {name: compiled(Save="Speichern")[:40]})
    with pytest.raises(UserError, match=f"member {name} is not a gettext catalogue"):
        read(path, "gettext", ["en", "de"])


def test_what_is_no_catalogue_is_refused(tmp_path):
    path = tmp_path / "original"
    path.write_bytes(b"\xde\x12\x04\x95 cut")
    with pytest.raises(UserError, match="not a gettext catalogue"):
        read(path, "gettext", ["en", "de"])


@pytest.mark.skipif(not CATALOGUES, reason="this machine has no German catalogues")
def test_a_real_catalogue():
    rows = [texts for path in CATALOGUES[:3] for _, texts in read(path, "gettext", ["en", "de"])]
    assert rows and all(source and target for source, target in rows)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real files are not here")
def test_real_sentences_of_tatoeba_in_the_layout_of_opus(tmp_path):
    sides = {
        code: (DATA / f"tatoeba/tatoeba.deu-eng.{name}").read_text(encoding="utf-8")
        for code, name in (("de", "deu"), ("en", "eng"))
    }
    members = {f"Tatoeba.de-en.{code}": text for code, text in sides.items()}
    rows = read(zipped(tmp_path / "original", members), "moses", ["en", "de"])
    assert len(rows) == 1000
    assert [pair[1] for _, pair in rows] == sides["de"].rstrip("\n").split("\n")
    table = "".join(f"{pair[0]}\t{pair[1]}\n" for _, pair in rows)
    plain = packed(tmp_path / "plain", table)
    assert read(plain, "bitext", ["en", "de"], languages=("en", "de")) == rows


def extracted(tmp_path, path, form, instance, **settings):
    target = tmp_path / "rows.parquet"
    wanted = ExtractSettings(format=form, **settings)
    run_stage(extract.run, wanted, {"file": [path]}, {"rows": [target]}, instance)
    return target


def test_documents_become_rows(tmp_path):
    path = xz(tmp_path / "original", "One.\nTwo.\n\nThree.\n")
    rows = extracted(tmp_path, path, "cc100", "web/de")
    ids, groups, texts = read_table(rows, ["id", "group", "text"])
    assert ids == ["web:0", "web:1", "web:2"]
    assert groups == ["web:0", "web:0", "web:1"]
    assert texts == ["One.", "Two.", "Three."]


def test_pairs_become_rows_that_stand_alone(tmp_path):
    path = zipped(tmp_path / "original", OPUS)
    rows = extracted(tmp_path, path, "moses", "un/en-fr")
    ids, groups, sources = read_table(rows, ["id", "group", "source"])
    assert ids == groups == ["un:0", "un:1", "un:2"]
    assert sources == ["One.", "Two\u2028halves.", ""]


def test_a_member_is_never_unpacked_to_disk(tmp_path):
    path = zipped(tmp_path / "original", OPUS)
    with archive.member_stream(path, "en") as stream:
        stream.readline()
        assert [file.name for file in tmp_path.iterdir()] == ["original"]
