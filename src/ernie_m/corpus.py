"""The names of corpora and of language pairs."""

from __future__ import annotations

from typing import NamedTuple


class Corpus(NamedTuple):
    """``mono-de``: text in one language; ``parallel-en-de``: sentence pairs; ``rows-de``: n-way
    rows in one language, before they are dealt. Languages have no hyphen in their codes."""

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
        """What is read of a dataset for it: ``de``, ``en-de``."""
        return "-".join(self.languages)

    def __str__(self) -> str:
        return f"{self.kind}-{self.text}"


def codes_of(name: str) -> tuple[str, ...]:
    """The languages of a pair or of what is read of a dataset: ``en-de``, ``de``."""
    return tuple(name.split("-"))
