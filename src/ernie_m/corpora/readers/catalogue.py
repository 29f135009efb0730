"""Gettext catalogues, source (``.po``) and compiled (``.mo``): English messages and translations.

A catalogue holds one application's messages and is read whole by `polib`. Fuzzy, obsolete and
untranslated entries are left out, and so are plural forms, whose number differs between languages.
In a zip archive, such as a Python wheel, every ``.../<language>/LC_MESSAGES/*.mo`` is read, where
applications install their catalogues.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polib

from ernie_m.corpora.readers.archive import opened, read_member
from ernie_m.errors import UserError

MAX_BYTES = 64 << 20
_COMPILED = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")
_SOURCE = "en"
# Languages that applications name by another code than ours.
_LOCALES = {"no": "nb|no", "zh": "zh|zh_Hans|zh_CN", "zh_hant": "zh_Hant|zh_TW"}


def read(path: Path, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every translated message; `en` is the message itself."""
    for name, source in _catalogues(path, languages):
        for entry in _entries(name, source):
            if entry.msgid and entry.msgstr:
                texts = (entry.msgid if code == _SOURCE else entry.msgstr for code in languages)
                yield "", tuple(texts)


def _catalogues(path: Path, languages: Sequence[str]) -> Iterator[tuple[str, Path | bytes]]:
    """Name and path, or content, of every catalogue of the languages."""
    if not zipfile.is_zipfile(path):
        yield str(path), path
        return
    locales = "|".join(_LOCALES.get(code, code) for code in languages if code != _SOURCE)
    wanted = re.compile(rf"(?:.*/)?(?:{locales})/LC_MESSAGES/[^/]+\.mo")
    with opened(path) as archive:
        for name in filter(wanted.fullmatch, archive.namelist()):
            yield f"{path}, member {name}", read_member(archive, name)


def _entries(name: str, source: Path | bytes) -> list[Any]:
    if isinstance(source, Path):
        if source.stat().st_size > MAX_BYTES:
            raise UserError(
                f"{name} is larger than {MAX_BYTES:,} bytes, which no catalogue is.",
                "Correct `format` in the registry row.",
            )
        with source.open("rb") as handle:
            compiled = handle.read(4) in _COMPILED
    else:
        compiled = True
    try:
        if compiled:
            return list(polib.mofile(source if isinstance(source, bytes) else str(source)))
        return [one for one in polib.pofile(str(source)) if not (one.obsolete or one.fuzzy)]
    except (OSError, LookupError, ValueError, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(
            f"{name} is not a gettext catalogue: {error}.", "Fetch the file of the registry again."
        ) from None
