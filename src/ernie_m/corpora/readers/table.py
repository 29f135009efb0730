"""Text in a table: CSV, TSV, Parquet, plain lines or JSON lines, read by `datasets`.

- ``document_table``: a row is a document, each line of its column ``text`` a paragraph.
- ``pair_table``: a row is a pair, with a column for each language code, or with both texts in a
  column ``translation``, as on the Hugging Face hub.

These two are streamed, Parquet by row groups. JSON lines are parsed one by one here, because
`datasets` demands that all have the fields and types of the first megabytes. A ``table`` of n-way
parallel rows fits into memory and has one of two layouts; the column ``text`` tells which:

- ``text`` and ``language``: a row is one text in one language. Rows with the same ``id`` are
  translations of one another.
- a column for each language code: a row holds all translations of a text; an empty cell is a
  missing one.

Both may have ``id`` (else the row's number) and ``group`` (else the id). Plain lines are in the one
language that the registry row names.
"""

from __future__ import annotations

import csv
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ernie_m.config.corpora import TableKind
from ernie_m.corpora.readers.streams import MAX_LINE_BYTES, file_lines
from ernie_m.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH_ROWS = 1000
_NAMES = {
    "jsonl": "JSON lines",
    "csv": "CSV",
    "tsv": "TSV",
    "parquet": "Parquet",
    "txt": "plain text",
}
# Options that read every cell as the text it is: `NA` is a word. In TSV, as parallel corpora are
# published, quotation marks are text too, and a lone carriage return does not end a line, or pairs
# would be torn apart.
_DELIMITED: dict[str, dict[str, Any]] = {
    "csv": {"sep": ",", "quoting": csv.QUOTE_MINIMAL},
    "tsv": {"sep": "\t", "quoting": csv.QUOTE_NONE, "lineterminator": "\n", "header": 0},
}


def read(path: Path, language: str, kind: TableKind) -> Iterator[tuple[str, str, str]]:
    """(group, id, text) of every row that has text in ``language``; raises :class:`UserError`
    for a file that is not of its kind, a missing column, and ids that contradict each other."""
    with tempfile.TemporaryDirectory() as folder:
        with _faults(path, kind):
            table = _load(path, kind, Path(folder))
        has = table.column_names
        column = "text" if "text" in has else language
        single = column == "text" and kind != "txt"
        _demand(path, has, [column, "language"] if single else [column])
        if column == "id":
            raise UserError(
                f"{path}: column `id` cannot be both the rows' ids and Indonesian text.",
                "Give this table the columns `text` and `language`.",
            )
        optional = [name for name in ("id", "group") if name in has]
        wanted = [column, *(["language"] if single else []), *optional]
        yield from _texts(path, language, column, table.select_columns(wanted))


