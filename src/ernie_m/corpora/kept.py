"""Files of the rows that pass the filters, written block by block: the input of corpora.dedup and
corpora.select."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.arrow import pa
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.duplicates import BANDS, band_hashes
from ernie_m.corpora.fingerprints import FingerprintWriter
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.streams import ArrowWriter, columns_of
from ernie_m.corpora.text import comparable
from ernie_m.corpus import Corpus


class KeptWriter:
    """Writes kept rows and their fingerprints for deduplication: of every row, and with
    ``documents`` of every document as well; the caller closes that writer."""

    def __init__(
        self, corpus: str, rows: Path, lines: Path, documents: FingerprintWriter | None = None
    ) -> None:
        self.languages = Corpus.parse(corpus).languages
        self.columns = columns_of(Corpus.parse(corpus))
        fields = [("position", pa.uint64()), *((name, pa.large_string()) for name in self.columns)]
        facts = {"languages": ",".join(self.languages)}
        self._rows = ArrowWriter(rows, pa.schema(fields, metadata=facts))
        self._lines = FingerprintWriter(lines)
        self._documents = documents

    def __enter__(self) -> KeptWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._rows.__exit__(*error)
        self._lines.__exit__(*error)

    def add(self, kept: dict[str, list]) -> None:
        """Write one block of rows, values by column, with their ``position``."""
        positions = np.array(kept["position"], dtype=np.uint64)
        self._rows.write(kept)
        texts = [kept[name] for name in self.columns[2:]]
        keys = [[comparable(text) for text in column] for column in texts]
        # A text without letters or digits is its own key.
        line_keys = (
            [key or text for key, text in zip(*side, strict=True)]
            for side in zip(keys, texts, strict=True)
        )
        lines = [hash64(*row) for row in zip(*line_keys, strict=True)]
        self._lines.add(np.array(lines, dtype=np.uint64), positions)
        if self._documents:
            firsts, sets = self._shingled(kept["group"], keys[0], kept["position"])
            if sets:
                # The band's number is part of the fingerprint, or different bands could match.
                bands = band_hashes(sets) + np.arange(BANDS, dtype=np.uint64)
                owners = np.repeat(np.array(firsts, dtype=np.uint64), BANDS)
                self._documents.add(bands.reshape(-1), owners)

    def _shingled(
        self, groups: Sequence[str], keys: Sequence[str], positions: Sequence[int]
    ) -> tuple[list[int], list[set[str]]]:
        """Documents long enough to compare: the position of their first row, which identifies them,
        and their shingles."""
        firsts, sets = [], []
        for _, rows in groupby(range(len(groups)), key=groups.__getitem__):
            numbers = list(rows)
            shingles = document_shingles(self.languages[0], (keys[row] for row in numbers))
            if shingles:  # shorter documents are deduplicated by rows only
                firsts.append(positions[numbers[0]])
                sets.append(shingles)
        return firsts, sets
