"""What a reader leaves out of a file: counted by reason, malformed lines kept for reading.

A line is malformed where it is not what its format says: not UTF-8, with another number of columns,
no JSON. A few of them must not stop a corpus of millions; many say that the file is something else.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ernie_m.errors import UserError

# Lines after which the share of malformed ones is judged while reading.
ENOUGH_LINES = 10_000
# What is kept of them: so many lines, so many characters of each.
KEPT, KEPT_CHARACTERS = 1_000, 2_000
# Language tags that are told apart, and characters of each; a file has a few.
TAGS, TAG_CHARACTERS = 1_000, 40


class Leftovers:
    """Counts for the file at ``path``. ``share`` of its lines, rounded up, may be malformed."""

    def __init__(self, path: Path, share: float) -> None:
        self._path, self._share = path, share
        self.lines = 0  # so far, good or not; or what stands for one in the format
        self._kept: list[dict[str, Any]] = []
        self._first = ""
        self.bad = 0
        self.skipped: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()

    def add(self, line: int, what: str, text: str | bytes) -> None:
        """Leave out a malformed line, and keep it; raises :class:`UserError` when there are too
        many. ``what`` continues "line 5 ..."."""
        self.bad += 1
        self._first = self._first or f"line {line} {what}"
        if len(self._kept) < KEPT:
            if isinstance(text, bytes):
                text = text[:KEPT_CHARACTERS].decode("utf-8", errors="backslashreplace")
            self._kept.append({"line": line, "what": what, "text": text[:KEPT_CHARACTERS]})
        if self.bad > self._allowed(max(self.lines, ENOUGH_LINES)):
            raise self._too_many()

    def text(self, line: int, raw: bytes) -> str | None:
        """A line as text; None, and left out, where it is not UTF-8 or holds NUL."""
        if b"\0" in raw:
            self.add(line, "holds NUL bytes, which no text in UTF-8 does", raw)
            return None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.add(line, f"is not UTF-8 from its byte {error.start + 1} on", raw)
            return None

    def skip(self, reason: str) -> None:
        """Count a row that is well formed and not wanted."""
        self.skipped[reason] += 1

    def see(self, tags: Iterable[str]) -> None:
        """Count the language tags of some rows."""
        for tag, count in Counter(tags).items():
            name = tag[:TAG_CHARACTERS]
            self.tags[name if name in self.tags or len(self.tags) < TAGS else "others"] += count

    def judge(self) -> None:
        """Raise :class:`UserError` if, of the whole file, too many lines were malformed."""
        if self.bad > self._allowed(self.lines):
            raise self._too_many()

    def _allowed(self, lines: int) -> int:
        return math.ceil(self._share * lines)

    def _too_many(self) -> UserError:
        return UserError(
            f"{self._path}, {self._first}; of {self.lines:,} read {self.bad:,} are malformed.",
            "Correct `format` or `languages` of the registry row, or the file; to leave such lines "
            f"out, raise `corpora.max_bad_lines`, now {self._share:g}.",
        )

    def sentence(self) -> str:
        """``2 malformed, 5 without text in `de```; empty where nothing was left out."""
        counts = {"malformed": self.bad, **dict(self.skipped.most_common())}
        return ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)

    def seen(self) -> str:
        """The language tags, the most frequent first: ``en-US (3), zh-TW (2)``."""
        return ", ".join(f"{tag} ({n:,})" for tag, n in self.tags.most_common(20))

    def facts(self) -> dict[str, Any]:
        """Counts for the statistics of the stage."""
        return {
            "lines": self.lines,
            "malformed": self.bad,
            "skipped": dict(sorted(self.skipped.items())),
            "tags": dict(sorted(self.tags.items())),
        }

    def write(self, path: Path) -> None:
        """Write the malformed lines that were kept, the first of them, as JSON lines."""
        with path.open("w", encoding="utf-8", errors="backslashreplace") as handle:
            for line in self._kept:
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")
