"""Aligned plain files in an archive: OPUS's ``moses`` zip (``Corpus.en-xx.en`` and ``.xx``) and IIT
Bombay's ``parallel.tgz`` (``parallel/IITB.en-hi.en`` and ``.hi``).

Each language has one member, whose name ends in its tag; line n is the same sentence in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from ernie_m.corpora.readers.archive import member_stream
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.readers.streams import lines
from ernie_m.errors import UserError


def read(
    path: Path, languages: Sequence[str], left: Leftovers
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every line that is well formed in each; raises
    :class:`UserError` for files with different numbers of lines, which are misaligned somewhere."""
    with ExitStack() as stack:
        sides = [
            lines(stack.enter_context(member_stream(path, code)), f"{path}, .{code}")
            for code in languages
        ]
        for number, raws in enumerate(zip_longest(*sides), start=1):
            if None in raws:
                short = languages[raws.index(None)]
                raise UserError(
                    f"{path}: `{short}` ends before line {number}, the other language does not.",
                    "The files are not aligned; fetch the archive again.",
                )
            left.lines = number
            texts = []
            for raw in raws:
                if (text := left.text(number, raw)) is None:
                    break
                texts.append(text)
            else:
                yield "", tuple(texts)
