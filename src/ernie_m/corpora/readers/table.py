"""Text in a table: CSV, TSV, Parquet, plain lines or JSON lines.

- ``document_table``: a row is a document, each line of its column ``text`` a paragraph.
- ``pair_table``: a row is a pair, with a column for each language, or with both texts in a column
  ``translation``, as on the Hugging Face hub.

These two are streamed, Parquet by row groups. A ``table`` of n-way parallel rows fits into memory
and has one of two layouts; the column ``text`` tells which:

- ``text`` and ``language``: a row is one text in one language. Rows with the same ``id`` are
  translations of one another.
- a column for each language: a row holds all translations of a text; an empty cell is a missing
  one.

Both may have ``id`` (else the row's number) and ``group`` (else the id). Plain lines are in the one
language that the registry row names. Languages are named by any tag that means them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ernie_m.arrow import pa, pq
from ernie_m.catalogue.tags import best_tag
from ernie_m.config.corpora import TableKind
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.readers.streams import MAX_LINE_BYTES, file_lines
from ernie_m.errors import UserError
from ernie_m.json_text import parse_json

_BATCH_ROWS = 1000
_NAMES = {
    "jsonl": "JSON lines",
    "csv": "CSV",
    "tsv": "TSV",
    "parquet": "Parquet",
    "txt": "plain text",
}


class Row(NamedTuple):
    """Cells by column; ``number`` counts rows, ``line`` is where the row begins."""

    number: int
    line: int
    cells: dict[str, Any]


def read(
    path: Path, language: str, left: Leftovers, kind: TableKind
) -> Iterator[tuple[str, str, str]]:
    """(group, id, text) of every row that has text in ``language``; raises :class:`UserError`
    for a file that is not of its kind, a missing column, and ids that contradict each other."""
    rows = list(_rows(path, left, kind, arrays=True))
    has = list(dict.fromkeys(name for row in rows for name in row.cells))
    column = "text" if "text" in has else best_tag(has, language) or language
    single = column == "text" and kind != "txt"
    _demand(path, has, [column, "language"] if single else [column])
    if column == "id":
        raise UserError(
            f"{path}: column `id` cannot be both the rows' ids and Indonesian text.",
            "Give this table the columns `text` and `language`.",
        )
    yield from _texts(path, language, column, left, rows)


def read_documents(
    path: Path, languages: Sequence[str], left: Leftovers, kind: TableKind
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(document number, (paragraph,)); raises :class:`UserError` as :func:`read` does."""
    for row in _rows(path, left, kind):
        texts = _side_texts(row, row.cells, ("text",), ("text",), left)
        for paragraph in texts[0].split("\n") if texts else ():
            if paragraph.strip():
                yield str(row.number), (paragraph.removesuffix("\r"),)


