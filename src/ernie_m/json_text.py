"""JSON that others wrote."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of ``text``, in which a byte order mark and control characters do no harm.

    Raises ``ValueError`` for all else that is wrong with it, also where it is nested too deeply.
    """
    if isinstance(text, str):
        text = text.removeprefix("\ufeff")  # of bytes, `json` takes it off
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
