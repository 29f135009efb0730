"""PAWS-X: are two sentences with the same words paraphrases? 1 if they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.xtreme.files import Line, TextPair
from ernie_m.xtreme.tasks.upstream import File, Upstream

LABELS = TASKS["pawsx"].labels
WANTED = r"\.tsv$"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
# Training text in other languages is machine-translated.
FILES = {"train": "translated_train", "dev": "dev_2k", "test": "test_2k"}


def _rows(file: File) -> Iterator[dict[str, Any]]:
    for number, cells in file.columns(least=4):
        if number > 1:
            if cells[3].strip() not in LABELS:
                raise file.refuse(number, f"there is no class `{cells[3]}`")
            yield dict(zip(("id", "sentence1", "sentence2", "label"), cells, strict=False))


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Numbered examples of one file."""
    name = "train" if (split, language) == ("train", ENGLISH) else FILES[split]
    table = upstream.table(f"PAWS-X.{language}", SPLITS[split])
    rows = _rows(upstream.only(rf"{language}/{name}\.tsv")) if table is None else table
    for number, row in enumerate(rows, start=1):
        yield TextPair(
            id=f"{split}-{number:06d}",
            first=row["sentence1"].strip(),
            second=row["sentence2"].strip(),
            first_language=language,
            second_language=language,
            label=str(row["label"]).strip(),
        )
