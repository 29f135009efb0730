"""CC-100 and the outputs of cc_net: monolingual documents.

- ``cc100``: ``xx.txt.xz``, a paragraph a line, an empty line between documents.
- ``ccnet_text``: cc_net's regrouped ``snap_..._batch_n.gz``, a paragraph a line and no sign of
  where documents end, so that every paragraph is taken as one.
- ``ccnet``: cc_net's JSON lines (``.json.gz``), a document a line, paragraphs in ``raw_content``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ernie_m.corpora.readers.streams import file_lines
from ernie_m.errors import UserError

Rows = Iterator[tuple[str, tuple[str, ...]]]


def read(path: Path, languages: Sequence[str]) -> Rows:
    """(document number, (paragraph,)); the file's only language is the registry row's."""
    document = 0
    for line in file_lines(path):
        if line:
            yield str(document), (line,)
        else:
            document += 1


def read_text(path: Path, languages: Sequence[str]) -> Rows:
    """(paragraph number, (paragraph,))."""
    for number, line in enumerate(file_lines(path)):
        if line:
            yield str(number), (line,)


def read_json(path: Path, languages: Sequence[str]) -> Rows:
    """(document number, (paragraph,)); raises :class:`UserError` for a line that is no document of
    cc_net's."""
    for number, line in enumerate(file_lines(path)):
        try:
            content = json.loads(line)["raw_content"]
            paragraphs = content.split("\n")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number + 1} is not a document of cc_net: {error}.",
                "Its lines are JSON objects with a text `raw_content`; correct `format` in the "
                "registry row if this file is something else.",
            ) from None
        for paragraph in filter(None, paragraphs):
            yield str(number), (paragraph,)
