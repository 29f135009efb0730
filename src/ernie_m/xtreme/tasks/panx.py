"""PAN-X: names of persons, organisations and places in Wikipedia (WikiAnn)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ernie_m.catalogue.tasks import TASKS
from ernie_m.xtreme.files import Line, TaggedSentence
from ernie_m.xtreme.tasks.upstream import File, Upstream

TAGS = TASKS["panx"].labels
WANTED = r"(\.tar\.gz|(^|/)(train|dev|test))$"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def _rows(file: File) -> Iterator[dict[str, Any]]:
    """Sentences from `de:word<TAB>tag` lines, with an empty line after each."""
    words: list[str] = []
    tags: list[str] = []
    for number, line in file.lines():
        if line.strip():
            cells = line.split("\t")
            _, colon, word = cells[0].partition(":")
            if len(cells) != 2 or not colon:
                raise file.refuse(number, f"`{line}` is not language, colon, word, tabulator, tag")
            if cells[1].strip() not in TAGS:
                raise file.refuse(number, f"there is no tag `{cells[1].strip()}`")
            words.append(word)
            tags.append(cells[1].strip())
        elif words:
            yield {"tokens": words, "ner_tags": tags}
            words, tags = [], []
    if words:
        yield {"tokens": words, "ner_tags": tags}


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Numbered examples of one file."""
    rows = upstream.table(f"PAN-X.{language}", SPLITS[split])
    if rows is None:
        rows = list(_rows(upstream.only(rf"{language}\.tar\.gz/{split}")))
    for number, row in enumerate(rows, start=1):
        words = [word.strip() or word for word in row["tokens"]]
        yield TaggedSentence(id=f"{split}-{number:06d}", words=words, tags=row["ner_tags"])
