"""Stand-in for XQuAD without SQuAD: trained on a part of XQuAD's own paragraphs.

A hash of the English paragraph assigns it to train or dev (both English) or to test (all
languages). The split of a question is looked up by the publisher's id, the same in every language,
so no question of a test paragraph is trained on in any language.
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.corpora.hashing import unit_interval
from ernie_m.xtreme.files import Line, Question
from ernie_m.xtreme.tasks import xquad
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = xquad.WANTED
# Shares of the 240 paragraphs: enough to test on, the rest for training.
TEST, DEV = 0.3, 0.1


def _split(context: str) -> str:
    draw = unit_interval(0, "standin_xquad", context)
    return "test" if draw < TEST else "dev" if draw < TEST + DEV else "train"


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Questions of the split's paragraphs."""
    english = list(xquad.read(upstream, "test", ENGLISH))
    assert all(isinstance(question, Question) for question in english)
    wanted = {q.id for q in english if isinstance(q, Question) and _split(q.context) == split}
    for question in xquad.read(upstream, "test", language):
        assert isinstance(question, Question)
        if question.id in wanted:
            yield question
