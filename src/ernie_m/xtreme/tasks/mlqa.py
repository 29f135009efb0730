"""MLQA: questions and contexts in the same language; trained on SQuAD 1.1."""

from __future__ import annotations

from collections.abc import Iterable

from ernie_m.xtreme.files import Line
from ernie_m.xtreme.tasks import squad
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = r"test/test-context-(\w+)-question-\1\.json$"


def read(upstream: Upstream, split: str, language: str) -> Iterable[Line]:
    """Examples of one file."""
    if split != "test":
        return squad.trained_on_squad(upstream, split)
    pattern = rf"test-context-{language}-question-{language}\.json"
    return squad.read(upstream, f"MLQA.{language}.{language}", "test", pattern)