def read_documents(
    path: Path, languages: Sequence[str], kind: TableKind
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(document number, (paragraph,)); raises :class:`UserError` as :func:`read` does."""
    for number, row in enumerate(_stream(path, kind), start=1):
        for paragraph in _whole(path, number, row, "text").split("\n"):
            if paragraph.strip():
                yield str(number), (paragraph.removesuffix("\r"),)


def read_pairs(
    path: Path, languages: Sequence[str], kind: TableKind
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every row; raises :class:`UserError` as :func:`read` does."""
    for number, row in enumerate(_stream(path, kind), start=1):
        both = row.get("translation")
        sides = both if isinstance(both, dict) else row
        yield "", tuple(_whole(path, number, sides, code) for code in languages)


def _stream(path: Path, kind: TableKind) -> Iterator[dict[str, Any]]:
    if kind == "jsonl":
        yield from _json_rows(path)
        return
    with tempfile.TemporaryDirectory() as folder, _faults(path, kind):
        yield from _load(path, kind, Path(folder), streaming=True)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file_lines(path), start=1):
        if line.strip():
            try:
                row = json.loads(line.removeprefix("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise _not_throughout(path, "jsonl", f"line {number}: {error}") from None
            if not isinstance(row, dict):
                raise _not_throughout(path, "jsonl", f"line {number} is not an object")
            yield row


def _whole(path: Path, number: int, row: dict[str, Any], column: str) -> str:
    """Text of a cell; empty for an empty one."""
    if column not in row:
        raise UserError(
            f"{path}, row {number} has no column `{column}`; it has "
            f"{', '.join(f'`{one}`' for one in row)}.",
            "Rename the columns, or correct `format` or `languages` in the registry row.",
        )
    return _text(f"{path}, row {number}", row, column) or ""


def _text(where: str, row: dict[str, Any], column: str) -> str | None:
    text = row[column]
    if not isinstance(text, str | None):
        raise UserError(
            f"{where}: column `{column}` holds {text!r}, which is not text.",
            "Write it as a string.",
        )
    return text and text.removesuffix("\r")  # of a Windows line end


def _demand(path: Path, has: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in has:
            raise UserError(
                f"{path} has no column `{name}`; it has {', '.join(f'`{one}`' for one in has)}.",
                "Give the table either the columns `text` and `language`, or a column for each "
                "language code, or take the language out of its registry row.",
            )


def _texts(
    path: Path, language: str, column: str, table: Dataset
) -> Iterator[tuple[str, str, str]]:
    groups: dict[str, str] = {}
    taken: dict[str, int] = {}
    for number, row in enumerate(_rows(table), start=1):
        where = f"{path}, row {number}"
        name = _cell(where, row, "id") or str(number)
        group = _cell(where, row, "group") or name
        if groups.setdefault(name, group) != group:
            raise UserError(
                f"{where}: id `{name}` is in group `{group}`, and before in `{groups[name]}`.",
                "Give rows of the same id the same group.",
            )
        code = _cell(where, row, "language") if "language" in row else language
        if not code:
            raise UserError(f"{where} has an empty language.", "Write its language code there.")
        text = _text(where, row, column)
        if code != language or not (text and text.strip()):
            continue
        if taken.setdefault(name, number) != number:
            raise UserError(
                f"{where}: id `{name}` is already that of row {taken[name]} in `{language}`.",
                "Give each text of a language an id of its own, or leave the column out.",
            )
        yield group, name, text


def _cell(where: str, row: dict[str, Any], column: str) -> str:
    """The value of an ``id``, ``group`` or ``language`` cell; empty when it is missing."""
    value = row.get(column)
    if not isinstance(value, str | int | date | None):  # JSON's `"2026-11-22"` arrives as a date
        raise UserError(
            f"{where}: column `{column}` holds {value!r}, which names nothing.",
            "Write it as a string.",
        )
    return "" if value is None else str(value).strip()


def _rows(table: Dataset) -> Iterator[dict[str, Any]]:
    for batch in table.iter(batch_size=_BATCH_ROWS):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))


def _load(path: Path, kind: TableKind, folder: Path, streaming: bool = False) -> Any:
    """The file as a table, cached in ``folder`` or streamed; makes no network access."""
    import datasets  # takes more than a second, and other formats do not need it

    datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    # Linked under a plain name: `datasets` tries to unpack unknown suffixes, and takes a path for a
    # glob pattern.
    link = folder / f"table.{kind}"
    link.symlink_to(path.resolve())
    if kind != "parquet":
        _check_text(path, MAX_LINE_BYTES if streaming else None)
    builder, options = _builder(path, kind)
    return datasets.load_dataset(
        builder,
        data_files=str(link),
        split="train",
        cache_dir=str(folder / "cache"),
        streaming=streaming,
        **options,
    )


@contextmanager
def _faults(path: Path, kind: TableKind) -> Iterator[None]:
    """Turn the errors of `datasets` about the file into a :class:`UserError`."""
    from datasets.exceptions import DatasetsError

    try:
        with warnings.catch_warnings():
            # pandas only warns when every row has one field too many.
            warnings.filterwarnings("error", message="Length of header")
            yield
    except (DatasetsError, ValueError, csv.Error, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:  # disk full, no permission
            raise cause from None
        raise _not_throughout(path, kind, _reason(path, kind, cause)) from None


def _not_throughout(path: Path, kind: TableKind, reason: str) -> UserError:
    return UserError(
        f"{path} is not {_NAMES[kind]} throughout: {reason}.",
        "Repair the file, or give it the suffix of what it is.",
    )


def _builder(path: Path, kind: TableKind) -> tuple[str, dict[str, Any]]:
    """Name and options of the builder in `datasets`."""
    from datasets import Features, Value

    if kind in _DELIMITED:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            layout = _DELIMITED[kind]
            reader = csv.reader(handle, delimiter=layout["sep"], quoting=layout["quoting"])
            names = next(reader, [])
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")
        # With inferred types, ids such as 007 would become numbers.
        features = Features({name: Value("string") for name in names})
        # With `index_col=False`, a row with one field too many does not shift the columns.
        options = {**layout, "features": features, "na_filter": False, "index_col": False}
        return "csv", options | ({"names": names} if kind == "tsv" else {})
    if kind == "txt":
        return "text", {"encoding": "utf-8-sig"}
    return ("json", {"parse_agent_traces": False}) if kind == "jsonl" else (kind, {})


def _check_text(path: Path, longest: int | None) -> None:
    """Raise ``ValueError`` with the first line that is not UTF-8, holds binary data, or is longer
    than ``longest`` bytes."""
    with path.open("rb") as handle:
        number = 0
        while line := handle.readline(longest + 1 if longest else -1):
            number += 1
            if longest and len(line) > longest:
                raise ValueError(f"line {number} is longer than {longest:,} bytes")
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"line {number} is not UTF-8") from None
            if b"\0" in line:
                raise ValueError(f"line {number} holds binary data")
    if number == 0:
        raise ValueError("it is empty")


def _reason(path: Path, kind: TableKind, error: BaseException) -> str:
    """The error in one line; for JSON with the line number, which Arrow counts within a block."""
    if kind == "jsonl":
        with path.open(encoding="utf-8-sig", errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    json.loads(line if line.strip() else "null")
                except json.JSONDecodeError as fault:
                    return f"line {number}: {fault.msg}"
    text = str(error)
    if "corresponds to no data" in text or "BatchSize must be" in text:
        return "it has no rows"
    return " ".join(text.split()).rstrip(".")[:300] or type(error).__name__
