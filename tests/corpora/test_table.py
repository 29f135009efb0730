"""Text of one's own: every kind of file gives the same rows, and faults are named."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ernie_m.config.corpora import CorporaSettings, ExtractSettings, load_registry
from ernie_m.config.root import Config
from ernie_m.corpora import extract
from ernie_m.corpora.readers import streams, table
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from tests.corpora.synthetic import deal_rows, filter_rows, run_stage, sentence

# Words that a reader may take for something else: missing values, numbers, signs of the format.
WIDE = [
    {"id": "007", "group": "a", "en": "NA", "de": "k. A."},
    {"id": "1e3", "group": "a", "en": "1.50", "de": "1,50"},
    {"id": "null", "group": "b", "en": 'Say "yes", then go', "de": "Sag „ja“ [1]"},
    {"id": "x", "group": "b", "en": "Open", "de": ""},
]
LONG = [
    {"id": row["id"], "group": row["group"], "language": code, "text": row[code]}
    for row in WIDE
    for code in ("en", "de")
]
KINDS = ("jsonl", "csv", "tsv", "parquet")


def write(path, kind, rows):
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "tsv":
        lines = [list(rows[0]), *(row.values() for row in rows)]
        path.write_text("".join("\t".join(line) + "\n" for line in lines))
    else:
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path, language="en", kind="csv"):
    return list(table.read(path, language, Leftovers(path, 0), kind))


def written(tmp_path, text):
    path = tmp_path / "original"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("rows", [WIDE, LONG], ids=["wide", "long"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_layout_gives_the_same_rows(tmp_path, kind, rows):
    path = write(tmp_path / "original", kind, rows)
    for code in ("en", "de"):
        expected = [(row["group"], row["id"], row[code]) for row in WIDE if row[code]]
        assert read(path, code, kind) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_without_ids_and_groups_rows_are_numbered_and_stand_alone(tmp_path, kind):
    rows = [{"en": row["en"], "de": row["de"]} for row in WIDE]
    path = write(tmp_path / "original", kind, rows)
    assert [row[:2] for row in read(path, "de", kind)] == [("1", "1"), ("2", "2"), ("3", "3")]


def test_lines_are_rows_of_the_language_that_is_asked_for(tmp_path):
    path = written(tmp_path, '\ufeffOne, "two"\r\n\r\nNA\nlast')
    assert read(path, "ko", "txt") == [
        ("1", "1", 'One, "two"'),
        ("3", "3", "NA"),
        ("4", "4", "last"),
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_ids_may_be_whole_numbers_and_groups_dates(tmp_path, kind):
    rows = [{"id": n, "group": f"2026-11-2{n}", "en": "text"} for n in range(2)]
    found = read(write(tmp_path / "original", kind, rows), "en", kind)
    assert [name for _, name, _ in found] == ["0", "1"]
    assert [group[:10] for group, _, _ in found] == ["2026-11-20", "2026-11-21"]


def test_many_rows_keep_the_types_of_the_first(tmp_path):
    """`datasets` reads ten thousand rows at a time; ids that look like numbers may end later."""
    rows = [{"id": str(n), "en": f"text {n}"} for n in range(10_001)] + [{"id": "a", "en": "last"}]
    assert read(write(tmp_path / "original", "csv", rows))[-1] == ("a", "a", "last")


def test_folder_names_are_not_patterns(tmp_path):
    folder = tmp_path / "a[b]*"
    folder.mkdir()
    assert read(written(folder, "en\nHello\n")) == [("1", "1", "Hello")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en,fr\na,b\n", "no column `de`; it has `en`, `fr`"),
        ("id,text\n1,b\n", "no column `language`; it has `id`, `text`"),
        ("text,language\na,de\nb,\n", "row 2 has an empty language"),
        ("id,de\n1,a\n1,b\n", "row 2: id `1` is already that of row 1 in `de`"),
        (
            "id,group,text,language\n1,a,x,en\n1,b,y,de\n",
            "row 2: id `1` is in group `b`, and before in `a`",
        ),
        ("de,de\na,b\n", "not CSV throughout: two columns have the same name"),
        ("", "not CSV throughout: it is empty"),
        ("en,de\n", "not CSV throughout: it has no rows"),
        ("en,de\na,b\na,b,c\n", "line 3 has 3 columns instead of 2"),
        ("en,de\na,b,c\nd,e,f\n", "line 2 has 3 columns instead of 2"),
        ('en,de\n"a\nb",c,d\ne,f\n', "quotation from line 2 on gives 3 columns"),
        ('en,de\n"a,b\n"c",d\n', "quotation from line 2 on .*expected after"),
        ('en,de\n"a"b,c\n', "line 2 is not CSV"),
        ('en,de\n"a,b\n', "not CSV throughout: the quotation from line 2 on"),
        (b"de\ncaf\xe9\n", "line 2 is not UTF-8 from its byte 4 on"),
        (b"de\na\0b\n", "line 2 holds NUL bytes"),
    ],
)
def test_faults_of_a_csv_file_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=f"original.*{message}"):
        read(written(tmp_path, text), "de")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("jsonl", '{"en": "a"}\n\n{"en": "b', "line 3 is not JSON .Unterminated"),
        ("jsonl", "en,de\na,b\n", "line 1 is not JSON .Expecting value"),
        ("jsonl", "5\n6\n", "line 1 is not an object"),
        ("jsonl", '{"en": 5}\n', "row 1: column `en` holds '5', which is not text"),
        ("jsonl", '{"en": ["a"]}\n', "row 1: column `en` holds .*, which is not text"),
        ("jsonl", '{"en": "a", "id": [1]}\n', r"row 1: column `id` holds \[1\], which names"),
        ("parquet", "en,de\na,b\n", "not Parquet throughout"),
        ("parquet", "", "not Parquet throughout"),
        ("txt", b"PK\3\4\0", "is a zip archive"),
    ],
)
def test_faults_of_other_kinds_are_named(tmp_path, kind, text, message):
    with pytest.raises(UserError, match=f"original.*{message}"):
        read(written(tmp_path, text), "en", kind)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = write(tmp_path / "original", "parquet", WIDE)
    content = bytearray(path.read_bytes())
    content[10:40] = bytes(30)
    with pytest.raises(UserError, match="not Parquet throughout"):
        read(written(tmp_path, bytes(content)), "en", "parquet")


def test_an_empty_parquet_file_has_no_rows(tmp_path):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "original")
    with pytest.raises(UserError, match="not Parquet throughout: it has no rows"):
        list(
            table.read_documents(
                tmp_path / "original", ["en"], Leftovers(tmp_path / "original", 0), "parquet"
            )
        )


def test_indonesian_needs_the_other_layout(tmp_path):
    with pytest.raises(UserError, match="ids and Indonesian"):
        read(written(tmp_path, "id,en\nSatu,One\n"), "id")
    path = written(tmp_path, "id,text,language\n1,Satu,id\n")
    assert read(path, "id") == [("1", "1", "Satu")]


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rooms))
    read(written(tmp_path, "en\na\n"))
    assert not list(rooms.iterdir())


DOCUMENTS = [{"text": "NA\n\n 1.50, then \nlast"}, {"text": ""}, {"text": "007"}]
PARAGRAPHS = [("1", ("NA",)), ("1", (" 1.50, then ",)), ("1", ("last",)), ("3", ("007",))]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_row_is_a_document_and_its_lines_paragraphs(tmp_path, kind):
    path = write(tmp_path / "original", kind, DOCUMENTS)
    assert list(table.read_documents(path, ["en"], Leftovers(path, 0), kind)) == PARAGRAPHS


def test_plain_lines_are_documents(tmp_path):
    path = written(tmp_path, "One\n\nTwo\r\n")
    assert list(table.read_documents(path, ["en"], Leftovers(path, 0), "txt")) == [
        ("1", ("One",)),
        ("3", ("Two",)),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_a_pair(tmp_path, kind):
    path = write(tmp_path / "original", kind, WIDE)
    expected = [("", (row["de"], row["en"])) for row in WIDE]
    assert list(table.read_pairs(path, ["de", "en"], Leftovers(path, 0), kind)) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_lone_carriage_return_does_not_part_a_pair(tmp_path, end):
    path = written(tmp_path, end.join(["\ufeffen\tde", "One\rline\tEine\rZeile", "Two\tZwei", ""]))
    pairs = [("", ("One\rline", "Eine\rZeile")), ("", ("Two", "Zwei"))]
    assert list(table.read_pairs(path, ["en", "de"], Leftovers(path, 0), "tsv")) == pairs
    assert [text for *_, text in read(path, "de", "tsv")] == ["Eine\rZeile", "Zwei"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_pairs_of_the_hub_stand_in_one_column(tmp_path, kind):
    rows = [{"translation": {"en": row["en"], "de": row["de"]}} for row in WIDE]
    path = write(tmp_path / "original", kind, rows)
    expected = [("", (row["en"], row["de"])) for row in WIDE]
    assert list(table.read_pairs(path, ["en", "de"], Leftovers(path, 0), kind)) == expected


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_documents_are_read_as_a_stream(tmp_path, monkeypatch, kind):
    """The first rows come before the rest is looked at, and nothing is unpacked beside the file."""
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rooms))
    path = tmp_path / "original"
    rows = [{"text": f"{n} " + "long " * 200} for n in range(50_000)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = bytes(2000)
        path.write_bytes(content)
    else:
        write(path, kind, rows)
        path.write_text(path.read_text() + '{"text"')
    found = table.read_documents(path, ["en"], Leftovers(path, 0), kind)
    assert next(found)[0] == "1"
    assert sum(file.stat().st_size for file in rooms.rglob("*") if not file.is_symlink()) < 100_000
    with pytest.raises(UserError, match="original"):
        list(found)
    assert not list(rooms.iterdir())


@pytest.mark.parametrize(
    "packed", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"]
)
def test_lines_of_json_are_read_each_by_itself(tmp_path, packed):
    """Further fields may come and go and change their types, in a file of any size."""
    rows = [{"text": "long " * 300, "score": 1}] * 8_000
    rows += [{"text": "2026-11-22", "score": "high", "more": {"a": [1]}}, {"text": "a\udc00b"}]
    path = written(tmp_path, packed("\ufeff" + "\r\n\n".join(map(json.dumps, rows))))
    found = list(table.read_documents(path, ["en"], Leftovers(path, 0), "jsonl"))
    assert len(found) == 8_002
    assert [text for _, (text,) in found[-2:]] == ["2026-11-22", "a\udc00b"]


def test_a_table_is_refused_for_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    path = written(tmp_path, "text\n" + "a" * 1001)
    with pytest.raises(UserError, match="line 2 is longer than 1,000 bytes"):
        list(table.read_documents(path, ["en"], Leftovers(path, 0), "csv"))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("jsonl", '[{"text": "a"}]', "line 1 is not an object"),
        ("jsonl", "[" * 100_000, "line 1 is not JSON .it is nested too deeply"),
        ("jsonl", '{"content": "a"}\n', "line 1 has no column `text`; it has `content`"),
        ("jsonl", '{"text": ["a"]}\n', "line 1 holds .*, which is not text, in column `text`"),
        ("jsonl", '{"text": "a"}\n{"text": "b', "line 2 is not JSON .Unterminated"),
        ("csv", "text\na\nb,c\n", "line 3 has 2 columns instead of 1"),
        ("parquet", "text\na\n", "not Parquet throughout"),
        ("csv", "", "not CSV throughout: it is empty"),
        ("jsonl", '{"text": "a"}\n\xff', "line 2 is not UTF-8"),
    ],
)
def test_faults_of_documents_are_named(tmp_path, kind, text, message):
    path = written(tmp_path, text.encode("latin1"))
    with pytest.raises(UserError, match=f"original.*{message}"):
        list(table.read_documents(path, ["en"], Leftovers(path, 0), kind))


def test_tables_become_rows_of_documents_and_pairs(tmp_path):
    path, rows = tmp_path / "original", tmp_path / "rows.parquet"
    write(path, "parquet", DOCUMENTS)
    wanted = ExtractSettings(format="document_table", kind="parquet", languages=("en",))
    run_stage(extract.run, wanted, {"file": [path]}, {"rows": [rows]}, "own/en")
    assert read_table(rows, ["group"]) == [["own:1", "own:1", "own:1", "own:3"]]
    write(path, "jsonl", WIDE)
    wanted = ExtractSettings(format="pair_table", kind="jsonl", languages=("en", "de"))
    run_stage(extract.run, wanted, {"file": [path]}, {"rows": [rows]}, "own/de-en")
    assert read_table(rows, ["target"]) == [[row["en"] for row in WIDE]]
    path.write_text('{"en": "lone \\udc00", "de": "x"}')  # valid in JSON and in no encoding
    run_stage(extract.run, wanted, {"file": [path]}, {"rows": [rows]}, "own/de-en")
    assert read_table(rows, ["target"]) == [["lone ?"]]


def test_a_table_is_not_read_without_its_kind():
    with pytest.raises(ValueError, match="pair_table needs `kind`, one of jsonl, csv"):
        ExtractSettings(format="pair_table", languages=("en", "de"))


def test_tasks_of_held_out_rows_need_rows(tmp_path):
    path = registry(tmp_path)
    (row,) = yaml.safe_load(path.read_text())
    forms = {"en": "document_table", "de": "document_table", "en-de": "pair_table"}
    rows = [
        row | {"id": name, "format": form, "languages": name.split("-")}
        for name, form in forms.items()
    ]
    path.write_text(yaml.safe_dump(rows))
    corpora = {"registry": str(path), "datasets": list(forms), "languages": ["en", "de"]}
    corpora |= {"pairs": ["en-de"]}
    with pytest.raises(ValueError, match="`standin_retrieval`, which is made of held-out"):
        Config.model_validate({"corpora": corpora})
    config = Config.model_validate({"corpora": corpora, "xtreme": {"tasks": ["tatoeba"]}})
    assert not config.corpora.dealt_languages


def registry(tmp_path, **changes):
    row = {
        "id": "own",
        "path": "own.csv",
        "version": "1",
        "filename": "own.csv",
        "sha256": "0" * 64,
        "bytes": 1,
        "licence": "CC0-1.0",
        "format": "table",
        "languages": ["en", "de"],
        "home": "",
    }
    path = tmp_path / "corpora.yaml"
    path.write_text(yaml.safe_dump([row | changes]))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filename": "own.xlsx"}, "a table, whose filename ends in one of .jsonl, .csv"),
        ({"filename": "own.txt"}, "plain lines, which have one language"),
        ({"format": "pair_tabel"}, "row 1, format of `own`: Input should be .*'pair_table'"),
    ],
)
def test_registry_rows_of_tables_are_checked(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_registry(registry(tmp_path, **changes))


def test_the_suffix_reaches_the_stage(tmp_path):
    path = registry(tmp_path, filename="own.JSONL")
    corpora = CorporaSettings(
        registry=str(path), datasets=("own",), languages=("en", "de"), pairs=("en-de",)
    )
    assert corpora.rows()["own"].extract_settings().kind == "jsonl"


def test_a_table_goes_through_the_stages_as_it_is(tmp_path):
    """Ids pair the languages, and a group is never torn apart."""
    rows = [
        {
            "id": str(number),
            "group": f"part{number // 4}",
            **{code: sentence(code, [number % 625, number % 25, 3]) for code in ("en", "de")},
        }
        for number in range(400)
    ]
    path = write(tmp_path / "original", "jsonl", rows)
    settings = load_registry(registry(tmp_path, filename="own.jsonl"))["own"].extract_settings()
    filtered = {}
    for code in ("en", "de"):
        target = tmp_path / code / "rows.parquet"
        run_stage(extract.run, settings, {"file": [path]}, {"rows": [target]}, f"own/{code}")
        filtered[code] = filter_rows(target, tmp_path, f"rows-{code}")
    folder = deal_rows(filtered, tmp_path, pairs=["en-de"])
    wording = {f"own:{row['group']}:{row['id']}": (row["en"], row["de"]) for row in rows}
    ids, *sides = read_table(folder / "parallel-en-de/train.parquet", ["id", "source", "target"])
    assert ids
    assert list(zip(*sides, strict=True)) == [wording[name] for name in ids]
    parts = [
        set(read_table(folder / f"rows-{part}-en.parquet", ["group"])[0])
        for part in ("train", "valid", "test")
    ]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts)) == 100
