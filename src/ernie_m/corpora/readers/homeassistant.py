"""Home Assistant's wheel: ``homeassistant/components/<integration>/translations/<language>.json``.

The files are nested objects with the same keys in every language, so texts under the same key path
are translations of one another. Of several files of a language (``zh-Hans``, ``zh``) the one is
read whose tag suits best.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ernie_m.catalogue.tags import best_tag
from ernie_m.corpora.readers.archive import opened, read_member
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.errors import UserError
from ernie_m.json_text import parse_json

_MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([^/]+)\.json")


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, str):
        yield ".".join(path), value


def _strings(archive: zipfile.ZipFile, name: str) -> list[tuple[str, str]]:
    try:
        return list(_leaves(parse_json(read_member(archive, name)), ()))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{archive.filename}: member {name} is not JSON ({error}).",
            "Fetch the file that the registry names.",
        ) from None


def read(path: Path, language: str, left: Leftovers) -> Iterator[tuple[str, str, str]]:
    """(integration, key path, text) of every string in ``language``."""
    with opened(path) as archive:
        found = [match for name in archive.namelist() if (match := _MEMBER.fullmatch(name))]
        variants: dict[str, list[str]] = {}
        for match in found:
            variants.setdefault(match[1], []).append(match[2])
        left.see(match[2] for match in found)
        for match in found:
            if match[2] == best_tag(variants[match[1]], language):
                for key, text in _strings(archive, match[0]):
                    yield match[1], key, text
