"""Seeded hashes that place rows; they depend on nothing but the name, so order never matters."""

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
    """Whether a document, or what else must not be divided, is held out for validation losses."""
    return unit_interval(seed, "valid", group) < share
