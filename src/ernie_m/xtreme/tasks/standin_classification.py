"""Stand-in for XNLI: does this description belong to this field?

First text: the name of a field, after the heading of its form where it has one. Second text: its
own description, that of another field of the same integration, or that of a field of another
integration. Each field gives one example of every class, so classes are balanced in every
language. A wrong description is never one that some field of the same name or key has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ernie_m.xtreme.files import Line, TextPair
from ernie_m.xtreme.tasks.sources import Examples, Field, Sources, fields

CLASSES = ("belongs", "same_integration", "other_integration")


@dataclass(frozen=True)
class _Unit:
    """A field with the row of the description shown for each class."""

    field: Field
    shown: tuple[str, str, str]

    @property
    def rows(self) -> list[str]:
        heading = [self.field.heading] if self.field.heading else []
        return [self.field.name, *self.shown, *heading]


class _Chooser:
    """Finds wrong descriptions that are certain to be wrong."""

    def __init__(self, sources: Sources, split: str) -> None:
        self.texts = sources.texts(split, "en")
        self.fields = sources.shuffled(fields(sources.english(split)), "classification")
        self.taken: dict[str, set[str]] = defaultdict(set)
        self.by_integration: dict[str, list[Field]] = defaultdict(list)
        for field in self.fields:
            self.taken[self._said(field)] |= self._labels(field)
            self.by_integration[field.integration].append(field)

    def _said(self, field: Field) -> str:
        return self.texts[field.description].casefold()

    def _labels(self, field: Field) -> set[str]:
        key = field.name.split(":", 2)[2].removesuffix(".name").removesuffix(".title")
        return {self.texts[field.name].casefold(), key.rsplit(".", 1)[-1]}

    def _first_wrong(self, field: Field, candidates: Iterable[Field]) -> str | None:
        mine, labels = self._said(field), self._labels(field)
        for other in candidates:
            said = self._said(other)
            if said != mine and not labels & self.taken[said]:
                return other.description
        return None

    def units(self) -> Iterable[_Unit]:
        """One unit a distinct description, where wrong ones can be found for it."""
        seen: set[str] = set()
        for place, field in enumerate(self.fields):
            if self._said(field) in seen:
                continue
            rest = self.fields[place + 1 :] + self.fields[:place]
            same = self._first_wrong(
                field, (f for f in self.by_integration[field.integration] if f != field)
            )
            other = self._first_wrong(
                field, (f for f in rest if f.integration != field.integration)
            )
            if same and other:
                seen.add(self._said(field))
                yield _Unit(field, (field.description, same, other))


def _examples(unit: _Unit, texts: dict[str, str], language: str) -> list[Line]:
    field = unit.field
    first = texts[field.name]
    if field.heading:
        first = f"{texts[field.heading]}: {first}"
    return [
        TextPair(
            id=f"{field.name}|{label}",
            first=first,
            second=texts[row],
            first_language=language,
            second_language=language,
            label=label,
        )
        for label, row in zip(CLASSES, unit.shown, strict=True)
    ]


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    for split in ("train", "dev", "test"):
        found = sources.widest_first(
            split, _Chooser(sources, split).units(), lambda unit: unit.rows
        )
        units = found[: sources.limit(split) // len(CLASSES)]
        for language in sources.told_in(split):
            texts = sources.texts(split, language)
            whole = (unit for unit in units if all(row in texts for row in unit.rows))
            examples[f"{split}-{language}"] = [
                line for unit in whole for line in _examples(unit, texts, language)
            ]
    return examples
