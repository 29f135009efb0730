"""Pairs of texts, without those that look misaligned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from ernie_m.config.corpora import SplitSettings
from ernie_m.corpora.drops import Drops
from ernie_m.corpora.meanings import Keys, Meaning, Texts
from ernie_m.corpora.text import numbers_agree

# Characters added to both lengths before their ratio is taken: short texts vary more.
LENGTH_SLACK = 10


def pair_columns(
    found: Sequence[Meaning], pair: str, texts: Texts, keys: Keys, settings: SplitSettings
) -> tuple[dict[str, list[str]], Drops]:
    """Columns id, source and target, sorted by id, and what was dropped."""
    one, other = pair.split("-")
    firsts = (meaning.first(texts, [one, other]) for meaning in found)
    names = sorted(name for name in firsts if name is not None)
    sides = [(texts[one][name], texts[other][name]) for name in names]
    fault = _judge(sides, keys, settings)
    columns: dict[str, list[str]] = {"id": [], "source": [], "target": []}
    drops = Drops()
    for name, (source, target) in zip(names, sides, strict=True):
        reason = fault(source, target)
        if reason:
            drops.add(reason, id=name, source=source, target=target)
            continue
        for column, value in zip(columns.values(), (name, source, target), strict=True):
            column.append(value)
    return columns, drops


def _judge(
    sides: Sequence[tuple[str, str]], keys: Keys, settings: SplitSettings
) -> Callable[[str, str], str | None]:
    """Why a pair is dropped, or None. Lengths are measured against the median of all ``sides``,
    because Chinese says in one character what English says in three."""

    def ratio(source: str, target: str) -> float:
        return (len(source) + LENGTH_SLACK) / (len(target) + LENGTH_SLACK)

    usual = median(ratio(*both) for both in sides) if sides else 1.0
    seen: set[tuple[str, str]] = set()

    def fault(source: str, target: str) -> str | None:
        uneven = ratio(source, target) / usual
        if max(uneven, 1 / uneven) > settings.max_length_ratio:
            return "uneven lengths"
        if settings.same_digits and not numbers_agree(source, target):
            return "other numbers"
        key = keys(source), keys(target)
        if settings.exact_duplicates and key in seen:
            return "repeated"
        seen.add(key)
        return None

    return fault
