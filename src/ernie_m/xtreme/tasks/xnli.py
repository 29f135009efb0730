"""XNLI: does the premise entail the hypothesis? Trained on MultiNLI.

The training text comes with XNLI's machine translations, as their English side; the hub's
`google/xtreme` has development and test examples only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ernie_m.catalogue.tasks import TASKS
from ernie_m.xtreme.files import Line, TextPair
from ernie_m.xtreme.tasks.upstream import File, Upstream

WANTED = r"(xnli\.(dev|test)\.tsv|multinli\.train\.\w+\.tsv)$"
SPLITS = {"dev": "validation", "test": "test"}
COLUMNS = ("language", "gold_label", "sentence1", "sentence2")
LABELS = TASKS["xnli"].labels
RENAMED = {"contradictory": "contradiction"}


def _row(file: File, number: int, language: str, label: str, *texts: str) -> dict[str, Any]:
    name = RENAMED.get(label.strip(), label.strip())
    if name not in LABELS:
        raise file.refuse(number, f"there is no class `{name}`")
    return dict(zip(COLUMNS, (language, name, *texts), strict=True))


def _labelled(file: File) -> Iterator[dict[str, Any]]:
    """Rows of all languages, with columns found by their names in the header."""
    places: list[int] = []
    for number, cells in file.columns(least=len(COLUMNS)):
        if number == 1:
            if missing := [name for name in COLUMNS if name not in cells]:
                raise file.refuse(1, f"there is no column {missing[0]}")
            places = [cells.index(name) for name in COLUMNS]
        elif len(cells) <= max(places):
            raise file.refuse(number, f"{len(cells)} columns, where {max(places) + 1} are needed")
        else:
            yield _row(file, number, *(cells[place] for place in places))


def _translated(file: File, language: str) -> Iterator[dict[str, Any]]:
    """Training rows: premise, hypothesis, class."""
    for number, (premise, hypothesis, label, *_) in file.columns(least=3):
        if number > 1:
            yield _row(file, number, language, label, premise, hypothesis)


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Numbered examples of one file."""
    if split == "train":
        file = upstream.only(rf"multinli\.train\.{language}\.tsv")
        rows: Iterable[dict[str, Any]] = _translated(file, language)
    else:
        rows = upstream.table("XNLI", SPLITS[split]) or _labelled(
            upstream.only(rf"xnli\.{split}\.tsv")
        )
        rows = (row for row in rows if row["language"] == language)
    for number, row in enumerate(rows, start=1):
        yield TextPair(
            id=f"{split}-{number:06d}",
            first=row["sentence1"].strip(),
            second=row["sentence2"].strip(),
            first_language=language,
            second_language=language,
            label=row["gold_label"].strip(),
        )
