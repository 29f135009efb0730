"""Texts of the evaluation tasks, which training text must not hold.

Gathered once, as the hashes of all strings in the tasks' examples; a row is taken for an evaluation
text when it is one, or one of its sentences is. Case and punctuation do not count.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ernie_m.config.corpora import HeldOutRules
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.readers.streams import file_lines
from ernie_m.corpora.streams import ArrowWriter, read_batches
from ernie_m.corpora.text import comparable
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Full stops of the world; the wide exclamation and question marks by number.
_ENDS = re.compile("(?<=[.!?\u3002\uff01\uff1f\u061f\u0964])\\s*")
_SCHEMA = pa.schema([("hash", pa.uint64())])


def sentences(text: str) -> Iterator[str]:
    """The text itself, and its sentences where it has several, as comparable keys."""
    yield comparable(text)
    pieces = _ENDS.split(text)
    if len(pieces) > 2 or (len(pieces) == 2 and pieces[1]):
        yield from map(comparable, pieces)


class HeldOut:
    """Tells whether a text says what an evaluation text says."""

    def __init__(self, hashes: np.ndarray, least: int) -> None:
        self._hashes, self._least = frozenset(hashes.tolist()), least

    @classmethod
    def read(cls, paths: Sequence[Path]) -> HeldOut:
        """What the stage has written; no file, and nothing is held out."""
        batches = [batch for path in paths for batch in read_batches(path)]
        if not batches:
            return cls(np.zeros(0, dtype=np.uint64), 0)
        return cls(batches[0].column(0).to_numpy(), int(batches[0].schema.metadata[b"least"]))

    def __call__(self, text: str) -> bool:
        if not self._hashes:
            return False
        keys = (key for key in sentences(text) if len(key) >= self._least)
        return any(hash64(key) in self._hashes for key in keys)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def run(job: Job[HeldOutRules]) -> None:
    """Write hashes.arrow, sorted, of every string in the examples that is long enough."""
    least = job.settings.decontaminate_min_chars
    found: set[int] = set()
    for path in job.inputs("examples"):
        for line in file_lines(path):
            for text in _strings(json.loads(line)):
                found.update(hash64(key) for key in sentences(text) if len(key) >= least)
    schema = _SCHEMA.with_metadata({"least": str(least)})
    with ArrowWriter(job.output("hashes"), schema) as writer:
        writer.write({"hash": np.array(sorted(found), dtype=np.uint64)})
    logger.info("%d evaluation texts", len(found))


if __name__ == "__main__":
    main(run, HeldOutRules)
