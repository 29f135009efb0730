"""TyDi QA, gold passages: trained on its English part, tested on the development set.

The test set was never published, so XTREME tests on the development set. To select a step, a tenth
of the English training questions is held out by hash.
"""

from __future__ import annotations

from collections.abc import Iterable

from ernie_m.corpora.hashing import unit_interval
from ernie_m.xtreme.files import Line, Question
from ernie_m.xtreme.tasks import squad
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = r"\.json$"
NAMES = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
}
HELD_OUT = 0.1


def _of(language: str, lines: Iterable[Line]) -> Iterable[Question]:
    """Questions in a language; their ids begin with its name."""
    for line in lines:
        assert isinstance(line, Question)
        if line.id.startswith(f"{NAMES[language]}-"):
            yield line


def _held_out(question: Question) -> bool:
    return unit_interval(0, "tydiqa", question.context) < HELD_OUT


def read(upstream: Upstream, split: str, language: str) -> Iterable[Line]:
    """Examples of one file."""
    if split == "test":
        pattern = rf"tydiqa-goldp-dev-{NAMES[language]}\.json"
        return _of(language, squad.read(upstream, "tydiqa", "validation", pattern))
    pattern = r"tydiqa-goldp-v1\.1-train\.json"
    own = _of(language, squad.read(upstream, "tydiqa", "train", pattern))
    return (question for question in own if _held_out(question) == (split == "dev"))
