"""Filter one shard of a corpus row by row, and leave fingerprints of what stays.

What stays is compared across shards by corpora.match, and written by corpora.select. A row's fate
depends on the row alone, so it is the same for any number of shards. One block of rows is in memory
at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ernie_m.config.corpora import FilterSettings
from ernie_m.corpora.clean import Line, fault
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.drops import Drops
from ernie_m.corpora.duplicates import BANDS, band_hashes
from ernie_m.corpora.fingerprints import FingerprintWriter
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.held_out import HeldOut
from ernie_m.corpora.languages import LANGUAGES
from ernie_m.corpora.streams import ArrowWriter, Block, columns_of, shard_blocks
from ernie_m.corpora.text import comparable, normalise, numbers_agree
from ernie_m.job import Job, main

logger = logging.getLogger(__name__)

# Words (or characters) from which repetition can be told from style.
MIN_UNITS = 10
# What a character says, in characters of an alphabet; added to short sides, which vary more.
_WEIGHT = {"zh": 3, "zh_hant": 3, "ja": 3, "ko": 2}
_SLACK = 10


def repetition(line: Line) -> float:
    """Share of words (characters where words are not spaced) that stood in the text before; 0 for
    texts too short to tell."""
    if line.language.spaced:
        words = line.words.split()
        return 1 - len(set(words)) / len(words) if len(words) >= MIN_UNITS else 0.0
    letters = list(filter(str.isalpha, line.words))
    if len(letters) < MIN_UNITS:
        return 0.0
    # Characters repeat in any text, three in a row do not.
    triples = set(zip(letters, letters[1:], letters[2:], strict=False))
    return 1 - len(triples) / (len(letters) - 2)


def side_fault(text: str, language: str, settings: FilterSettings) -> str | None:
    """Why one text in normal form is dropped, or None."""
    line = Line(text, LANGUAGES[language])
    reason = fault(line, settings)
    if reason:
        return reason
    if line.letters.letter_share < settings.min_letter_share:
        return "few letters"
    if repetition(line) > settings.max_repetition:
        return "repeats itself"
    return None


def pair_fault(
    source: str, target: str, pair: Sequence[str], settings: FilterSettings
) -> str | None:
    """Why two sides that are good by themselves are no pair, or None."""
    if comparable(source) == comparable(target):
        return "identical sides"
    one, other = (
        len(text) * _WEIGHT.get(language, 1) + _SLACK
        for text, language in zip((source, target), pair, strict=True)
    )
    if max(one, other) > settings.max_length_ratio * min(one, other):
        return "uneven lengths"
    if settings.same_digits and not numbers_agree(source, target):
        return "other numbers"
    return None


def _judge(
    languages: Sequence[str], settings: FilterSettings, held_out: HeldOut
) -> Callable[[Sequence[str]], str | None]:
    """Why a row is dropped, or None; the first reason counts."""

    def judge(texts: Sequence[str]) -> str | None:
        for text, language in zip(texts, languages, strict=True):
            reason = side_fault(text, language, settings)
            if reason:
                return reason
        if len(texts) == 2:
            reason = pair_fault(texts[0], texts[1], languages, settings)
            if reason:
                return reason
        return "evaluation text" if any(map(held_out, texts)) else None

    return judge


class Shard:
    """The three growing outputs of a shard."""

    def __init__(self, corpus: str, settings: FilterSettings, paths: Sequence[Path]) -> None:
        self.languages = corpus.split("-")[1:]
        self.columns = columns_of(corpus)
        self.settings = settings
        fields = [("position", pa.uint64()), *((name, pa.large_string()) for name in self.columns)]
        rows, lines, documents = paths
        self.rows = ArrowWriter(rows, pa.schema(fields))
        self.lines, self.documents = FingerprintWriter(lines), FingerprintWriter(documents)

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *error: Any) -> None:
        for writer in (self.rows, self.lines, self.documents):
            writer.__exit__(*error)

    def add(self, kept: dict[str, list]) -> None:
        """One block of rows that stay, and their fingerprints."""
        positions = np.array(kept["position"], dtype=np.uint64)
        self.rows.write(kept)
        texts = [kept[name] for name in self.columns[2:]]
        keys = [[comparable(text) for text in column] for column in texts]
        # A text without a letter or number is known by itself.
        known = (
            [key or text for key, text in zip(*both, strict=True)]
            for both in zip(keys, texts, strict=True)
        )
        lines = [hash64(*row) for row in zip(*known, strict=True)]
        self.lines.add(np.array(lines, dtype=np.uint64), positions)
        if len(self.languages) == 1 and self.settings.near_duplicates:
            self._add_documents(kept["group"], keys[0], positions)

    def _add_documents(
        self, groups: Sequence[str], keys: Sequence[str], positions: np.ndarray
    ) -> None:
        """Fingerprints of documents, each known by the position of its first row that stays."""
        firsts, sets = [], []
        for _, rows in groupby(range(len(groups)), key=groups.__getitem__):
            numbers = list(rows)
            shingles = document_shingles(self.languages[0], (keys[row] for row in numbers))
            if shingles:  # shorter documents are left to the comparison of rows
                firsts.append(positions[numbers[0]])
                sets.append(shingles)
        if sets:
            # The band's number is part of the fingerprint, or bands would be mixed up.
            bands = band_hashes(sets) + np.arange(BANDS, dtype=np.uint64)
            owners = np.repeat(np.array(firsts, dtype=np.uint64), BANDS)
            self.documents.add(bands.reshape(-1), owners)


def _sift(
    block: Block, columns: Sequence[str], judge: Callable, drops: Drops
) -> tuple[int, dict[str, list]]:
    """How many rows a block has, and those that stay, in normal form."""
    content = block.columns
    kept: dict[str, list] = {"position": [], **{name: [] for name in columns}}
    rows = zip(*(content[name] for name in columns), strict=True)
    for offset, (name, group, *raw) in enumerate(rows):
        texts = [normalise(text) for text in raw]
        reason = judge(texts)
        if reason:
            drops.add(reason, id=name, **dict(zip(columns[2:], raw, strict=True)))
            continue
        values = (block.position + offset, name, group, *texts)
        for column, value in zip(kept.values(), values, strict=True):
            column.append(value)
    return len(block), kept


def run(job: Job[FilterSettings]) -> None:
    """Write rows.arrow, lines.arrow, documents.arrow and stats.json; instance
    ``{corpus}/{shard}``."""
    corpus, number = job.instance.rsplit("/", 1)
    settings, drops = job.settings, Drops()
    outputs = [job.output(name) for name in ("rows", "lines", "documents")]
    held_out = HeldOut.read(job.inputs("held_out"))
    read = kept_rows = 0
    with Shard(corpus, settings, outputs) as shard:
        judge = _judge(shard.languages, settings, held_out)
        for block in shard_blocks(job.inputs("corpus"), int(number), settings.shards):
            seen, kept = _sift(block, shard.columns, judge, drops)
            shard.add(kept)
            read, kept_rows = read + seen, kept_rows + len(kept["position"])
    job.write_json("stats", {"rows_in": read, "rows_out": kept_rows, **drops.facts()})
    logger.info("%s: %d of %d rows stay; %s", job.instance, kept_rows, read, drops.sentence())


if __name__ == "__main__":
    main(run, FilterSettings)
