"""Reading the head of a file: all that is whole in it, and nothing else."""

import bz2
import gzip
import json
import logging
import lzma
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.config.corpora import ExtractSettings
from ernie_m.corpora import extract
from ernie_m.corpora.extract import reader_of
from ernie_m.corpora.readers import cc100
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from tests.corpora.synthetic import run_stage

PACK = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress}
UNPACK = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "xz": lzma.LZMADecompressor,
    "bzip2": bz2.BZ2Decompressor,
}
PACKED = list(UNPACK)
TEXT = "\n\n".join(
    "\n".join(f"Document {n}, line {k}: {n * k * k + n}" for k in range(n % 4 + 1))
    for n in range(16)
).encode()


def read(path, head):
    reader = reader_of(ExtractSettings(format="cc100", head_bytes=head))
    return list(reader(path, ("de",), Leftovers(path, 0)))


def in_two(packing, content, place):
    """A file of two streams, as tools that pack in parallel write it."""
    return PACK[packing](content[:place]) + PACK[packing](content[place:])


def there(packing, content):
    """What can be unpacked of a cut file."""
    if packing == "plain":
        return content
    found = b""
    while content:
        stream = UNPACK[packing]()
        found += stream.decompress(content)
        content = stream.unused_data
    return found


def of_whole_documents(text, rows):
    """Those of all ``rows`` that a text which ends anywhere has, but for its last document."""
    begun = text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]
    found = rows[: sum(map(bool, begun))]
    return [row for row in found if row[0] != found[-1][0]]


def check_head(path, packing, whole, rows, size):
    path.write_bytes(whole[:size])
    assert read(path, size) == of_whole_documents(there(packing, whole[:size]), rows)


def rows_of(path, content):
    path.write_bytes(content)
    return read(path, None)


@pytest.mark.parametrize("packing", PACK)
def test_wherever_a_file_is_cut_its_whole_documents_are_read(tmp_path, packing):
    path, whole = tmp_path / "original", in_two(packing, TEXT, 500)
    rows = rows_of(path, whole)
    assert len({group for group, _ in rows}) == 16
    for size in range(1, len(whole) + 1):
        check_head(path, packing, whole, rows, size)


lines = st.text(st.characters(exclude_characters="\n\r\0\ufeff", codec="utf-8"), max_size=12)


@given(st.lists(lines), st.sampled_from(sorted(PACK)), st.data())
def test_the_rows_of_a_head_are_a_prefix(tmp_path_factory, content, packing, data):
    path = tmp_path_factory.mktemp("head") / "original"
    text = "\n".join(content).encode()
    whole = in_two(packing, text, data.draw(st.integers(0, len(text))))
    rows = rows_of(path, whole)
    if whole:
        check_head(path, packing, whole, rows, data.draw(st.integers(1, len(whole))))


@pytest.mark.parametrize("packing", PACK)
def test_a_file_that_is_shorter_than_its_head_is_whole(tmp_path, packing):
    path = tmp_path / "original"
    rows = rows_of(path, PACK[packing](TEXT))
    assert read(path, path.stat().st_size + 1) == rows
    assert len(read(path, path.stat().st_size)) == len(rows) - 4  # of document 15


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("other", [-1, 1])
def test_a_cut_elsewhere_is_refused(tmp_path, packing, other):
    path = tmp_path / "original"
    path.write_bytes(PACK[packing](TEXT)[:150])
    message = {-1: "150 bytes, of which 149 were asked for", 1: "damaged or cut off"}[other]
    with pytest.raises(UserError, match=message):
        read(path, 150 + other)


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("place", [0, -3, -6])
def test_damage_before_the_cut_is_refused(tmp_path, packing, place):
    """In the header of the second stream, or at the checksum of the first."""
    first, path = len(PACK[packing](TEXT[:500])), tmp_path / "original"
    content = bytearray(in_two(packing, TEXT, 500)[: first + 100])
    content[first + place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut off"):
        read(path, len(content))


LINES = {
    "ccnet_text": "".join(f"Line {n}.\n" for n in range(40)),
    "ccnet": "".join(json.dumps({"raw_content": f"{n}.\nAnd {n}."}) + "\n" for n in range(40)),
    "bitext": "".join(f"Line {n}.\tZeile {n}.\n" for n in range(40)),
    "wikimatrix": "".join(f"{2 - n / 40}\tZeile {n}.\tLine {n}.\n" for n in range(40)),
}


@pytest.mark.parametrize("packing", ["plain", "gzip"])
@pytest.mark.parametrize("form", LINES)
def test_where_a_line_is_a_document_all_whole_lines_are_read(tmp_path, form, packing):
    pairs = form in ("bitext", "wikimatrix")
    given = {"languages": ("en", "de"), "min_score": 1.2} if pairs else {"languages": ("en",)}
    path, text = tmp_path / "original", LINES[form].encode()

    def rows_of_head(size):
        path.write_bytes(whole[:size])
        reader = reader_of(ExtractSettings(format=form, head_bytes=size, **given))
        return list(reader(path, given["languages"], Leftovers(path, 0)))

    whole = PACK[packing](text)
    rows = rows_of_head(None)
    for size in range(1, len(whole), 9):
        lines = there(packing, whole[:size]).count(b"\n")
        assert rows_of_head(size) == rows[: lines * len(rows) // 40 if form == "ccnet" else lines]


def extracted(tmp_path, path, **settings):
    target = tmp_path / "rows.parquet"
    wanted = ExtractSettings(format="cc100", **settings)
    run_stage(extract.run, wanted, {"file": [path]}, {"rows": [target]}, "web.head-9/de")
    return target


def test_what_is_left_out_at_the_cut_is_counted_in_the_log(tmp_path, caplog):
    path = tmp_path / "original"
    path.write_bytes(b"One.\n\nTwo.\nThree.\nFou")
    with caplog.at_level(logging.INFO):
        target = extracted(tmp_path, path, head_bytes=21)
    assert read_table(target, ["id", "group", "text"]) == [
        ["web.head-9:0"],
        ["web.head-9:0"],
        ["One."],
    ]
    assert "3 bytes of line 5 left out at the cut" in caplog.text
    assert "2 rows of the last document left out at the cut" in caplog.text


def test_a_head_without_a_whole_document_is_refused(tmp_path):
    path = tmp_path / "original"
    path.write_bytes(b"One.\nTwo.\nThr")
    with pytest.raises(UserError, match=r"first 13 bytes of dataset `web\.head-9` hold"):
        extracted(tmp_path, path, head_bytes=13)


def test_a_file_that_does_not_say_where_documents_end_is_read_in_constant_memory(tmp_path):
    """Of it the rows that were held back at the cut are left out."""
    path, peaks = tmp_path / "original", []
    for count in (20_000, 50_000):
        path.write_bytes(gzip.compress(b"".join(b"%099d\n" % n for n in range(count)), 1))
        reader = reader_of(ExtractSettings(format="cc100", head_bytes=path.stat().st_size))
        tracemalloc.start()
        rows = sum(1 for _ in reader(path, ("de",), Leftovers(path, 0)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count - cc100.HELD_ROWS <= rows < count
    assert peaks[1] < 1.1 * peaks[0]


def test_long_rows_are_held_back_by_their_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(cc100, "HELD_CHARACTERS", 1000)
    path = tmp_path / "original"
    path.write_bytes(b"".join(b"%099d\n" % n for n in range(105)))
    assert len(read(path, path.stat().st_size)) == 99
