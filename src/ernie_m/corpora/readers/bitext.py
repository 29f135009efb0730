"""Pairs in tab-separated lines: plain bitext, and WikiMatrix.

- ``bitext``: one column per language, in the order of the registry row's ``languages``.
- ``wikimatrix``: margin score, then the sentences of both languages in alphabetical order of their
  codes. Published files are sorted by descending score; nothing here relies on it.

With ``head``, only the first ``head`` bytes of the file were downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.readers.streams import file_lines

Rows = Iterator[tuple[str, tuple[str, ...]]]


def _columns(
    path: Path, count: int, left: Leftovers, head: int | None
) -> Iterator[tuple[int, str, list[str]]]:
    for number, line in file_lines(path, left, head):
        columns = line.split("\t")
        if len(columns) == count:
            yield number, line, columns
        else:
            left.add(number, f"has {len(columns)} columns instead of {count}", line)


def read(
    path: Path,
    languages: Sequence[str],
    left: Leftovers,
    order: Sequence[str],
    head: int | None = None,
) -> Rows:
    """("", one text per language) of every line; ``order`` names the languages of the columns."""
    wanted = [order.index(code) for code in languages]
    for _, _, columns in _columns(path, len(order), left, head):
        yield "", tuple(columns[place] for place in wanted)


def read_wikimatrix(
    path: Path,
    languages: Sequence[str],
    left: Leftovers,
    order: Sequence[str],
    least: float,
    head: int | None = None,
) -> Rows:
    """("", one text per language) of every line with a score of ``least`` or more."""
    alphabetical = sorted(order)
    wanted = [1 + alphabetical.index(code) for code in languages]
    for number, line, columns in _columns(path, 1 + len(order), left, head):
        score = _score(columns[0])
        if score is None:
            left.add(number, f"begins with {columns[0][:40]!r}, which is no score", line)
        elif score < least:
            left.skip("with a score below `min_score`")
        else:
            yield "", tuple(columns[place] for place in wanted)


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) else None
