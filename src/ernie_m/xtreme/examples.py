"""The example makers and readers of all tasks, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from ernie_m.errors import UserError
from ernie_m.xtreme.files import Line
from ernie_m.xtreme.standins import (
    classification,
    mining,
    paraphrase,
    qa,
    retrieval,
    tagging,
)
from ernie_m.xtreme.standins import udpos as standin_udpos
from ernie_m.xtreme.standins import xquad as standin_xquad
from ernie_m.xtreme.standins.sources import Examples, Sources
from ernie_m.xtreme.tasks import (
    bucc2018,
    conll,
    mlqa,
    panx,
    pawsx,
    tatoeba,
    tydiqa,
    udpos,
    xnli,
    xquad,
)
from ernie_m.xtreme.tasks.upstream import Upstream

# Made from held-out rows, all files at once: ``make(sources)``, and ``NEEDS``, the rows required.
MAKERS: dict[str, ModuleType] = {
    "standin_retrieval": retrieval,
    "standin_mining": mining,
    "standin_classification": classification,
    "standin_paraphrase": paraphrase,
    "standin_tagging": tagging,
    "standin_qa": qa,
}
# Read from published files, one example file at a time: ``read(upstream, split, language)``, and
# ``WANTED``, the pattern of archive members to unpack.
READERS: dict[str, ModuleType] = {
    "xnli": xnli,
    "pawsx": pawsx,
    "udpos": udpos,
    "panx": panx,
    "xquad": xquad,
    "mlqa": mlqa,
    "tydiqa": tydiqa,
    "bucc2018": bucc2018,
    "tatoeba": tatoeba,
    "conll": conll,
    "standin_xquad": standin_xquad,
    "standin_udpos": standin_udpos,
}


def made(task: str, sources: Sources) -> Examples:
    """A task's examples by file stem; raises :class:`UserError` if the rows give none at all."""
    maker = MAKERS[task]
    examples: Examples = maker.make(sources)
    if not any(examples.values()):
        raise UserError(
            f"{task} cannot be made of these rows. It takes {maker.NEEDS}.",
            "Take it out of `xtreme.tasks`, or add a data set that has this; docs/evaluation.md "
            "tells what can be made of any n-way table.",
        )
    return examples


def published(
    task: str, files: Sequence[Path], stems: Iterable[str]
) -> Iterator[tuple[str, Iterable[Line]]]:
    """Each stem (``test-de``) with its examples, which are read lazily."""
    reader = READERS[task]
    with TemporaryDirectory() as folder:
        upstream = Upstream(files, Path(folder), re.compile(reader.WANTED))
        for stem in stems:
            split, _, language = stem.partition("-")
            yield stem, reader.read(upstream, split, language)
