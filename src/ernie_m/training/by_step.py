"""Settings that change by step."""

from __future__ import annotations

from ernie_m.config.pretrain import ByStep


def phases(value: ByStep[float]) -> tuple[tuple[int, float], ...]:
    """The steps at which a value begins, from 0 on, with what it is from there."""
    return value if isinstance(value, tuple) else ((0, value),)


def value_at(value: ByStep[float], step: int) -> float:
    """A setting in step ``step`` (0-based): a function of it alone, so no state has to know it."""
    return next(own for first, own in reversed(phases(value)) if first <= step)
