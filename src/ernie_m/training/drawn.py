"""The file of the sentences that stage 2 reads with pseudo tokens.

Sentences are numbered through: training sentences of all languages that have a target language, in
the order of the encoded text, then validation sentences. The file holds a subset of them, sorted by
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ernie_m.errors import UserError
from ernie_m.mapped import ArrayWriter, joined, map_arrays, parted
from ernie_m.ragged import Ragged
from ernie_m.training.pseudo import numbers_fault

Array = np.ndarray


@dataclass(frozen=True)
class Numbered:
    """What the numbers of sentences mean: ``languages`` are those whose sentences are numbered,
    ``train`` and ``valid`` how many they have, ``tokenizer`` is its SHA-256."""

    languages: tuple[str, ...]
    train: int
    valid: int
    tokenizer: str


@dataclass(frozen=True)
class DrawnText:
    """``n`` sentences: ``numbers`` int64 ``[n]`` ascend, ``keys`` uint64 ``[n]`` are the sentences'
    keys, ``language`` uint16 ``[n]`` is the place of theirs among the languages ``of`` the
    numbers."""

    numbers: Array
    keys: Array
    language: Array
    tokens: Ragged
    of: Numbered

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, first: int, last: int) -> DrawnText:
        """The sentences from ``first`` to ``last``, the last one excluded."""
        own, offsets = slice(first, last), self.tokens.offsets[first : last + 1]
        return replace(
            self,
            numbers=self.numbers[own],
            keys=self.keys[own],
            language=self.language[own],
            tokens=Ragged(self.tokens.tokens[offsets[0] : offsets[-1]], offsets - offsets[0]),
        )


class DrawnWriter(ArrayWriter):
    """Appends sentences to the file; the same content gives the same bytes."""

    def __init__(self, path: Path, of: Numbered) -> None:
        super().__init__(path)
        self._of = of

    def add(self, numbers: Array, keys: Array, language: Array, tokens: Ragged) -> None:
        """Append sentences, as of :class:`DrawnText`."""
        self.append("numbers", numbers)
        self.append("keys", keys)
        self.append("language", language.astype(np.uint16))
        self.append_sequences("", tokens)

    def metadata(self) -> dict[str, str]:
        """What the numbers mean."""
        of = self._of
        return joined({
            "languages": " ".join(of.languages),
            "train": str(of.train),
            "valid": str(of.valid),
            "tokenizer": of.tokenizer,
        })  # fmt: skip


def read_drawn(path: Path, languages: Sequence[str], tokenizer: str) -> DrawnText:
    """The sentences as read-only memory maps; raises :class:`UserError` when the file is damaged,
    of other ``languages``, or was encoded with another ``tokenizer``."""
    try:
        metadata, arrays = map_arrays(path)
        facts = parted(metadata)
        of = Numbered(
            languages=tuple(facts["languages"].split()),
            train=int(facts["train"]),
            valid=int(facts["valid"]),
            tokenizer=facts["tokenizer"],
        )
        text = DrawnText(
            numbers=arrays["numbers"],
            keys=arrays["keys"],
            language=arrays["language"],
            tokens=Ragged(arrays["tokens"], arrays["offsets"]),
            of=of,
        )
        if fault := _fault(text):
            raise ValueError(fault)
    except (ValueError, KeyError, OSError) as error:
        raise _damaged(path, str(error)) from None
    if of.languages != tuple(languages) or of.tokenizer != tokenizer:
        raise UserError(
            f"{path} has text of other languages or of another tokenizer than the model's.",
            "Run pretrain_draw again for the present text and settings.",
        )
    return text


def check_ids(path: Path, text: DrawnText, vocabulary: int) -> None:
    """Raise :class:`UserError` for sentences with ids beyond the ``vocabulary``; reads them all."""
    if fault := text.tokens.id_fault(vocabulary):
        raise _damaged(path, fault)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is not a whole file of drawn sentences: {reason}.",
        "Delete it and run pretrain_draw again.",
    )


def _fault(text: DrawnText) -> str | None:
    """What is wrong with a file; None if nothing is."""
    types = {"numbers": np.int64, "keys": np.uint64, "language": np.uint16}
    if any(getattr(text, name).dtype != kind for name, kind in types.items()):
        return "its arrays are of other types"
    if not len(text.numbers) == len(text.keys) == len(text.language):
        return "its counts do not agree"
    if fault := numbers_fault(text.numbers, text.of.train + text.of.valid):
        return fault
    if (text.language >= len(text.of.languages)).any():
        return "it has a language that it does not name"
    return text.tokens.fault(len(text))
