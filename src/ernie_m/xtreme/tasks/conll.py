"""CoNLL-2002 and 2003: named entities in newspapers, in Dutch, Spanish, English and German.

The 2003 files are in IOB1: B only marks a span right after another of the same kind. Here every
span begins with B (IOB2).
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.xtreme.files import Line, TaggedSentence
from ernie_m.xtreme.tasks.upstream import Upstream

TAGS = TASKS["conll"].labels
WANTED = r"\.(train|testa|testb)$"
NAMES = {"en": "eng", "de": "deu", "es": "esp", "nl": "ned"}
SPLITS = {"train": "train", "dev": "testa", "test": "testb"}


def begun(tags: list[str]) -> list[str]:
    """Tags in which every span begins with B."""
    before = ["O", *tags]
    return [
        f"B{tag[1:]}" if tag.startswith("I-") and previous[1:] != tag[1:] else tag
        for previous, tag in zip(before, tags, strict=False)
    ]


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Numbered sentences; a line has the word first and the tag last."""
    file = upstream.only(rf"{NAMES[language]}\.{SPLITS[split]}")
    words: list[str] = []
    tags: list[str] = []
    number = 0

    def sentence() -> TaggedSentence:
        return TaggedSentence(id=f"{split}-{number:06d}", words=words, tags=begun(tags))

    for line_number, line in file.lines(file.encoded("latin-1")):
        cells = line.split()
        if len(cells) == 1:
            raise file.refuse(line_number, f"`{line}` has a word and no tag")
        if cells and cells[0] != "-DOCSTART-":
            if cells[-1] not in TAGS:
                raise file.refuse(line_number, f"there is no tag `{cells[-1]}`")
            words.append(cells[0])
            tags.append(cells[-1])
        elif words:
            number += 1
            yield sentence()
            words, tags = [], []
    if words:
        number += 1
        yield sentence()
