"""XQuAD: SQuAD's paragraphs in eleven languages; trained on SQuAD 1.1."""

from __future__ import annotations

from collections.abc import Iterable

from ernie_m.xtreme.files import Line
from ernie_m.xtreme.tasks import squad
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = r"\.json$"


def read(upstream: Upstream, split: str, language: str) -> Iterable[Line]:
    """Examples of one file; ids are the publisher's, the same in every language."""
    if split != "test":
        return squad.trained_on_squad(upstream, split)
    return squad.read(upstream, f"XQuAD.{language}", "validation", rf"xquad\.{language}\.json")
