"""Pairs in tab-separated lines: plain bitext, and WikiMatrix.

- ``bitext``: one column per language, in the order of the registry row's ``languages``.
- ``wikimatrix``: margin score, then the sentences of both languages in alphabetical order of their
  codes. Lines are sorted by descending score, so reading stops at the first one below the
  threshold.

With ``head``, only the first ``head`` bytes of the file were downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ernie_m.corpora.readers.streams import file_lines
from ernie_m.errors import UserError

Rows = Iterator[tuple[str, tuple[str, ...]]]


def _columns(path: Path, count: int, head: int | None) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file_lines(path, head), start=1):
        columns = line.split("\t")
        if len(columns) != count:
            raise UserError(
                f"{path}, line {number} has {len(columns)} columns instead of {count}.",
                "Correct `format` or `languages` in the registry row, or fetch the file again.",
            )
        yield number, columns


def read(
    path: Path, languages: Sequence[str], order: Sequence[str], head: int | None = None
) -> Rows:
    """("", one text per language) of every line; ``order`` names the languages of the columns."""
    wanted = [order.index(code) for code in languages]
    for _, columns in _columns(path, len(order), head):
        yield "", tuple(columns[place] for place in wanted)


def read_wikimatrix(
    path: Path,
    languages: Sequence[str],
    order: Sequence[str],
    least: float,
    head: int | None = None,
) -> Rows:
    """("", one text per language) of every line with a score of ``least`` or more."""
    alphabetical = sorted(order)
    wanted = [1 + alphabetical.index(code) for code in languages]
    for number, columns in _columns(path, 1 + len(order), head):
        try:
            score = float(columns[0])
        except ValueError:
            raise UserError(
                f"{path}, line {number} begins with {columns[0]!r}, which is no score.",
                "Correct `format` in the registry row, or fetch the file again.",
            ) from None
        if score < least:
            return
        yield "", tuple(columns[place] for place in wanted)
