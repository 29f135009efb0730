"""What readers refuse, and what they leave out: counted, kept for reading, and bounded."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import polib
import pyarrow as pa
import pytest

from ernie_m.config.corpora import ExtractSettings
from ernie_m.corpora import extract
from ernie_m.corpora.readers import leftovers
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from tests.corpora.synthetic import run_stage

BOM = codecs.BOM_UTF8


class Extracted:
    """Extraction of ``content``: its rows, statistics and malformed lines."""

    def __init__(self, folder, content, form, languages, **settings):
        path = folder / "original"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        files = {"rows": "rows.parquet", "stats": "stats.json", "bad_lines": "bad_lines.jsonl"}
        outputs = {name: [folder / file] for name, file in files.items()}
        given = {"languages": tuple(languages), "max_bad_lines": 0.01} | settings
        run_stage(
            extract.run,
            ExtractSettings(format=form, **given),
            {"file": [path]},
            outputs,
            f"toy/{'-'.join(languages)}",
        )
        names = ["source", "target"] if len(languages) == 2 else ["text"]
        self.texts = list(zip(*read_table(folder / "rows.parquet", names), strict=True))
        self.stats = json.loads((folder / "stats.json").read_text())
        self.bad = list(map(json.loads, (folder / "bad_lines.jsonl").read_text().splitlines()))


PAIRS = "One.\tEins.\nTwo.\tZwei\tzwei.\nThree.\tDrei.\n"


def test_a_malformed_line_is_left_out_counted_and_kept(tmp_path, caplog):
    found = Extracted(tmp_path, PAIRS, "bitext", ["en", "de"])
    assert found.texts == [("One.", "Eins."), ("Three.", "Drei.")]
    assert (found.stats["rows_out"], found.stats["lines"], found.stats["malformed"]) == (2, 3, 1)
    what = "has 3 columns instead of 2"
    assert found.bad == [{"line": 2, "what": what, "text": "Two.\tZwei\tzwei."}]
    assert "left out 1 malformed" in caplog.text


@pytest.mark.parametrize(
    ("lines", "bad", "share", "fine"),
    [
        (3, 1, 0.01, True),
        (3, 2, 0.01, False),
        (300, 3, 0.01, True),
        (300, 4, 0.01, False),
        (300, 1, 0.0, False),
        (10, 9, 1.0, True),
    ],
)
def test_the_share_is_of_all_lines_and_rounded_up(tmp_path, lines, bad, share, fine):
    text = "a\tb\n" * (lines - bad) + "a\n" * bad
    if fine:
        assert (
            Extracted(tmp_path, text, "bitext", ["en", "de"], max_bad_lines=share).stats[
                "malformed"
            ]
            == bad
        )
    else:
        with pytest.raises(UserError, match=r"original, line \d+ has 1 columns") as error:
            Extracted(tmp_path, text, "bitext", ["en", "de"], max_bad_lines=share)
        assert f"line {lines - bad + 1} " in error.value.what
        assert "corpora.max_bad_lines" in error.value.fix
        assert not (tmp_path / "rows.parquet").exists()


def test_another_file_is_refused_before_it_is_read_to_its_end(tmp_path):
    with pytest.raises(UserError, match=r"line 1 has 1 columns .* of 101 read 101 are malformed"):
        Extracted(tmp_path, "a\n" * 1_000_000, "bitext", ["en", "de"])


def test_what_is_kept_of_malformed_lines_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "KEPT", 3)
    monkeypatch.setattr(leftovers, "KEPT_CHARACTERS", 10)
    text = "a\tb\n" + ("x" * 1000 + "\n") * 20
    found = Extracted(tmp_path, text, "bitext", ["en", "de"], max_bad_lines=1)
    assert found.stats["malformed"] == 20
    assert [(one["line"], one["text"]) for one in found.bad] == [(n, "x" * 10) for n in (2, 3, 4)]


GOOD = {
    "cc100": "Eins.",
    "ccnet_text": "Eins.",
    "ccnet": json.dumps({"raw_content": "Eins."}),
    "bitext": "Eins.\tOne.",
    "wikimatrix": "1.2\tEins.\tOne.",
}
LANGUAGES = {form: ["de", "en"] if "\t" in GOOD[form] else ["de"] for form in GOOD}
BAD = {
    "cc100": [b"bro\xffken", b"a\0b"],
    "ccnet_text": [b"bro\xffken", b"a\0b"],
    "ccnet": [
        *(b"bro\xffken", b"{}", b"[]", b"5", b'{"raw_content": 5}', b'{"raw_content": "cut'),
        *(b"[" * 20_000, b'{"raw_content": ' + b"9" * 5000 + b"}"),
    ],
    "bitext": [b"One.", b"", b"One.\tbro\xffken", b"a\0\tb"],
    "wikimatrix": [b"1.2\tx", b"high\ta\tb", b"nan\ta\tb", b"inf\ta\tb", b"\ta\tb"],
}


@pytest.mark.parametrize(
    ("form", "bad"),
    [pytest.param(form, bad, id=f"{form}{n}") for form in BAD for n, bad in enumerate(BAD[form])],
)
def test_what_is_malformed_in_each_format_of_lines(tmp_path, form, bad):
    languages = LANGUAGES[form]
    good = GOOD[form].encode()
    content = b"\n".join([good, bad, good, b""])
    found = Extracted(tmp_path, content, form, languages)
    assert [texts[0] for texts in found.texts] == ["Eins."] * 2
    assert [one["line"] for one in found.bad] == [2]
    assert found.stats["malformed"] == 1


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_byte_order_mark_carries_nothing(tmp_path, form, pack):
    languages = LANGUAGES[form]
    content = pack(BOM + GOOD[form].encode() + b"\r\n")
    found = Extracted(tmp_path, content, form, languages, max_bad_lines=0)
    assert [texts[0] for texts in found.texts] == ["Eins."]


def test_blank_lines_and_control_characters_of_json_lines_carry_nothing(tmp_path):
    line = '{"raw_content": "Eins\tund\x0bzwei."}\n'
    found = Extracted(tmp_path, line + "\n \n" + line, "ccnet", ["de"], max_bad_lines=0)
    assert found.texts == [("Eins\tund\x0bzwei.",)] * 2


def tar(name, content):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as file:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def archive(name, content):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        file.writestr(name, content)
    return sink.getvalue()


TEXT = b"Eins.\nZwei.\n" * 50
FOREIGN = {
    "packed by zstd": pa.compress(TEXT, codec="zstd", asbytes=True),
    "packed by lz4": b"\x04\x22\x4d\x18" + TEXT,
    "a zip archive": archive("a.txt", TEXT),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\0\4" + TEXT,
    "a RAR archive": b"Rar!\x1a\x07\x01\0" + TEXT,
    "packed by compress": b"\x1f\x9d\x90" + TEXT,
    "packed by lzip": b"LZIP\x01" + TEXT,
    "packed by the old lzma": lzma.compress(TEXT, format=lzma.FORMAT_ALONE),
    "a tar archive": tar("a.txt", TEXT),
    "a PDF": b"%PDF-1.7\n" + TEXT,
    "a Parquet file": b"PAR1" + TEXT,
    "text in UTF-16": TEXT.decode().encode("utf-16"),
    "packed twice": gzip.compress(TEXT),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a web page": b"<!DOCTYPE html>\n<html>",
}


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_text_is_refused_by_name(tmp_path, kind, form):
    languages = LANGUAGES[form]
    for pack in (gzip.compress, *([bytes] if kind != "packed twice" else [])):
        with pytest.raises(UserError, match=f"original is {kind}"):
            Extracted(tmp_path, pack(FOREIGN[kind]), form, languages, max_bad_lines=1)


@pytest.mark.parametrize("form", [archive, tar], ids=["zip", "tar"])
def test_members_of_archives_are_looked_at_too(tmp_path, form):
    content = form("a.en", FOREIGN["packed by zstd"])
    with pytest.raises(UserError, match=r"member a\.en is packed by zstd"):
        Extracted(tmp_path, content, "moses", ["en", "de"])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be"])
def test_text_in_another_encoding_is_refused(tmp_path, encoding):
    text = "Bitte schließen Sie die Tür.\n" * 30
    with pytest.raises(UserError, match=r"line 1 (is not UTF-8 from its byte 13|holds NUL)"):
        Extracted(tmp_path, text.encode(encoding), "cc100", ["de"])


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress],
    ids=["plain", "gzip", "bzip2", "xz"],
)
def test_every_format_may_be_packed(tmp_path, compress):
    table = "en,de\nOne.,Eins.\n"
    found = Extracted(tmp_path, compress(table.encode()), "pair_table", ["en", "de"], kind="csv")
    assert found.texts == [("One.", "Eins.")]


def test_sides_of_a_broken_line_are_left_out_together(tmp_path):
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        file.writestr("a.en", BOM + b"One.\nTwo.\nThree.\n")
        file.writestr("a.de", b"Eins.\nbro\xffken\nDrei.\n")
    found = Extracted(tmp_path, (tmp_path / "file").read_bytes(), "moses", ["en", "de"])
    assert found.texts == [("One.", "Eins."), ("Three.", "Drei.")]
    assert [one["line"] for one in found.bad] == [2]


def test_low_scores_are_counted_wherever_they_stand(tmp_path):
    text = "1.0\tA.\tA.\n1.2\tEins.\tOne.\n0.5\tB.\tB.\n1.1\tZwei.\tTwo.\n"
    found = Extracted(tmp_path, text, "wikimatrix", ["en", "de"], min_score=1.1)
    assert found.texts == [("One.", "Eins."), ("Two.", "Zwei.")]
    assert found.stats["skipped"] == {"with a score below `min_score`": 2}


# --- translation memories ------------------------------------------------------------------


def tmx(*units, head='<?xml version="1.0"?>'):
    sides = (
        "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in unit)
        for unit in units
    )
    return f"{head}<tmx><body>{''.join(f'<tu>{unit}</tu>' for unit in sides)}</body></tmx>"


def test_the_variant_that_suits_best_is_taken_from_each_unit(tmp_path):
    memory = tmx(
        [("EN_us", "one"), ("zh-TW", "一(臺)"), ("zh_CN", "一")],
        [("en-GB", "two (British)"), ("en", "two"), ("zh-Hant", "二(臺)")],
        [("en", "three"), ("zh-sg", "三(新)"), ("zh", "三"), ("yue", "?")],
    )
    for code, right in {
        "zh": [("one", "一"), ("three", "三")],
        "zh_hant": [("one", "一(臺)"), ("two", "二(臺)")],
    }.items():
        found = Extracted(tmp_path, memory, "tmx", ["en", code])
        assert found.texts == right
        assert found.stats["skipped"] == {f"without text in `{code}`": 1}
        assert found.stats["lines"] == 3
        assert found.stats["tags"]["yue"] == 1


def test_without_any_unit_the_tags_are_listed(tmp_path):
    memory = tmx(*[[("en", "one"), ("gsw-CH", "eis")]] * 2)
    message = (
        r"no text in language `en-de`; its language tags are en \(2\), gsw-CH \(2\); left out "
    )
    with pytest.raises(UserError, match=message + "are 2 without text in `de`"):
        Extracted(tmp_path, memory, "tmx", ["en", "de"])


def test_only_so_many_tags_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "TAGS", 10)
    memory = tmx(*([("en", "a"), ("de", "b"), (f"x-{n}", "c")] for n in range(50)))
    found = Extracted(tmp_path, memory, "tmx", ["en", "de"])
    assert (len(found.stats["tags"]), found.stats["tags"]["others"]) == (11, 42)


@pytest.mark.parametrize("sign", ["\x08", "\x1f", "&#8;", "&#x1F;", "&#x0;", "&#xD800;", "\uffff"])
@pytest.mark.parametrize("before", [0, 65_400, 65_536, 65_440])
def test_control_characters_do_not_refuse_a_memory(tmp_path, sign, before):
    """Wherever the blocks in which it is read end."""
    long = tmx([("en", "x" * before), ("de", "y")], [("en", f"a {sign}b &amp; c"), ("de", "d")])
    found = Extracted(tmp_path, long, "tmx", ["en", "de"])
    assert found.texts[1] == ("a b & c", "d")
    assert found.stats["skipped"] == {"control characters": 1}


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        *(
            ("utf-8", "UTF-8"),
            ("utf-8-sig", "UTF-8"),
            ("utf-16", "UTF-16"),
            ("utf-16-le", "UTF-16"),
        ),
        *(("utf-16-be", "UTF-16"), ("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252")),
    ],
)
def test_a_memory_is_read_in_its_own_encoding(tmp_path, encoding, name):
    head = f'<?xml version="1.0" encoding="{name}"?>'
    memory = tmx([("en", "door"), ("de", "Tür")], head=head)
    found = Extracted(tmp_path, memory.encode(encoding), "tmx", ["en", "de"])
    assert found.texts == [("door", "Tür")]


@pytest.mark.parametrize("name", ["zlib", "rot13", "no-such", "undefined"])
def test_what_is_no_encoding_is_refused(tmp_path, name):
    memory = tmx([("en", "a"), ("de", "b")], head=f'<?xml version="1.0" encoding="{name}"?>')
    with pytest.raises(UserError, match="not a TMX file"):
        Extracted(tmp_path, memory, "tmx", ["en", "de"])


def test_a_broken_byte_does_not_refuse_a_memory(tmp_path):
    content = tmx([("en", "a@b"), ("de", "c")], [("en", "d"), ("de", "e")]).encode()
    found = Extracted(tmp_path, content.replace(b"@", b"\xff"), "tmx", ["en", "de"])
    assert found.texts == [("a\ufffdb", "c"), ("d", "e")]


# --- tags of other formats -----------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_members_of_an_archive_are_chosen_by_their_tags(tmp_path, order):
    members = {"a.en_GB": "colour", "a.en": "color", "a.zh_TW": "臺", "a.zh_CN": "台", "a.ids": "1"}
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        for name, text in list(members.items())[::order]:
            file.writestr(name, text + "\n")
    content = (tmp_path / "file").read_bytes()
    assert Extracted(tmp_path, content, "moses", ["en", "zh"]).texts == [("color", "台")]
    assert Extracted(tmp_path, content, "moses", ["en", "zh_hant"]).texts == [("color", "臺")]
    with pytest.raises(UserError, match=r"in a tag of `ru`, as \.ru; it has "):
        Extracted(tmp_path, content, "moses", ["en", "ru"])


def compiled(**messages):
    catalogue = polib.MOFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    for english, translation in messages.items():
        catalogue.append(polib.POEntry(msgid=english, msgstr=translation))
    return catalogue.to_binary()


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_catalogue_in_several_variants_one_is_read(tmp_path, order):
    members = {
        "app/pt_PT/LC_MESSAGES/a.mo": compiled(File="Ficheiro"),
        "app/pt_BR/LC_MESSAGES/a.mo": compiled(File="Arquivo"),
        "app/pt_PT/LC_MESSAGES/b.mo": compiled(Save="Guardar"),
    }
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        for name, content in list(members.items())[::order]:
            file.writestr(name, content)
    found = Extracted(tmp_path, (tmp_path / "file").read_bytes(), "gettext", ["en", "pt"])
    assert sorted(found.texts) == [("File", "Arquivo"), ("Save", "Guardar")]


@pytest.mark.parametrize("order", [1, -1])
def test_of_an_integration_in_several_variants_one_is_read(tmp_path, order):
    folder = "homeassistant/components/sun/translations"
    texts = {"pt": "a", "pt-BR": "b", "zh-Hant": "臺", "zh-Hans": "台", "nb": "n"}
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        for tag, text in list(texts.items())[::order]:
            file.writestr(f"{folder}/{tag}.json", BOM + json.dumps({"title": text}).encode())
    content = (tmp_path / "file").read_bytes()
    for code, right in {"pt": "a", "zh": "台", "zh_hant": "臺", "no": "n"}.items():
        assert Extracted(tmp_path, content, "homeassistant", [code]).texts == [(right,)]


HASH = 32 * "0"


@pytest.mark.parametrize(
    ("form", "names", "key", "group"),
    [
        (
            "homeassistant_frontend",
            ("hass_frontend/static/translations/%s-" + HASH + ".json", "%s-" + HASH + ".json"),
            "ui.panel.config.zha.title.short",
            "ui.panel.config.zha",
        ),
        (
            "homeassistant_frontend",
            ("hass_frontend/static/translations/config/%s-" + HASH + ".json", "config/%s.json"),
            "ui.panel.config.zha.title",
            "config.ui.panel.config.zha",
        ),
        (
            "kolibri",
            ("kolibri/locale/%s/LC_MESSAGES/core.app-messages.json", "kolibri/locale/%s/x.json"),
            "AddDevice.title",
            "core.app.AddDevice",
        ),
    ],
)
def test_interface_text_is_read_by_part_and_key(tmp_path, form, names, key, group):
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        for tag, text in {"zh_Hans": "台", "zh-Hant": "臺", "de": "a"}.items():
            content = {key: text, f"{key}s": "{n, plural, one {x} other {y}}"}
            file.writestr(names[0] % tag, json.dumps(content))
            file.writestr(names[1] % tag, json.dumps({key: "of another layout"}))
    found = Extracted(tmp_path, (tmp_path / "file").read_bytes(), form, ["zh"])
    assert found.stats["skipped"] == {"with ICU plurals or choices": 1}
    rows = read_table(tmp_path / "rows.parquet", ["id", "group", "text"])
    assert list(zip(*rows, strict=True)) == [(f"toy:{group}:{key}", f"toy:{group}", "台")]


@pytest.mark.parametrize("depth", [950, 20_000])
def test_a_deeply_nested_member_is_named(tmp_path, depth):
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        name = "homeassistant/components/sun/translations/de.json"
        file.writestr(name, '{"a":' * depth + '"b"' + "}" * depth)
    with pytest.raises(UserError, match=r"de\.json is not JSON"):
        Extracted(tmp_path, (tmp_path / "file").read_bytes(), "homeassistant", ["de"])


def test_columns_and_cells_of_tables_are_tags(tmp_path):
    wide = "id,en_US,zh-TW,zh-CN\n1,Open,開啟,打开\n"
    for form in ("table", "pair_table"):
        for code, right in {"zh": "打开", "zh_hant": "開啟"}.items():
            wanted = [code] if form == "table" else ["en", code]
            found = Extracted(tmp_path, wide, form, wanted, kind="csv")
            assert found.texts == [(right,) if form == "table" else ("Open", right)]
    rows = [("1", "PT", "a"), ("1", "pt-BR", "b"), ("2", "pt-PT", "c"), ("2", "pt_BR", "d")]
    rows += [("3", "en", "e")]
    long = "".join(
        f"{id}\t{tag}\t{text}\n" for id, tag, text in [("id", "language", "text"), *rows]
    )
    found = Extracted(tmp_path, long, "table", ["pt"], kind="tsv")
    assert found.texts == [("a",), ("d",)]
    assert found.stats["tags"] == {"PT": 1, "pt-BR": 1, "pt-PT": 1, "pt_BR": 1, "en": 1}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("csv", "en,de\na,b\n", ["a", "a,b,c", '"a"b,c']),
        ("tsv", "en\tde\na\tb\n", ["a", "a\tb\tc"]),
        ("jsonl", '{"en": "a", "de": "b"}\n', ["a", "[]", '{"en": "a"}', '{"en": "a", "de": 5}']),
    ],
)
def test_a_malformed_row_of_a_table_is_left_out(tmp_path, kind, good, bad):
    for line in bad:
        content = good + line + "\n" + good.splitlines()[-1] + "\n"
        found = Extracted(tmp_path, content, "pair_table", ["en", "de"], kind=kind)
        assert found.texts == [("a", "b")] * 2
        assert [one["line"] for one in found.bad] == [good.count("\n") + 1]
