"""BUCC 2018: find the translated pairs among the sentences of two languages.

XTREME tests on the shared task's training part, whose gold pairs are public, and tunes the
threshold on its sample. The hub's tables have the pairs alone, without the other sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.xtreme.files import Line, MiningSentence
from ernie_m.xtreme.tasks.upstream import File, Upstream

WANTED = r"\.(training|sample)\.\w+$"
PARTS = {"dev": "sample", "test": "training"}


def _partners(file: File) -> dict[str, tuple[str, int]]:
    """Sentence id -> id of its partner, and the line of that pair."""
    partners: dict[str, tuple[str, int]] = {}
    for number, cells in file.columns(least=2):
        for one, other in (cells[:2], cells[1::-1]):
            if one in partners:
                raise file.refuse(number, f"`{one}` is in a second pair")
            partners[one] = other, number
    return partners


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """The sentences of both sides, English first."""
    stem = rf"{language}-en\.{PARTS[split]}"
    gold = upstream.only(rf"{stem}\.gold")
    waiting = _partners(gold)
    for side in (ENGLISH, language):
        file = upstream.only(rf"{stem}\.{side}")
        for _, (id, text, *_) in file.columns(least=2):
            partner, _ = waiting.pop(id, (None, 0))
            yield MiningSentence(id=id, language=side, text=text, partner=partner)
    for id, (_, line) in waiting.items():
        raise gold.refuse(line, f"the sentence `{id}` of a pair is in neither file")
