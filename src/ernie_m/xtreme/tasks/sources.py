"""What a task makes its examples of, and what they share in choosing them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ernie_m.config.xtreme import PrepareSettings
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from ernie_m.xtreme.catalogue import ENGLISH
from ernie_m.xtreme.files import Line

# Examples by the stem of their file: ``train-en``, ``dev-en``, ``test-de``.
Examples = dict[str, list[Line]]
# Which rows an example file is made of.
SPLITS = {"train": "train", "dev": "valid", "test": "test"}

# English words from which a text is a sentence that fine-tuning must not have seen; names of
# fields, such as `Host`, recur in every integration.
SENTENCE_WORDS = 4

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """An English row of a split: its id taken apart, and its text."""

    id: str
    integration: str
    key: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Sources:
    """The files a task is made of, what is wanted of it, and the seed of every choice.

    ``languages`` is in the order of the configuration.
    """

    files: Sequence[Path]
    languages: Sequence[str]
    settings: PrepareSettings
    seed: int

    @cached_property
    def _tables(self) -> dict[str, dict[str, str]]:
        return {}

    def texts(self, split: str, language: str) -> dict[str, str]:
        """Text by row id of example split ``train``, ``dev`` or ``test``.

        Raises :class:`UserError` when no file has it.
        """
        stem = f"rows-{SPLITS[split]}-{language}"
        if stem not in self._tables:
            path = next((file for file in self.files if file.stem == stem), None)
            if path is None:
                raise UserError(
                    f"No input is called {stem}.parquet.",
                    f"Give the stage the rows of `{language}` that the split wrote.",
                )
            ids, texts = read_table(path, ["id", "text"])
            self._tables[stem] = dict(zip(ids, texts, strict=True))
        return self._tables[stem]

    @cached_property
    def _test_sentences(self) -> frozenset[str]:
        texts = self.texts("test", ENGLISH).values()
        return frozenset(text for text in texts if len(text.split()) >= SENTENCE_WORDS)

    def english(self, split: str) -> Iterator[Row]:
        """English rows of a split, in the order of their ids; of train and dev without the
        sentences that the test rows have too."""
        held_out = self._test_sentences if split != "test" else frozenset()
        for id, text in sorted(self.texts(split, ENGLISH).items()):
            if text in held_out:
                continue
            _, integration, key = id.split(":", 2)
            yield Row(id, integration, tuple(key.split(".")), text)

    @property
    def foreign(self) -> list[str]:
        """All languages but English."""
        return [language for language in self.languages if language != ENGLISH]

    def told_in(self, split: str) -> Sequence[str]:
        """Languages in which a split's examples are made; which files are kept is the graph's
        choice."""
        return [ENGLISH] if split == "dev" else self.languages

    def shuffled(self, items: Iterable[T], salt: str) -> list[T]:
        """``items`` in an order that depends on each one's name and the seed only.

        An item keeps its rank among the others when some of them come or go, so a capped choice
        changes as little as the text does.
        """
        return sorted(items, key=lambda item: (hash64(self.seed, salt, item), str(item)))

    def widest_first(
        self, split: str, items: Iterable[T], rows: Callable[[T], Iterable[str]]
    ) -> list[T]:
        """``items`` in their order, but those whose ``rows`` more languages have come first.

        A capped choice of test examples is then as nearly the same in all languages as the text
        allows. Train and dev examples are English only and keep their order.
        """
        if split != "test":
            return list(items)
        tables = [self.texts(split, language) for language in self.languages]

        def missing(item: T) -> int:
            needed = list(rows(item))
            return sum(any(row not in table for row in needed) for table in tables)

        return sorted(items, key=missing)

    def limit(self, split: str) -> int:
        """Most English examples of a split."""
        return {
            "train": self.settings.train_examples,
            "dev": self.settings.dev_examples,
            "test": self.settings.test_examples,
        }[split]


@dataclass(frozen=True, order=True)
class Field:
    """Something with a name and a description: a field of a form, an action, a repair notice.

    ``heading`` is the row that introduces the form it is in, if there is one.
    """

    integration: str
    form: str
    name: str
    description: str
    heading: str | None

    def __str__(self) -> str:
        return self.name


_HEADINGS = ("title", "name")


def _field_parts(
    key: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """Of a description's key: key of the form, and where the name may be."""
    if len(key) > 2 and key[-2] == "data_description":
        return key[:-2], ((*key[:-2], "data", key[-1]),)
    if len(key) > 2 and key[-1] == "description":
        return key[:-2], tuple((*key[:-1], word) for word in ("name", "title"))
    return None


def fields(rows: Iterable[Row]) -> list[Field]:
    """Fields among the English rows, sorted: ``data.x`` with ``data_description.x``, and ``name``
    or ``title`` beside ``description``."""
    by_key = {(row.integration, row.key): row for row in rows}
    found = []
    for (integration, key), row in by_key.items():
        parts = _field_parts(key)
        if parts is None:
            continue
        form, names = parts
        name = next((by_key[integration, n] for n in names if (integration, n) in by_key), None)
        if name is None or name.text == row.text:
            continue
        # `fields` and `step` only hold things together: what introduces them is a level up.
        above = form[:-1] if form[-1:] == ("fields",) else form
        headings = (by_key.get((integration, (*above, word))) for word in _HEADINGS)
        heading = next((h.id for h in headings if h and h.id != name.id), None)
        found.append(Field(integration, ".".join(form), name.id, row.id, heading))
    return sorted(found)


def grouped(items: Iterable[Field]) -> dict[tuple[str, str], list[Field]]:
    """Fields by integration and form."""
    forms: dict[tuple[str, str], list[Field]] = defaultdict(list)
    for item in items:
        forms[item.integration, item.form].append(item)
    return dict(forms)


# Scripts without spaces between words are taken character by character, as PAN-X does; a change
# of script ends a word, since Korean sets its particles right after a Latin name.
_UNSPACED = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9d"
_LATIN = "0-9A-Za-z_\u00c0-\u024f\u1e00-\u1eff"
_WORDS = re.compile(
    rf"[{_UNSPACED}]"  # Han and kana, one each
    rf"|[{_LATIN}]+"
    rf"|(?:(?![{_LATIN}{_UNSPACED}])\w)+"  # any other script
    r"|[^\w\s]"
)


def words(text: str) -> list[tuple[int, int]]:
    """Where the words of ``text`` begin and end, in characters."""
    return [match.span() for match in _WORDS.finditer(text)]
