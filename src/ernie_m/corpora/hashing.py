"""Deterministic hashes that assign rows to splits and samples, independent of their order."""

from __future__ import annotations

import hashlib


def hash64(*parts: object) -> int:
    """BLAKE2b of the parts, joined by NUL, as an unsigned 64-bit number."""
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def unit_interval(*parts: object) -> float:
    """The same hash as a number in (0, 1)."""
    return (hash64(*parts) + 0.5) / 2**64


def held_for_validation(group: str, share: float, seed: int) -> bool:
    """Whether a group (a document, or another unit that is not split) is held out for
    validation."""
    return unit_interval(seed, "valid", group) < share
