"""JSON that others wrote."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of ``text``, in which a byte order mark and control characters do no harm.

    Raises :class:`json.JSONDecodeError` for all else that is wrong with it, also where it is nested
    too deeply, has a number of thousands of digits, or is not UTF-8.
    """
    if isinstance(text, str):
        text = text.removeprefix("\ufeff")  # of bytes, `json` takes it off
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
