"""Files of training text in the formats of their publishers, of a few kilobytes each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import polib

from ernie_m.arrow import pa, pq
from ernie_m.config.corpora import DatasetRow
from ernie_m.rehearse.archives import packed
from ernie_m.rehearse.words import Words

DOCUMENTS, PARAGRAPHS, PAIRS = 32, 4, 80
INTEGRATIONS = 60
FIELDS = ("host", "port", "token", "user")


def _words(row: DatasetRow) -> dict[str, Words]:
    return {code: Words(code, row.id) for code in row.languages}


def _documents(row: DatasetRow) -> list[list[str]]:
    (words,) = _words(row).values()
    return [words.sentences(PARAGRAPHS) for _ in range(DOCUMENTS)]


def _sides(row: DatasetRow, count: int = PAIRS) -> dict[str, list[str]]:
    return {code: words.sentences(count) for code, words in _words(row).items()}


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _compressed(row: DatasetRow, content: bytes) -> bytes:
    """As the name of the file says; the readers see by the first bytes which it is."""
    suffix = Path(row.filename).suffix
    if suffix == ".xz":
        return lzma.compress(content)
    return gzip.compress(content, mtime=0) if suffix == ".gz" else content


def _cc100(row: DatasetRow) -> bytes:
    text = "\n".join("".join(f"{line}\n" for line in lines) for lines in _documents(row))
    return lzma.compress(text.encode())


def _ccnet(row: DatasetRow) -> bytes:
    documents = ({"raw_content": "\n".join(lines)} for lines in _documents(row))
    return _compressed(row, _lines(map(json.dumps, documents)))


def _ccnet_text(row: DatasetRow) -> bytes:
    return _compressed(row, _lines(line for lines in _documents(row) for line in lines))


def _moses(row: DatasetRow) -> bytes:
    stem = Path(row.filename).stem
    members = {f"{stem}.{code}": _lines(lines) for code, lines in _sides(row).items()}
    tar = Path(row.filename).suffix in (".tgz", ".gz", ".bz2")
    return packed(row.filename if tar else "moses.zip", members)


def _tmx(row: DatasetRow) -> bytes:
    sides = _sides(row)
    units = (
        "".join(
            f"<tuv xml:lang={quoteattr(code)}><seg>{escape(text)}</seg></tuv>"
            for code, text in zip(sides, texts, strict=True)
        )
        for texts in zip(*sides.values(), strict=True)
    )
    body = "".join(f"<tu>{unit}</tu>\n" for unit in units)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<tmx version="1.4"><body>{body}</body></tmx>'
    return _compressed(row, text.encode())


def _bitext(row: DatasetRow) -> bytes:
    rows = zip(*_sides(row).values(), strict=True)
    return _compressed(row, _lines(map("\t".join, rows)))


def _wikimatrix(row: DatasetRow) -> bytes:
    sides = _sides(row)
    rows = zip(*(sides[code] for code in sorted(sides)), strict=True)
    return gzip.compress(_lines("\t".join(("1.2", *texts)) for texts in rows), mtime=0)


def _gettext(row: DatasetRow) -> bytes:
    sides = _sides(row)
    (code,) = sides.keys() - {"en"}
    catalogue = polib.POFile()
    for message, text in zip(sides["en"], sides[code], strict=True):
        catalogue.append(polib.POEntry(msgid=message, msgstr=text))
    suffix = Path(row.filename).suffix
    if suffix == ".po":
        return str(catalogue).encode()
    compiled: bytes = catalogue.to_binary()
    if suffix == ".mo":
        return compiled
    return packed("made.zip", {f"made/locale/{code}/LC_MESSAGES/made.mo": compiled})


def _table(row: DatasetRow) -> bytes:
    """A column for each language, of rows in groups; plain lines of the one language there is."""
    sides = _sides(row)
    if row.kind == "txt":
        return _compressed(row, _lines(next(iter(sides.values()))))
    if row.format == "document_table":
        return _tabled(row, {"text": ["\n".join(lines) for lines in _documents(row)]})
    groups = [f"group{number // 4}" for number in range(PAIRS)]
    return _tabled(row, sides if row.format == "pair_table" else {"group": groups, **sides})


def _tabled(row: DatasetRow, columns: Mapping[str, Sequence[str]]) -> bytes:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if row.kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table(dict(columns)), sink)
        return sink.getvalue()
    if row.kind == "jsonl":
        return _compressed(row, _lines(map(json.dumps, rows)))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), delimiter="," if row.kind == "csv" else "\t")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


# Where interface text lies in the wheel of each format.
_MEMBERS = {
    "homeassistant": "homeassistant/components/{part}/translations/{language}.json",
    "homeassistant_frontend": "hass_frontend/static/translations/{part}/{language}-"
    + "0" * 32
    + ".json",
    "kolibri": "kolibri/locale/{language}/LC_MESSAGES/{part}-messages.json",
}


def _interface(row: DatasetRow) -> bytes:
    """Interface text with the keys from which the stand-in tasks are made."""
    members: dict[str, str | bytes] = {}
    for code, words in _words(row).items():
        for number in range(INTEGRATIONS):
            name = f"brand{number}"
            content = json.dumps(_integration(f"Brand{number}", words), ensure_ascii=False)
            members[_MEMBERS[row.format].format(part=name, language=code)] = content
    return packed("made.whl", members)


def _integration(name: str, words: Words) -> dict[str, object]:
    user: dict[str, object] = {
        "title": words.sentence(4),
        "description": words.sentence(),
        "data": {field: f"{words.word()} {field}" for field in FIELDS},
        "data_description": {field: f"{words.sentence(9)} {name}." for field in FIELDS},
    }
    return {
        "title": name,
        "config": {
            "step": {"user": user},
            "error": {"bad": f"{words.sentence(5)} **{words.word()}** {words.word()}"},
            "abort": {"gone": words.sentence(8)},
        },
        "services": {
            "reset": {
                "name": words.sentence(3),
                "description": f"{words.sentence(6)} `{name.lower()}_id` {words.word()}.",
            }
        },
    }


_MAKERS: dict[str, Callable[[DatasetRow], bytes]] = {
    **dict.fromkeys(_MEMBERS, _interface),
    "table": _table,
    "cc100": _cc100,
    "ccnet": _ccnet,
    "ccnet_text": _ccnet_text,
    "document_table": _table,
    "moses": _moses,
    "tmx": _tmx,
    "bitext": _bitext,
    "wikimatrix": _wikimatrix,
    "gettext": _gettext,
    "pair_table": _table,
}


def dataset(row: DatasetRow) -> bytes:
    """The file of a registry row, in upstream's format, in all of its languages; the same bytes
    for the same row. Raises ``KeyError`` for a row that holds no text."""
    return _MAKERS[row.format](row)
