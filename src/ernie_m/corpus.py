"""The names of corpora and of language pairs."""

from __future__ import annotations

from typing import NamedTuple


class Corpus(NamedTuple):
    """``mono-de``: text in one language; ``parallel-en-de``: sentence pairs; ``rows-de``: n-way
    rows in one language, before they are dealt out. Language codes contain no hyphen."""

    kind: str
    languages: tuple[str, ...]

    @classmethod
    def parse(cls, name: str) -> Corpus:
        """The corpus of this name."""
        kind, *languages = name.split("-")
        return cls(kind, tuple(languages))

    @property
    def is_mono(self) -> bool:
        """Whether it has running text, whose rows may be joined to documents."""
        return self.kind == "mono"

    @property
    def text(self) -> str:
        """Languages of the text that it reads from a dataset: ``de``, ``en-de``."""
        return "-".join(self.languages)

    def __str__(self) -> str:
        return f"{self.kind}-{self.text}"


def codes_of(name: str) -> tuple[str, ...]:
    """The languages in a name: of a pair, ``en-de``, or of a single language, ``de``."""
    return tuple(name.split("-"))
