"""MMLM, TLM, CAMLM and BTMLM: each a layout, an attention table, and the positions to predict.

See docs/method.md; the four share one encoder and one loss. ``keys`` (uint64 ``[n]``,
:mod:`ernie_m.objectives.draws`) are what is random about the ``n`` examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ernie_m.model.attention import Stream, Table
from ernie_m.model.packing import IGNORE_INDEX, Documents
from ernie_m.objectives.draws import Purpose, bits, uniform
from ernie_m.objectives.layout import Layout, pair, single
from ernie_m.objectives.lengths import slots
from ernie_m.objectives.masking import corrupt, replacement_counts, select
from ernie_m.ragged import Ragged

Array = np.ndarray


@dataclass(frozen=True)
class Masking:
    """Masking settings. ``ratio`` is the share of tokens to predict, by objective; ``random_share``
    and ``keep_share`` are shares of the replaced tokens, of which CAMLM has none."""

    mask_id: int
    ratio: dict[str, float]
    random_share: float
    keep_share: float
    pair_positions: str


def _streams(target: Array, slot: Array) -> Array:
    """Stream of each token, given its side and whether it is a slot."""
    return np.int64(Stream.SOURCE_SLOT) * slot + np.int64(Stream.TARGET) * target


def predicted(objective: str, sizes: Array, masking: Masking, keys: Array) -> Array:
    """Tokens to predict in source and target of examples of ``sizes``, int64 ``[n, 2]`` both.

    It follows from lengths and ``keys``, so that a process knows it of examples that it does not
    make; the order of a pair does not matter.
    """
    ratio = masking.ratio[objective]
    if objective == "camlm":
        return slots(sizes, ratio)
    counts = replacement_counts(sizes, ratio, uniform(keys, Purpose.COUNT)[:, None])
    if objective == "btmlm":
        counts[:, 1] = 0
    return counts


def _select(objective: str, layout: Layout, masking: Masking, keys: Array) -> Array:
    """The tokens to predict, bool ``[N]``."""
    where = np.flatnonzero(~layout.special)
    sizes = np.bincount(layout.sentence[where], minlength=2 * len(keys))
    wanted = predicted(objective, sizes.reshape(-1, 2), masking, keys).ravel()
    random = bits(keys[layout.document[where]], Purpose.CHOOSE, layout.place[where])
    chosen = np.zeros(len(layout.ids), dtype=bool)
    chosen[where[select(random, sizes, wanted)]] = True
    return chosen


def _mask_tokens(
    objective: str, layout: Layout, table: Table, group: Array, masking: Masking, keys: Array
) -> Documents:
    """Select tokens and mask them in place."""
    chosen = _select(objective, layout, masking, keys)
    where = np.flatnonzero(chosen)
    draws = keys[layout.document[where]], layout.place[where]
    shares = masking.random_share, masking.keep_share
    return Documents(
        ids=corrupt(layout.ids, where, masking.mask_id, *shares, *draws),
        labels=np.where(chosen, layout.ids, IGNORE_INDEX),
        streams=_streams(layout.target, chosen),
        positions=layout.positions,
        languages=layout.languages,
        lengths=layout.lengths,
        table=np.full(len(layout.lengths), table, dtype=np.int64),
        group=group,
    )


def _with_slots(
    layout: Layout, present: Array, restored: Array, group: Array, mask_id: int
) -> Documents:
    """Documents of the tokens ``present`` (bool ``[N]``), each followed by slots for its tokens
    ``restored`` (bool ``[N]``). A slot has the position and language of the token it predicts."""
    tokens, slots_for = np.flatnonzero(present), np.flatnonzero(restored)
    index = np.concatenate([tokens, slots_for])
    order = np.argsort(layout.document[index], kind="stable")
    index, slot = index[order], order >= len(tokens)
    return Documents(
        ids=np.where(slot, mask_id, layout.ids[index]),
        labels=np.where(slot, layout.ids[index], IGNORE_INDEX),
        streams=_streams(layout.target[index], slot),
        positions=layout.positions[index],
        languages=layout.languages[index],
        lengths=np.bincount(layout.document[index], minlength=len(layout.lengths)),
        table=np.full(len(layout.lengths), Table.CROSS, dtype=np.int64),
        group=group,
    )


def mmlm(source: Ragged, language: Array, group: Array, masking: Masking, keys: Array) -> Documents:
    """Masked language modelling of one sentence with full self-attention."""
    layout = single(source, language)
    return _mask_tokens("mmlm", layout, Table.ONE_SENTENCE, group, masking, keys)


def tlm(
    source: Ragged,
    target: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    keys: Array,
) -> Documents:
    """Translation language modelling: masks on both sides, full self-attention over both."""
    layout = pair(source, target, *languages, masking.pair_positions)
    return _mask_tokens("tlm", layout, Table.EVERYTHING, group, masking, keys)


def camlm(
    source: Ragged,
    target: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    keys: Array,
) -> Documents:
    """Cross-attention masked language modelling, as in Figure 1(c) of the paper.

    Both sentences are unmasked. Each selected token of either gets an extra slot, which attends to
    the whole other sentence and to the slots of its own one, so that it can be predicted from the
    translation only.
    """
    layout = pair(source, target, *languages, masking.pair_positions)
    chosen = _select("camlm", layout, masking, keys)
    return _with_slots(layout, np.ones_like(chosen), chosen, group, masking.mask_id)


def btmlm(
    source: Ragged,
    pseudo: Ragged,
    languages: tuple[Array, Array],
    group: Array,
    masking: Masking,
    keys: Array,
) -> Documents:
    """The training step of BTMLM: predict the masked tokens of the real sentence from the rest of
    it and from the pseudo tokens, which are neither masked nor predicted."""
    layout = pair(source, pseudo, *languages, masking.pair_positions)
    return _mask_tokens("btmlm", layout, Table.EVERYTHING, group, masking, keys)


def placeholders(
    source: Ragged, counts: Array, languages: tuple[Array, Array], mask_id: int, positions: str
) -> Documents:
    """The generation step of BTMLM: the whole sentence, then ``counts[i]`` placeholders.

    They are CAMLM's slots for every token of an unknown target, whose tokens are absent: each has a
    position, the target language, and the label ``mask_id``.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)])
    unknown = Ragged(np.full(offsets[-1], mask_id, dtype=np.int64), offsets)
    layout = pair(source, unknown, *languages, positions)
    asked = layout.target & ~layout.special
    return _with_slots(layout, ~layout.target, asked, np.zeros(len(source), np.int64), mask_id)
