"""Stand-in for XQuAD: which sentence of the context answers the question?

Context: several sentences in one language, in seeded order, joined by spaces. Answer: one of them.
The question depends on the source:

- Home Assistant's forms: the sentences are the descriptions of a form, and the question is the name
  of one of its fields, in the context's language.
- Other rows: the sentences are of one group, and the question is one of them in English.

Texts that are not unique in their context are left out, so there is one right answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.xtreme.files import Question
from ernie_m.xtreme.standins.interface import Field, forms, interface_datasets
from ernie_m.xtreme.standins.sources import SENTENCE_WORDS, Examples, Sources

NEEDS = (
    "Home Assistant's forms of at least `xtreme.prepare.qa_min_fields` fields, or as many English "
    f"sentences of {SENTENCE_WORDS} words or more, of one group where rows have groups"
)


@dataclass(frozen=True)
class _Context:
    """Fields whose descriptions make one context, in their order there."""

    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return self.fields[0].description

    @property
    def rows(self) -> list[str]:
        return [row for field in self.fields for row in (field.name, field.description)]


def _once(form: Sequence[Field], texts: dict[str, str]) -> list[Field]:
    """Fields whose name and description are unique in the form."""
    names = Counter(texts[field.name].casefold() for field in form)
    descriptions = Counter(texts[field.description].casefold() for field in form)
    return [
        field
        for field in form
        if names[texts[field.name].casefold()]
        == descriptions[texts[field.description].casefold()]
        == 1
    ]


def _lots(sources: Sources, split: str, interface: frozenset[str]) -> Iterator[list[Field]]:
    """Fields that may share a context, in order: the fields of a form, or the sentences of a group,
    each of which is its own question."""
    rows = list(sources.english(split))
    texts = sources.texts(split, ENGLISH)
    for form in forms(row for row in rows if row.dataset in interface):
        yield sources.shuffled(_once(form, texts), "qa field")
    others = (row for row in rows if row.dataset not in interface)
    for lot in sources.lots(r for r in others if len(r.text.split()) >= SENTENCE_WORDS):
        sentences = _once([Field(row.id, row.id) for row in lot], texts)
        order = sources.shuffled(sentences, "qa field")
        # A context needs all its sentences, so sentences with as many translations are put
        # together.
        yield sources.most_translated_first(split, order, lambda field: [field.name])


def _contexts(sources: Sources, split: str, interface: frozenset[str]) -> Iterator[_Context]:
    settings = sources.settings
    texts = sources.texts(split, ENGLISH)
    seen: set[frozenset[str]] = set()
    for lot in _lots(sources, split, interface):
        for first in range(0, len(lot), settings.qa_max_fields):
            part = tuple(lot[first : first + settings.qa_max_fields])
            descriptions = frozenset(texts[field.description] for field in part)
            if len(part) >= settings.qa_min_fields and descriptions not in seen:
                seen.add(descriptions)
                yield _Context(part)


def _questions(
    context: _Context, texts: dict[str, str], english: dict[str, str]
) -> Iterator[Question]:
    """One question per field; none if a row is missing. Answers that occur twice are left out."""
    complete = all(row in texts for row in context.rows)
    if not complete or len(_once(context.fields, texts)) < len(context.fields):
        return
    text = " ".join(texts[field.description] for field in context.fields)
    start = 0
    for field in context.fields:
        answer = texts[field.description]
        asks_for_itself = field.name == field.description
        question = (english if asks_for_itself else texts)[field.name]
        # An untranslated sentence would be its own question.
        untranslated = asks_for_itself and texts is not english and question == answer
        if text.count(answer) == 1 and not untranslated:
            yield Question(
                id=field.name, question=question, context=text, answers=[answer], starts=[start]
            )
        start += len(answer) + 1


def make(sources: Sources) -> Examples:
    """``train-{language}``, ``dev-en`` and ``test-{language}``."""
    examples: Examples = {}
    interface = interface_datasets(sources)
    for split in ("train", "dev", "test"):
        contexts = sources.most_translated_first(
            split,
            sources.shuffled(_contexts(sources, split, interface), "qa context"),
            lambda context: context.rows,
        )
        english = sources.texts(split, ENGLISH)
        answerable = [
            line.id for context in contexts for line in _questions(context, english, english)
        ]
        chosen = set(answerable[: sources.limit(split)])
        for language in sources.languages_of(split):
            texts = sources.texts(split, language)
            lines = (line for context in contexts for line in _questions(context, texts, english))
            examples[f"{split}-{language}"] = [line for line in lines if line.id in chosen]
    return examples
