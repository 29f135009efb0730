"""Files of pseudo tokens of the sentences that stage 2 reads, one per back-translation chunk.

Sentences are numbered through: training sentences of all languages that have a target language, in
the order of the encoded text, then validation sentences. The files hold a subset of them, sorted by
number within and across files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ernie_m.errors import UserError
from ernie_m.mapped import joined, map_arrays, parted
from ernie_m.objectives.lengths import slots
from ernie_m.ragged import Ragged, Sequences, spans

Array = np.ndarray
MOST_RATIO = 2.0  # the most that `placeholder_ratio` may be
AGAIN = "Run pretrain_backtranslate again for the present text and settings."


@dataclass(frozen=True)
class Pseudo:
    """A chunk of ``n`` sentences.

    ``numbers`` int64 ``[n]`` ascend, ``keys`` uint64 ``[n]`` are the sentences' keys; ``target``
    ``[n]`` is the row of the target language; ``ratio`` is the number of placeholders per token.
    ``languages`` are those whose sentences are numbered, ``train`` and ``valid`` the numbers of
    their sentences.
    """

    numbers: Array
    keys: Array
    target: Array
    tokens: Ragged
    ratio: float
    languages: tuple[str, ...]
    train: int
    valid: int


def write_pseudo(path: Path, pseudo: Pseudo) -> None:
    """Write a chunk; the same content gives the same bytes."""
    arrays = {
        "numbers": pseudo.numbers,
        "keys": pseudo.keys,
        "target": pseudo.target.astype(np.uint16),
        "tokens": pseudo.tokens.tokens,
        "offsets": pseudo.tokens.offsets,
    }
    facts = {
        "placeholder_ratio": repr(pseudo.ratio),
        "languages": " ".join(pseudo.languages),
        "train": str(pseudo.train),
        "valid": str(pseudo.valid),
    }
    save_file(arrays, path, joined(facts))


def read_pseudo(path: Path, vocabulary: int | None, languages: Sequence[str]) -> Pseudo:
    """A chunk whose arrays are read-only memory maps; raises :class:`UserError` when it is damaged,
    or has ids beyond the rows of ``languages`` or the ``vocabulary``, where that is given."""
    try:
        metadata, arrays = map_arrays(path)
        facts = parted(metadata)
        pseudo = Pseudo(
            numbers=arrays["numbers"],
            keys=arrays["keys"],
            target=arrays["target"],
            tokens=Ragged(arrays["tokens"], arrays["offsets"]),
            ratio=float(facts["placeholder_ratio"]),
            languages=tuple(facts["languages"].split()),
            train=int(facts["train"]),
            valid=int(facts["valid"]),
        )
        if fault := _fault(pseudo, vocabulary, languages):
            raise ValueError(fault)
        return pseudo
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{path} is not a whole file of pseudo tokens: {error}.",
            "Delete it and run pretrain_backtranslate again.",
        ) from None


def _fault(pseudo: Pseudo, vocabulary: int | None, languages: Sequence[str]) -> str | None:
    """What is wrong with a chunk; None if nothing is."""
    numbers, target = pseudo.numbers, pseudo.target
    types = {"numbers": np.int64, "keys": np.uint64, "target": np.uint16}
    if any(getattr(pseudo, name).dtype != kind for name, kind in types.items()):
        return "its arrays are of other types"
    if not 0 < pseudo.ratio <= MOST_RATIO or min(pseudo.train, pseudo.valid) < 0:
        return "its facts are out of range"
    if not set(pseudo.languages) <= set(languages):
        return "it has languages that the model does not have"
    if not len(numbers) == len(pseudo.keys) == len(target):
        return "its counts do not agree"
    if fault := numbers_fault(numbers, pseudo.train + pseudo.valid):
        return fault
    if (target >= len(languages)).any():
        return "it has a language row that the model does not have"
    if (fault := pseudo.tokens.fault(len(numbers))) or vocabulary is None:
        return fault
    return pseudo.tokens.id_fault(vocabulary)


def numbers_fault(numbers: Array, count: int) -> str | None:
    """What is wrong with the numbers of some of ``count`` sentences; None if nothing is."""
    ascend = bool((numbers[1:] > numbers[:-1]).all())
    if ascend and (not len(numbers) or 0 <= numbers[0] <= numbers[-1] < count):
        return None
    return "its numbers do not ascend within those of the sentences"


def check_chunks(files: Sequence[Pseudo]) -> None:
    """Raise :class:`UserError` for chunks that are not of one text and in its order."""
    facts = {(file.languages, file.ratio, file.train, file.valid) for file in files}
    ends = [(file.numbers[0], file.numbers[-1]) for file in files if len(file.numbers)]
    if len(facts) > 1 or any(after <= last for (_, last), (after, _) in pairwise(ends)):
        raise UserError("The files of pseudo tokens are not chunks of one text, in order.", AGAIN)


@dataclass(frozen=True)
class PseudoTokens:
    """The pseudo tokens of ``sentences``, the first of which has number ``first`` in ``files``.

    Their number follows from the sentence's length; only sentences that are taken have to be in a
    file.
    """

    sentences: Sequences
    ratio: float
    files: tuple[Pseudo, ...] = ()
    first: int = 0

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> Array:
        return self.take(np.array([index])).tokens

    def lengths_of(self, order: Array) -> Array:
        """Pseudo tokens of the sentences numbered by ``order``, int64."""
        return slots(self.sentences.lengths_of(order), self.ratio)

    @cached_property
    def _ends(self) -> Array:
        """Exclusive end of the numbers in each file."""
        last = [int(file.numbers[-1]) + 1 if len(file.numbers) else 0 for file in self.files]
        return np.maximum.accumulate(np.array([*last, 0], dtype=np.int64)[:-1])

    def _look_up(self, order: Array) -> list[tuple[Pseudo, Array, Array]]:
        """For each file needed: the file, indices into ``order``, and rows within the file; raises
        :class:`UserError` for a sentence that is in no file."""
        numbers = order + self.first
        file_of = np.searchsorted(self._ends, numbers, side="right")
        lookups, missing = [], bool((file_of == len(self.files)).any())
        for number in np.unique(file_of[file_of < len(self.files)]):
            file, where = self.files[number], np.flatnonzero(file_of == number)
            row = np.searchsorted(file.numbers, numbers[where])
            missing |= bool((file.numbers[row] != numbers[where]).any())
            lookups.append((file, where, row))
        if missing:
            raise UserError("A sentence that stage 2 draws has no pseudo tokens.", AGAIN)
        return lookups

    def take(self, order: Array) -> Ragged:
        """Pseudo tokens of the sentences numbered by ``order``, as int64 in memory."""
        lengths = self.lengths_of(order)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.empty(offsets[-1], dtype=np.int64)
        for file, where, row in self._look_up(order):
            found = file.tokens.take(row)
            if (found.lengths != lengths[where]).any():
                raise UserError("Pseudo tokens were made for sentences of other lengths.", AGAIN)
            tokens[spans(offsets[where], lengths[where])] = found.tokens
        return Ragged(tokens, offsets)

    def targets_of(self, order: Array) -> Array:
        """Language rows of the targets of the sentences numbered by ``order``, int64."""
        rows = np.empty(len(order), dtype=np.int64)
        for file, where, row in self._look_up(order):
            rows[where] = file.target[row]
        return rows
