"""Random numbers of examples: each a function of the example's key and of what it is for.

Nothing is drawn in a sequence, so any process makes any example of a batch without the others, and
the same one.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

Array = np.ndarray

# SplitMix64 of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014):
# numpy's generators cannot start at a place of their own for each example of an array.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIXING = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class Purpose(IntEnum):
    """What a random number decides."""

    SWAP = 0  # the order of a pair
    COUNT = 1  # rounding of the number of tokens to replace
    CHOOSE = 2  # which tokens to predict
    REPLACE = 3  # what a token is replaced by
    PIECE = 4  # which random piece


def bits(keys: Array, purpose: Purpose, place: Array | int = 0) -> Array:
    """64 random bits each for the examples' ``keys`` (uint64 ``[N]``) and a ``place`` in them."""
    number = np.atleast_1d(place).astype(np.uint64) * np.uint64(len(Purpose))
    number += np.uint64(purpose + 1)
    number *= GOLDEN
    return mixed(keys + number)


def mixed(state: Array) -> Array:
    """Uniform bits of a state (uint64 ``[N]``, overwritten): the finaliser of SplitMix64."""
    for shift, factor in MIXING:
        state ^= state >> np.uint64(shift)
        state *= factor
    state ^= state >> np.uint64(31)
    return state


def uniform(keys: Array, purpose: Purpose, place: Array | int = 0) -> Array:
    """The same as numbers in [0, 1), float64 ``[N]``."""
    return (bits(keys, purpose, place) >> np.uint64(11)) * 2.0**-53
