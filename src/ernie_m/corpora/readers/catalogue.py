"""Gettext catalogues, source (``.po``) and compiled (``.mo``): English messages and translations.

A catalogue holds one application's messages and is read whole by `polib`. Fuzzy, obsolete and
untranslated entries are left out; so are plural forms, whose number differs between languages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polib

from ernie_m.errors import UserError

MAX_BYTES = 64 << 20
_COMPILED = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")
_SOURCE = "en"


def read(path: Path, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text a language) of every translated message; `en` is the message itself."""
    for entry in _entries(path):
        if entry.msgid and entry.msgstr:
            yield "", tuple(entry.msgid if code == _SOURCE else entry.msgstr for code in languages)


def _entries(path: Path) -> list[Any]:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(
            f"{path} is larger than {MAX_BYTES:,} bytes, which no catalogue is.",
            "Correct `format` in the registry row.",
        )
    with path.open("rb") as handle:
        compiled = handle.read(4) in _COMPILED
    try:
        if compiled:
            return list(polib.mofile(str(path)))
        return [one for one in polib.pofile(str(path)) if not (one.obsolete or one.fuzzy)]
    except (OSError, UnicodeError, ValueError, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(
            f"{path} is not a gettext catalogue: {error}.", "Fetch the file of the registry again."
        ) from None
