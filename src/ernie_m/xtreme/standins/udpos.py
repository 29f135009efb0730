"""Stand-in for UD-POS without the English training treebanks: trained on English development
sentences, of which a tenth, by hash, is held out for selecting the step. Tested on the treebanks
available.
"""

from __future__ import annotations

from collections.abc import Iterator

from ernie_m.corpora.hashing import unit_interval
from ernie_m.xtreme.files import Line, TaggedSentence
from ernie_m.xtreme.tasks import udpos
from ernie_m.xtreme.tasks.upstream import Upstream

WANTED = udpos.WANTED
DEV = 0.1


def read(upstream: Upstream, split: str, language: str) -> Iterator[Line]:
    """Sentences of one file."""
    if split == "test":
        yield from udpos.read(upstream, "test", language)
        return
    for sentence in udpos.read(upstream, "dev", language):
        assert isinstance(sentence, TaggedSentence)
        held_out = unit_interval(0, "standin_udpos", *sentence.words) < DEV
        if held_out == (split == "dev"):
            yield sentence
