"""XQuAD: SQuAD's paragraphs in eleven languages; trained on SQuAD 1.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.xtreme.files import Line, Question
from ernie_m.xtreme.tasks import squad
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = r"\.json$"


def read(upstream: Upstream, split: str, language: str) -> Iterable[Line]:
    """Examples of one file; ids are the publisher's, the same in every language."""
    if split == "test":
        return _test(upstream, language)
    if split == "dev":
        return _without_test(list(squad.trained_on_squad(upstream, split)), upstream)
    return squad.trained_on_squad(upstream, split)


def _test(upstream: Upstream, language: str) -> Iterator[Question]:
    return squad.read(upstream, f"XQuAD.{language}", "validation", rf"xquad\.{language}\.json")


def _without_test(dev: list[Question], upstream: Upstream) -> list[Question]:
    """SQuAD's dev questions but for those on the 240 paragraphs that XQuAD's test is made of."""
    test = list(_test(upstream, ENGLISH))
    ids = {question.id for question in test}
    contexts = {question.context for question in [*test, *(one for one in dev if one.id in ids)]}
    return [question for question in dev if question.context not in contexts]
