"""Held-out rows from which stand-ins are made, and how examples are chosen."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.config.xtreme import PrepareSettings
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from ernie_m.xtreme.files import Line

# Examples by the stem of their file: ``train-en``, ``dev-en``, ``test-de``.
Examples = dict[str, list[Line]]
# Split of examples -> part of the rows.
SPLITS = {"train": "train", "dev": "valid", "test": "test"}

# Fewest English words of a sentence that must not be in both training and test; shorter texts, such
# as the field name `Host`, recur in every integration.
SENTENCE_WORDS = 4
# Most rows of a lot: each is compared with all others.
LARGEST_LOT = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """An English row of a split; its id is ``dataset:group:key``, its group ``dataset:group``."""

    id: str
    group: str
    text: str

    def __str__(self) -> str:
        return self.id

    @property
    def dataset(self) -> str:
        """Its dataset, whose name has no colon; the name of a group may have some."""
        return self.group.partition(":")[0]

    @property
    def key(self) -> tuple[str, ...]:
        """The parts of its key within the group."""
        return tuple(self.id.removeprefix(f"{self.group}:").split("."))


@dataclass(frozen=True)
class Sources:
    """The files a task is made from, its settings, and the seed of every choice.

    ``languages`` is in the order of the configuration.
    """

    files: Sequence[Path]
    languages: Sequence[str]
    settings: PrepareSettings
    seed: int

    @cached_property
    def _tables(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        return {}

    def texts(self, split: str, language: str) -> dict[str, str]:
        """Text by row id of example split ``train``, ``dev`` or ``test``.

        Raises :class:`UserError` when no file has it.
        """
        return self._table(split, language)[0]

    def _table(self, split: str, language: str) -> tuple[dict[str, str], dict[str, str]]:
        """Texts and groups by row id."""
        stem = f"rows-{SPLITS[split]}-{language}"
        if stem not in self._tables:
            path = next((file for file in self.files if file.stem == stem), None)
            if path is None:
                raise UserError(
                    f"No input is called {stem}.parquet.",
                    f"Give the stage the rows of `{language}` that the split wrote.",
                )
            ids, *columns = read_table(path, ["id", "text", "group"])
            texts, groups = (dict(zip(ids, values, strict=True)) for values in columns)
            self._tables[stem] = texts, groups
        return self._tables[stem]

    def _held_out(self, split: str) -> set[str]:
        """English sentences of the splits that a split must not know."""
        later = list(SPLITS)[list(SPLITS).index(split) + 1 :]
        texts = (text for other in later for text in self.texts(other, ENGLISH).values())
        return {text for text in texts if len(text.split()) >= SENTENCE_WORDS}

    def english(self, split: str) -> Iterator[Row]:
        """English rows of a split, in the order of their ids; train without sentences that also
        occur in dev, and neither with those that occur in test."""
        held_out = self._held_out(split)
        texts, groups = self._table(split, ENGLISH)
        for id, text in sorted(texts.items()):
            if text not in held_out:
                yield Row(id, groups[id], text)

    @property
    def foreign(self) -> list[str]:
        """All languages but English."""
        return [language for language in self.languages if language != ENGLISH]

    def languages_of(self, split: str) -> Sequence[str]:
        """Languages of a split's examples; the workflow decides which of the files are written."""
        return [ENGLISH] if split == "dev" else self.languages

    def shuffled(self, items: Iterable[T], salt: str) -> list[T]:
        """``items`` shuffled by a seeded hash of each one's name.

        The relative order of two items does not depend on the others, so a capped choice changes as
        little as the text does.
        """
        return sorted(items, key=lambda item: (hash64(self.seed, salt, item), str(item)))

    def lots(self, rows: Iterable[Row]) -> list[list[Row]]:
        """Rows that belong together, at most ``LARGEST_LOT`` each: those of a group, or all of a
        dataset if most of its rows are alone in their group, as in a table without that column."""
        rows = list(rows)
        size = Counter(row.group for row in rows)
        singletons = Counter(row.dataset for row in rows if size[row.group] == 1)
        rows_of = Counter(row.dataset for row in rows)
        lots: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            scattered = 2 * singletons[row.dataset] > rows_of[row.dataset]
            lots[row.dataset if scattered else row.group].append(row)
        orders = [self.shuffled(lot, "lot") for lot in lots.values()]
        return [
            order[first : first + LARGEST_LOT]
            for order in orders
            for first in range(0, len(order), LARGEST_LOT)
        ]

    def most_translated_first(
        self, split: str, items: Iterable[T], rows: Callable[[T], Iterable[str]]
    ) -> list[T]:
        """``items`` stably sorted by the number of languages that lack any of their ``rows``.

        So a capped choice of test examples is as nearly the same in all languages as the text
        allows. Train and dev keep their order.
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


# Scripts without spaces between words are split into characters, as in PAN-X. A change of script
# ends a word: Korean attaches particles to Latin names.
_UNSPACED = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9d"
_LATIN = "0-9A-Za-z_\u00c0-\u024f\u1e00-\u1eff"
_WORDS = re.compile(
    rf"[{_UNSPACED}]"  # Han and kana, one each
    rf"|[{_LATIN}]+"
    rf"|(?:(?![{_LATIN}{_UNSPACED}])\w)+"  # any other script
    r"|[^\w\s]"
)


def words(text: str) -> list[tuple[int, int]]:
    """Character spans of the words of ``text``."""
    return [match.span() for match in _WORDS.finditer(text)]
