"""CC-100 and the outputs of cc_net: monolingual documents.

- ``cc100``: ``xx.txt.xz``, one paragraph per line, an empty line between documents.
- ``ccnet_text``: cc_net's regrouped ``snap_..._batch_n.gz``, one paragraph per line without
  document boundaries, so that every paragraph is taken as a document.
- ``ccnet``: cc_net's JSON lines (``.json.gz``), one document per line, paragraphs in
  ``raw_content``.

With ``head``, only the first ``head`` bytes of the file were downloaded; they are read to the last
whole document.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.readers.streams import file_lines, is_cut
from ernie_m.json_text import parse_json

logger = logging.getLogger(__name__)

Rows = Iterator[tuple[str, tuple[str, ...]]]

# Rows held back of the document that the cut may have divided, at most: a file that does not mark
# where documents end is a single document.
HELD_ROWS, HELD_CHARACTERS = 10_000, 4_000_000


def read(path: Path, languages: Sequence[str], left: Leftovers, head: int | None = None) -> Rows:
    """(document number, (paragraph,)); the file has one language, that of the registry row."""
    rows = _paragraphs(path, left, head)
    return _but_last(rows, path) if is_cut(path, head) else rows


def _but_last(rows: Rows, path: Path) -> Rows:
    """``rows`` without those of the last document."""
    held: list[tuple[str, tuple[str, ...]]] = []
    characters = 0
    for row in rows:
        full = len(held) >= HELD_ROWS or characters >= HELD_CHARACTERS
        if held and (full or row[0] != held[-1][0]):
            yield from held
            held, characters = [], 0
        held.append(row)
        characters += sum(map(len, row[1]))
    logger.info("%s: %d rows of the last document left out at the cut", path, len(held))


def _paragraphs(path: Path, left: Leftovers, head: int | None) -> Rows:
    document = 0
    for _, line in file_lines(path, left, head):
        if line:
            yield str(document), (line,)
        else:
            document += 1


def read_text(
    path: Path, languages: Sequence[str], left: Leftovers, head: int | None = None
) -> Rows:
    """(paragraph number, (paragraph,))."""
    for number, line in file_lines(path, left, head):
        if line:
            yield str(number - 1), (line,)


def read_json(
    path: Path, languages: Sequence[str], left: Leftovers, head: int | None = None
) -> Rows:
    """(document number, (paragraph,))."""
    for number, line in file_lines(path, left, head):
        if not line.strip():
            continue
        try:
            paragraphs = parse_json(line)["raw_content"].split("\n")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = "no text `raw_content`" if isinstance(error, KeyError) else error
            left.add(number, f"is not a document of cc_net ({what})", line)
            continue
        for paragraph in filter(None, paragraphs):
            yield str(number - 1), (paragraph,)
