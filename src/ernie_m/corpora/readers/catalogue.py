"""Gettext catalogues, source (``.po``) and compiled (``.mo``): English messages and translations.

A catalogue holds one application's messages and is read whole by `polib`. Fuzzy, obsolete and
untranslated entries are left out, and so are plural forms, whose number differs between languages.
In a zip archive, such as a Python wheel, every ``.../<language>/LC_MESSAGES/*.mo`` is read, where
applications install their catalogues; of one in several variants of the language (``pt``,
``pt_BR``) that with the tag that suits best.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polib

from ernie_m.catalogue.tags import best_tag
from ernie_m.corpora.readers.archive import opened, read_member
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.errors import UserError

MAX_BYTES = 64 << 20
_COMPILED = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")
_SOURCE = "en"
_MEMBER = re.compile(r"((?:.*/)?)([^/]+)/LC_MESSAGES/([^/]+\.mo)")


def read(
    path: Path, languages: Sequence[str], left: Leftovers
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every translated message; `en` is the message itself."""
    for name, source in _catalogues(path, languages, left):
        for entry in _entries(name, source):
            left.lines += 1
            if reason := _unfit(entry):
                left.skip(reason)
            elif entry.msgid:  # the first is about the file
                texts = (entry.msgid if code == _SOURCE else entry.msgstr for code in languages)
                yield "", tuple(texts)


def _unfit(entry: Any) -> str:
    """Why an entry has no translation to be used, empty if it has."""
    if entry.obsolete or getattr(entry, "fuzzy", False):  # which a compiled one has not
        return "obsolete or fuzzy"
    if entry.msgid_plural:
        return "with plural forms"
    return "" if entry.msgstr else "not translated"


def _catalogues(
    path: Path, languages: Sequence[str], left: Leftovers
) -> Iterator[tuple[str, Path | bytes]]:
    """Name and path, or content, of every catalogue of the languages."""
    if not zipfile.is_zipfile(path):
        yield str(path), path
        return
    (code,) = (code for code in languages if code != _SOURCE)
    with opened(path) as archive:
        found = [match for name in archive.namelist() if (match := _MEMBER.fullmatch(name))]
        variants: dict[tuple[str, str], list[str]] = {}
        for match in found:
            variants.setdefault((match[1], match[3]), []).append(match[2])
        left.see(match[2] for match in found)
        for match in found:
            if match[2] == best_tag(variants[match[1], match[3]], code):
                yield f"{path}, member {match[0]}", read_member(archive, match[0])


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
        return list(polib.pofile(str(source)))
    except (OSError, LookupError, ValueError, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(
            f"{name} is not a gettext catalogue: {error}.", "Fetch the file of the registry again."
        ) from None
