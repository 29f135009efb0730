"""Files of examples and predictions: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ernie_m.errors import UserError


class Line(BaseModel):
    """One line of a file; unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SentencePair(Line):
    """Retrieval: an English sentence and its translation."""

    id: str
    english: str
    text: str


class MiningSentence(Line):
    """Mining: a sentence of either language; ``partner`` is the id of its translation, if any."""

    id: str
    language: str
    text: str
    partner: str | None


class TextPair(Line):
    """Classification of two texts, or of one; each with its language."""

    id: str
    first: str
    second: str | None = None
    first_language: str
    second_language: str | None = None
    label: str

    @model_validator(mode="after")
    def _language_of_each_text(self) -> TextPair:
        if (self.second is None) != (self.second_language is None):
            raise ValueError("a second text and its language come together")
        return self


class TaggedSentence(Line):
    """Tagging: one BIO tag per word."""

    id: str
    words: list[str]
    tags: list[str]

    @model_validator(mode="after")
    def _one_tag_a_word(self) -> TaggedSentence:
        if len(self.words) != len(self.tags):
            raise ValueError(f"{len(self.words)} words and {len(self.tags)} tags")
        return self


class Question(Line):
    """Question answering: ``starts[i]`` is the character where ``answers[i]`` begins."""

    id: str
    question: str
    context: str
    answers: list[str]
    starts: list[int]

    @model_validator(mode="after")
    def _answers_in_context(self) -> Question:
        if not self.answers or len(self.answers) != len(self.starts):
            raise ValueError("answers and starts must be equally many, at least one")
        for answer, start in zip(self.answers, self.starts, strict=True):
            if start < 0 or self.context[start : start + len(answer)] != answer:
                raise ValueError(f"the answer {answer!r} is not at character {start}")
        return self


Example = SentencePair | MiningSentence | TextPair | TaggedSentence | Question

EXAMPLE: dict[str, type[Line]] = {
    "retrieval": SentencePair,
    "mining": MiningSentence,
    "pair": TextPair,
    "tagging": TaggedSentence,
    "qa": Question,
}


class Found(Line):
    """Retrieval: ``target`` is the foreign sentence nearest to English sentence ``id``."""

    id: str
    target: str


class Mined(Line):
    """Mining: one pair whose score reached ``threshold`` (tuned on dev)."""

    source: str
    target: str
    score: float
    threshold: float


class Label(Line):
    """Pair classification: the chosen class."""

    id: str
    label: str


class Tags(Line):
    """Tagging: one tag per word."""

    id: str
    tags: list[str]


class Answer(Line):
    """Question answering: the chosen span of the context."""

    id: str
    answer: str


Prediction = Found | Mined | Label | Tags | Answer

PREDICTION: dict[str, type[Line]] = {
    "retrieval": Found,
    "mining": Mined,
    "pair": Label,
    "tagging": Tags,
    "qa": Answer,
}

L = TypeVar("L", bound=Line)


def language_of(path: Path) -> str:
    """``de`` of ``test-de.jsonl``, ``predictions-de.jsonl`` or ``rows-test-de.parquet``."""
    return path.stem.rpartition("-")[2]


def by_language(paths: Iterable[Path]) -> dict[str, Path]:
    """Files keyed by the language in their names."""
    return {language_of(path): path for path in paths}


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Write one JSON object per line."""
    with path.open("w", encoding="utf-8") as handle:
        for line in lines:
            handle.write(line.model_dump_json() + "\n")


def each_line(path: Path, form: type[L]) -> Iterator[L]:
    """Lines of ``path`` that are not blank as ``form``; raises :class:`UserError` naming file and
    line."""
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
            if not line.strip():
                continue
            try:
                yield form.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise UserError(
                    f"{path}, line {number}{f', `{where}`' if where else ''}: {first['msg']}.",
                    "Make the file again with the stage it belongs to.",
                ) from None


def read_lines(path: Path, form: type[L]) -> list[L]:
    """All of :func:`each_line`."""
    return list(each_line(path, form))
