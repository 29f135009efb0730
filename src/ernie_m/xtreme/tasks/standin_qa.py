"""Stand-in for XQuAD: which sentence of this text is about that field?

Context: the descriptions of one form, in seeded order, joined by spaces. Question: the name of
one of its fields, in the context's language. Answer: that field's description. Descriptions and
names that are not unique in their form are left out, so there is one right answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ernie_m.xtreme.files import Line, Question
from ernie_m.xtreme.tasks.sources import Examples, Field, Sources, fields, grouped


@dataclass(frozen=True)
class _Context:
    """Fields whose descriptions make one context, in the order they are told."""

    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return self.fields[0].description

    @property
    def rows(self) -> list[str]:
        return [row for field in self.fields for row in (field.name, field.description)]


def _once(form: Sequence[Field], texts: dict[str, str]) -> list[Field]:
    """Fields whose name and description no other field of the form has."""
    names = Counter(texts[field.name].casefold() for field in form)
    told = Counter(texts[field.description].casefold() for field in form)
    return [
        field
        for field in form
        if names[texts[field.name].casefold()] == told[texts[field.description].casefold()] == 1
    ]


def _contexts(sources: Sources, split: str) -> Iterator[_Context]:
    settings = sources.settings
    texts = sources.texts(split, "en")
    seen: set[frozenset[str]] = set()
    for form in grouped(fields(sources.english(split))).values():
        chosen = sources.shuffled(_once(form, texts), "qa field")
        for first in range(0, len(chosen), settings.qa_max_fields):
            part = tuple(chosen[first : first + settings.qa_max_fields])
            told = frozenset(texts[field.description] for field in part)
            if len(part) >= settings.qa_min_fields and told not in seen:
                seen.add(told)
                yield _Context(part)


def _questions(context: _Context, texts: dict[str, str]) -> list[Line]:
    """One question a field; none where a row is missing or an answer stands in two places."""
    complete = all(row in texts for row in context.rows)
    if not complete or len(_once(context.fields, texts)) < len(context.fields):
        return []
    told = " ".join(texts[field.description] for field in context.fields)
    lines: list[Line] = []
    start = 0
    for field in context.fields:
        answer = texts[field.description]
        if told.count(answer) == 1:
            question = Question(
                id=field.name,
                question=texts[field.name],
                context=told,
                answers=[answer],
                starts=[start],
            )
            lines.append(question)
        start += len(answer) + 1
    return lines


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    for split in ("train", "dev", "test"):
        contexts = sources.widest_first(
            split,
            sources.shuffled(_contexts(sources, split), "qa context"),
            lambda context: context.rows,
        )
        english = sources.texts(split, "en")
        told = [line for context in contexts for line in _questions(context, english)]
        chosen = {line.id for line in told[: sources.limit(split)]}  # type: ignore[attr-defined]
        for language in sources.told_in(split):
            texts = sources.texts(split, language)
            lines = (line for context in contexts for line in _questions(context, texts))
            examples[f"{split}-{language}"] = [
                line
                for line in lines
                if line.id in chosen  # type: ignore[attr-defined]
            ]
    return examples
