"""BUCC 2018: find the translated pairs in two heaps of sentences.

XTREME tests on the shared task's training part, whose pairs are known, and tunes the threshold on
its sample. The hub's tables have the pairs alone, not the sentences among which they are hidden.
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.xtreme.catalogue import ENGLISH
from ernie_m.xtreme.files import Line, MiningSentence
from ernie_m.xtreme.tasks.upstream import File, Upstream

WANTED = r"\.(training|sample)\.\w+$"
PARTS = {"dev": "sample", "test": "training"}


def _partners(file: File) -> dict[str, str]:
    """Id of the partner of each sentence that has one."""
    partners: dict[str, str] = {}
    for number, cells in file.columns(least=2):
        for one, other in (cells[:2], cells[1::-1]):
            if one in partners:
                raise file.refuse(number, f"`{one}` is in a second pair")
            partners[one] = other
    return partners


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """The sentences of both sides, English first."""
    stem = rf"{language}-en\.{PARTS[split]}"
    gold = upstream.only(rf"{stem}\.gold")
    partners = _partners(gold)
    waiting = set(partners)
    for side in (ENGLISH, language):
        file = upstream.only(rf"{stem}\.{side}")
        for _, (id, text, *_) in file.columns(least=2):
            waiting.discard(id)
            yield MiningSentence(id=id, language=side, text=text, partner=partners.get(id))
    if waiting:
        raise gold.refuse(1, f"the sentence `{min(waiting)}` of a pair is in neither file")
