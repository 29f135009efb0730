"""Files of pseudo tokens, one per chunk of the back-translation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ernie_m.errors import UserError
from ernie_m.mapped import map_arrays
from ernie_m.ragged import Ragged

Array = np.ndarray


@dataclass(frozen=True)
class Pseudo:
    """Pseudo tokens of ``n`` sentences, in the order of their keys.

    ``keys`` uint64 ``[n]`` names the sentences; ``language`` int64 ``[n]`` is the row of the
    language that was asked for; ``ratio`` is the number of placeholders by tokens.
    """

    keys: Array
    language: Array
    tokens: Ragged
    ratio: float


def write_pseudo(path: Path, pseudo: Pseudo) -> None:
    """Write a chunk; the same content gives the same bytes."""
    arrays = {
        "keys": pseudo.keys,
        "language": pseudo.language,
        "tokens": pseudo.tokens.tokens,
        "offsets": pseudo.tokens.offsets,
    }
    save_file(arrays, path, {"placeholder_ratio": repr(pseudo.ratio)})


def read_pseudo(path: Path) -> Pseudo:
    """A chunk whose arrays are read-only memory maps; raises :class:`UserError` when it is
    damaged."""
    try:
        facts, arrays = map_arrays(path)
        tokens = Ragged(arrays["tokens"], arrays["offsets"])
        ratio = float(facts["placeholder_ratio"])
        return Pseudo(arrays["keys"], arrays["language"], tokens, ratio)
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{path} is not a whole file of pseudo tokens: {error}.",
            "Delete it and run pretrain_backtranslate again.",
        ) from None
