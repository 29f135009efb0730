"""Hashes of the evaluation texts, for the decontamination of training text.

They cover all strings in the examples of published tasks, and all held-out rows from which the
other tasks are made, whichever of them a task picks. A training row is contaminated when it, or one
of its sentences, is an evaluation text. Case, punctuation and spaces are ignored: tagged sentences
are lists of words, without what stood between them.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.arrow import pa
from ernie_m.config.corpora import EvalHashesSettings
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.streams import ArrowWriter, read_batches
from ernie_m.corpora.tables import read_table
from ernie_m.corpora.text import comparable, strip_markup
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Sentence-final punctuation; full-width marks by code point.
_ENDS = re.compile("(?<=[.!?\u3002\uff01\uff1f\u061f\u0964])\\s*")
_SCHEMA = pa.schema([("hash", pa.uint64())])
# A wide character (Chinese, Japanese, Korean) counts as so many letters of an alphabet.
_WIDE = 3


def keys(text: str, least: int) -> Iterator[str]:
    """Keys of the text and, where it has several, of its sentences, if they have ``least``
    characters or more; wide characters count three times."""
    pieces = [piece for piece in _ENDS.split(text) if piece]
    for piece in (text, *pieces) if len(pieces) > 1 else (text,):
        key = comparable(piece).replace(" ", "")
        if len(key) >= least or _weighted_length(key) >= least:
            yield key


def _weighted_length(key: str) -> int:
    wide = 0 if key.isascii() else sum(unicodedata.east_asian_width(c) in "WF" for c in key)
    return len(key) + (_WIDE - 1) * wide


class EvalTexts:
    """Whether a text matches an evaluation text."""

    def __init__(self, hashes: np.ndarray, least: int) -> None:
        self._hashes, self._least = frozenset(hashes.tolist()), least

    @classmethod
    def read(cls, paths: Sequence[Path]) -> EvalTexts:
        """Read the stage's output; with no file, nothing matches."""
        batches = [batch for path in paths for batch in read_batches(path)]
        if not batches:
            return cls(np.zeros(0, dtype=np.uint64), 0)
        return cls(batches[0].column(0).to_numpy(), int(batches[0].schema.metadata[b"least"]))

    def __call__(self, text: str) -> bool:
        if not self._hashes:
            return False
        return any(hash64(key) in self._hashes for key in keys(text, self._least))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
        if all(isinstance(inner, str) for inner in value):
            yield " ".join(value)


def run(job: Job[EvalHashesSettings]) -> None:
    """Write hashes.arrow: the sorted hashes of all strings that are long enough, in the examples of
    published tasks and in held-out rows."""
    least = job.settings.decontaminate_min_chars
    hashes: set[int] = set()
    for path in job.inputs("examples"):
        with path.open(encoding="utf-8") as lines:
            for text in (text for line in lines for text in _strings(json.loads(line))):
                hashes.update(map(hash64, keys(text, least)))
    for path in job.inputs("rows"):
        for text in read_table(path, ["text"])[0]:
            for form in {text, strip_markup(text)}:  # training text may have no marks
                hashes.update(map(hash64, keys(form, least)))
    schema = _SCHEMA.with_metadata({"least": str(least)})
    with ArrowWriter(job.output("hashes"), schema) as writer:
        writer.write({"hash": np.array(sorted(hashes), dtype=np.uint64)})
    logger.info("%d evaluation texts", len(hashes))


if __name__ == "__main__":
    main(run, EvalHashesSettings)