def read_pairs(
    path: Path, languages: Sequence[str], left: Leftovers, kind: TableKind
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every row; raises :class:`UserError` as :func:`read` does."""
    for row in _rows(path, left, kind):
        both = row.cells.get("translation")
        sides = both if isinstance(both, dict) else row.cells
        columns = _columns(tuple(sides), tuple(languages))
        if texts := _side_texts(row, sides, columns, languages, left):
            yield "", texts


@lru_cache(maxsize=1_000)
def _columns(names: tuple[str, ...], languages: tuple[str, ...]) -> tuple[str | None, ...]:
    return tuple(best_tag(names, code) for code in languages)


def _side_texts(
    row: Row,
    cells: dict[str, Any],
    columns: Sequence[str | None],
    wanted: Sequence[str],
    left: Leftovers,
) -> tuple[str, ...] | None:
    """Texts of some columns, empty for empty cells; None, and left out, for what is no text."""
    texts = []
    for column, name in zip(columns, wanted, strict=True):
        if column is None or column not in cells:
            has = ", ".join(f"`{one}`" for one in list(cells)[:20])
            left.add(row.line, f"has no column `{name}`; it has {has}", str(row.cells))
            return None
        text = cells[column]
        if not isinstance(text, str | None):
            left.add(row.line, f"holds {_shown(text)} in column `{column}`", str(row.cells))
            return None
        texts.append((text or "").removesuffix("\r"))  # of a Windows line end
    return tuple(texts)


def _shown(value: Any) -> str:
    return f"{str(value)[:80]!r}, which is not text,"


# --- n-way rows ----------------------------------------------------------------------------


def _demand(path: Path, has: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in has:
            raise UserError(
                f"{path} has no column `{name}`; it has {', '.join(f'`{one}`' for one in has)}.",
                "Give the table either the columns `text` and `language`, or a column for each "
                "language code, or take the language out of its registry row.",
            )


def _texts(
    path: Path, language: str, column: str, left: Leftovers, rows: Iterable[Row]
) -> Iterator[tuple[str, str, str]]:
    groups: dict[str, str] = {}
    taken: dict[str, tuple[int, str]] = {}
    found: dict[str, tuple[str, str, str]] = {}
    for number, _, cells in rows:
        where = f"{path}, row {number}"
        name = _cell(where, cells, "id") or str(number)
        group = _cell(where, cells, "group") or name
        if groups.setdefault(name, group) != group:
            raise UserError(
                f"{where}: id `{name}` is in group `{group}`, and before in `{groups[name]}`.",
                "Give rows of the same id the same group.",
            )
        tag = _cell(where, cells, "language") if column == "text" and "language" in cells else ""
        if "language" in cells and column == "text":
            if not tag:
                raise UserError(f"{where} has an empty language.", "Write its language code there.")
            left.see([tag])
            if not best_tag([tag], language):
                continue
        text = cells.get(column)
        if not isinstance(text, str | None):
            raise UserError(
                f"{where}: column `{column}` holds {_shown(text)}.", "Write it as a string."
            )
        if not (text and text.strip()):
            continue
        before, other = taken.get(name, (0, None))
        if other == tag:
            raise UserError(
                f"{where}: id `{name}` is already that of row {before} in `{language}`.",
                "Give each text of a language an id of its own, or leave the column out.",
            )
        if other is None or best_tag([tag, other], language) == tag:
            taken[name] = number, tag
            found[name] = group, name, text.removesuffix("\r")
    yield from found.values()


def _cell(where: str, cells: dict[str, Any], column: str) -> str:
    """The value of an ``id``, ``group`` or ``language`` cell; empty when it is missing."""
    value = cells.get(column)
    if not isinstance(value, str | int | date | None):
        raise UserError(
            f"{where}: column `{column}` holds {value!r}, which names nothing.",
            "Write it as a string.",
        )
    return "" if value is None else str(value).strip()


# --- rows of each kind of file -------------------------------------------------------------


def _rows(path: Path, left: Leftovers, kind: TableKind, arrays: bool = False) -> Iterator[Row]:
    """All rows; raises :class:`UserError` if there are none, and for a file of another kind.

    With ``arrays``, JSON lines may be one array of objects.
    """
    readers = {"csv": _csv_rows, "tsv": _tsv_rows, "txt": _plain_rows, "parquet": _parquet_rows}
    rows = _json_rows(path, left, arrays) if kind == "jsonl" else readers[kind](path, left)
    first = next(rows, None)
    if first is None:
        if left.bad:
            left.judge()
        raise _not_throughout(path, kind, "it has no rows")
    yield from chain((first,), rows)


def _plain_rows(path: Path, left: Leftovers) -> Iterator[Row]:
    for number, line in file_lines(path, left):
        yield Row(number, number, {"text": line})


def _json_rows(path: Path, left: Leftovers, arrays: bool) -> Iterator[Row]:
    number = 0
    for line_number, line in file_lines(path, left):
        if not line.strip():
            continue
        if arrays and number == 0 and line.lstrip().startswith("["):
            yield from _array_rows(path)
            return
        number += 1
        try:
            cells = parse_json(line)
        except ValueError as error:
            left.add(line_number, f"is not JSON ({error})", line)
            continue
        if isinstance(cells, dict):
            yield Row(number, line_number, cells)
        else:
            left.add(line_number, "is not an object", line)


def _array_rows(path: Path) -> Iterator[Row]:
    """The objects of a file that is one array."""
    text = "\n".join(line for _, line in file_lines(path, Leftovers(path, 0)))
    try:
        objects = parse_json(text)
    except ValueError as error:
        raise _not_throughout(path, "jsonl", str(error)) from None
    for number, cells in enumerate(objects, start=1):
        if not isinstance(cells, dict):
            raise _not_throughout(path, "jsonl", f"entry {number} is not an object")
        yield Row(number, number, cells)


def _tsv_rows(path: Path, left: Leftovers) -> Iterator[Row]:
    """Quotation marks are text, as parallel corpora are published."""
    lines = ((number, line.split("\t"), line) for number, line in file_lines(path, left) if line)
    yield from _named(path, "tsv", left, lines)


def _csv_rows(path: Path, left: Leftovers) -> Iterator[Row]:
    yield from _named(path, "csv", left, _csv_cells(path, left))


def _csv_cells(path: Path, left: Leftovers) -> Iterator[tuple[int, list[str], str]]:
    """First line, cells and text of each record. What is wrong within a line is left out; a record
    of several lines that is wrong began at a stray quotation mark, nobody knows where."""
    csv.field_size_limit(MAX_LINE_BYTES)
    read: list[tuple[int, str]] = []

    def source() -> Iterator[str]:
        for number, line in file_lines(path, left):
            read.append((number, line))
            yield line + "\n"

    records = csv.reader(source(), strict=True)
    while True:
        read.clear()
        try:
            cells = next(records, None)
        except csv.Error as error:
            if len(read) > 1 or "unexpected end" in str(error):
                what = f"the quotation from line {read[0][0]} on ({error})"
                raise _not_throughout(path, "csv", what) from None
            left.add(read[0][0], f"is not CSV ({error})", read[0][1])
            continue
        if cells is None:
            return
        if cells:
            yield read[0][0], cells, "\n".join(line for _, line in read)


def _named(
    path: Path, kind: TableKind, left: Leftovers, lines: Iterator[tuple[int, list[str], str]]
) -> Iterator[Row]:
    """Rows with the names of the first line."""
    _, names, _ = next(lines, (0, [], ""))
    if not names:
        raise _not_throughout(path, kind, "it is empty")
    if len(set(names)) < len(names):
        raise _not_throughout(path, kind, "two columns have the same name")
    for number, (line, cells, text) in enumerate(lines, start=1):
        if len(cells) == len(names):
            yield Row(number, line, dict(zip(names, cells, strict=True)))
        elif "\n" in text:
            what = f"the quotation from line {line} on gives {len(cells)} columns"
            raise _not_throughout(path, kind, what)
        else:
            left.add(line, f"has {len(cells)} columns instead of {len(names)}", text)


def _parquet_rows(path: Path, left: Leftovers) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(_BATCH_ROWS)
            rows = (cells for batch in batches for cells in batch.to_pylist())
            for number, cells in enumerate(rows, start=1):
                left.lines = number
                yield Row(number, number, cells)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # disk full, no permission
            raise
        raise _not_throughout(path, "parquet", " ".join(str(error).split())[:300]) from None


def _not_throughout(path: Path, kind: str, reason: str) -> UserError:
    return UserError(
        f"{path} is not {_NAMES[kind]} throughout: {reason}.",
        "Repair the file, or give it the suffix of what it is.",
    )
