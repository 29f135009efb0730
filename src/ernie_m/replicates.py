"""Names of what another replicate of a variant makes: `exp3-r2` is `exp3` trained with seed 2.

What the run's own seed makes has the variant's plain name, so that nothing moves when replicates
are added.
"""

from __future__ import annotations

MARK = "-r"  # no variant's name has a dash


def named(variant: str, replicate: int, seed: int) -> str:
    """The name of a variant trained with seed ``replicate`` in a run whose seed is ``seed``."""
    return variant if replicate == seed else f"{variant}{MARK}{replicate}"


def variant_of(name: str) -> str:
    """The variant that a name is of, whatever its replicate."""
    return name.partition(MARK)[0]


def parted(name: str, seed: int) -> tuple[str, int]:
    """The variant and the replicate's seed behind a name; the opposite of :func:`named`."""
    variant, mark, replicate = name.partition(MARK)
    return variant, int(replicate) if mark else seed


def nested(seed: int, replicate: int) -> int:
    """A seed of fine-tuning within a replicate, from its number: none is that of another."""
    return replicate << 32 | seed
