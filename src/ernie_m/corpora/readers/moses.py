"""Aligned plain files in an archive: OPUS's ``moses`` zip (``Corpus.en-xx.en`` and ``.xx``) and IIT
Bombay's ``parallel.tgz`` (``parallel/IITB.en-hi.en`` and ``.hi``).

Each language has one member, whose name ends in its code; line n is the same sentence in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from ernie_m.corpora.readers.archive import member_stream
from ernie_m.corpora.readers.streams import lines
from ernie_m.errors import UserError


def read(path: Path, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every line; raises :class:`UserError` for files with different
    numbers of lines, which are misaligned somewhere."""
    with ExitStack() as stack:
        sides = [
            lines(stack.enter_context(member_stream(path, f".{code}")), f"{path}, .{code}")
            for code in languages
        ]
        for number, texts in enumerate(zip_longest(*sides), start=1):
            if None in texts:
                short = languages[texts.index(None)]
                raise UserError(
                    f"{path}: `{short}` ends before line {number}, the other language does not.",
                    "The files are not aligned; fetch the archive again.",
                )
            yield "", texts
