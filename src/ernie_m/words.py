"""Numbers and names in words for people.

No module that trains or makes text imports this one: it changes often, and a stage is rerun when a
module that it imports changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def _scaled(number: float) -> tuple[float, str]:
    """A number below 1000, and its unit prefix."""
    for prefix in PREFIXES[:-1]:
        if abs(number) < 1000:
            return number, prefix
        number /= 1000
    return number, PREFIXES[-1]


def amount(number: float) -> str:
    """Three digits and a prefix: ``2.57 T`` for 2.57e12, ``144`` for 144."""
    scaled, prefix = _scaled(number)
    whole = not prefix and scaled == int(scaled)
    return f"{scaled:.0f}" if whole else f"{scaled:.3g} {prefix}".strip()


def size(count: float) -> str:
    """Bytes: ``67.6 MB``, ``12 B``."""
    scaled, prefix = _scaled(count)
    return f"{scaled:.1f} {prefix}B" if prefix else f"{scaled:.0f} B"


def duration(seconds: float) -> str:
    """``0.2 s``, ``48 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float) -> str:
    """A number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float) -> str:
    """A share of 1 with one digit after the point: ``41.3`` for 0.413."""
    return f"{100 * share:.1f}"


def plural(count: int, name: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{count} {name}" + ("" if count == 1 else "s")


def few(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    own = list(names)
    return ", ".join(own[:most]) + (f" and {len(own) - most} more" if len(own) > most else "")


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters, the last an ellipsis where some are left out."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def flatten(value: Mapping[str, Any], joint: str = ".") -> Iterator[tuple[str, Any]]:
    """The values in nested groups, by joined keys: ``a.b``. Lists and empty groups are values."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from ((f"{key}{joint}{path}", leaf) for path, leaf in flatten(inner, joint))
        else:
            yield str(key), inner
