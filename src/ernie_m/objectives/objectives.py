"""MMLM, TLM, CAMLM and BTMLM: each a layout, a table, and the positions that are scored.

See docs/method.md; the four share one encoder and one loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ernie_m.model.attention import Stream, Table
from ernie_m.model.packing import NOT_SCORED, Documents
from ernie_m.objectives.layout import Layout, pair, single
from ernie_m.objectives.masking import corrupt, select
from ernie_m.ragged import Ragged

Array = np.ndarray
OBJECTIVES = ("mmlm", "tlm", "camlm", "btmlm")


@dataclass(frozen=True)
class Masking:
    """How much is predicted and how it is hidden.

    ``camlm_words`` keeps the random and kept words of ``random_share`` and ``keep_share`` in
    CAMLM too; a selected token then reads no other selected token of its sentence, or it would
    see words of its own side. ``camlm_sides`` masks ``both`` sentences of a pair or only ``one``,
    the second, which order of the two being drawn by coin.
    """

    mask_id: int
    ratio: dict[str, float]
    random_share: float
    keep_share: float
    camlm_words: bool
    camlm_sides: str
    camlm_visible_rows: str
    pair_positions: str


def _streams(target: Array, masked: Array) -> Array:
    """Stream of each token, from which side it is on and whether it was selected."""
    return np.int64(Stream.MASKED_SOURCE) * masked + np.int64(Stream.TARGET) * target


def _documents(layout: Layout, ids: Array, chosen: Array, table: Table, group: Array) -> Documents:
    return Documents(
        ids=ids,
        labels=np.where(chosen, layout.ids, NOT_SCORED),
        streams=_streams(layout.target, chosen),
        positions=layout.positions,
        languages=layout.languages,
        lengths=layout.lengths,
        table=np.full(len(layout.lengths), table, dtype=np.int64),
        group=group,
    )


def _masked(
    objective: str,
    layout: Layout,
    candidate: Array,
    table: Table,
    group: Array,
    masking: Masking,
    rng: np.random.Generator,
    words: bool = True,
) -> Documents:
    """Select among ``candidate`` (bool ``[N]``) and hide what was selected; ``words`` allows
    random and kept words in its place."""
    chosen = select(layout.sentence, candidate, masking.ratio[objective], rng)
    random_share, keep_share = (masking.random_share, masking.keep_share) if words else (0.0, 0.0)
    ids = corrupt(layout.ids, chosen, masking.mask_id, random_share, keep_share, rng)
    return _documents(layout, ids, chosen, table, group)


def mmlm(
    source: Ragged, language: Array, group: Array, masking: Masking, rng: np.random.Generator
) -> Documents:
    """Masked language modelling of one sentence; the masked tokens read all of it."""
    layout = single(source, language)
    return _masked("mmlm", layout, ~layout.special, Table.ONE_SENTENCE, group, masking, rng)


def tlm(
    source: Ragged,
    target: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    rng: np.random.Generator,
) -> Documents:
    """Translation language modelling: masks on both sides, everything reads everything."""
    layout = pair(source, target, *languages, masking.pair_positions)
    return _masked("tlm", layout, ~layout.special, Table.EVERYTHING, group, masking, rng)


def camlm(
    source: Ragged,
    target: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    rng: np.random.Generator,
) -> Documents:
    """Cross-attention masked language modelling.

    A masked token reads the other sentence's visible tokens and the masked slots of its own, so
    it can only be restored from the translation.
    """
    layout = pair(source, target, *languages, masking.pair_positions)
    candidate = ~layout.special
    if masking.camlm_sides == "one":
        candidate &= layout.target
    table = Table.CROSS_OWN_WORDS if masking.camlm_words else Table.CROSS
    if masking.camlm_visible_rows == "all":
        table = Table.CROSS_LEAKING
    words = masking.camlm_words
    return _masked("camlm", layout, candidate, table, group, masking, rng, words)


def btmlm(
    source: Ragged,
    pseudo: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    rng: np.random.Generator,
) -> Documents:
    """The learning step of BTMLM: restore the real sentence's masked tokens from it and from the
    pseudo tokens, which are neither masked nor scored."""
    layout = pair(source, pseudo, *languages, masking.pair_positions)
    candidate = ~layout.special & ~layout.target
    return _masked("btmlm", layout, candidate, Table.EVERYTHING, group, masking, rng)


def placeholders(
    source: Ragged, counts: Array, languages: tuple[Array, Array], mask_id: int, positions: str
) -> Documents:
    """The generating step of BTMLM: the whole sentence, then ``counts[i]`` masks.

    Placeholders carry the position and the language in which to generate; they are scored
    positions whose labels are unknown, marked by the label ``mask_id``. The separators around
    them stay visible target tokens, which read nothing and which nobody reads.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)])
    empty = Ragged(np.full(offsets[-1], mask_id, dtype=np.int64), offsets)
    layout = pair(source, empty, *languages, positions)
    asked = layout.target & ~layout.special
    group = np.zeros(len(source), dtype=np.int64)
    return _documents(layout, layout.ids, asked, Table.GENERATE, group)
