"""Home Assistant's wheel: ``homeassistant/components/<integration>/translations/<language>.json``.

The files are nested objects with the same keys in every language, so a key path names one meaning.
``manifest.json`` beside them gives the product's name, which is the same in every language; it
becomes the English row ``manifest.name``.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ernie_m.corpora.readers.archive import opened, read_member
from ernie_m.errors import UserError

_MEMBER = re.compile(r"homeassistant/components/([^/]+)/(?:translations/([^/]+)|(manifest))\.json")

# Where upstream's file name is not our language code.
_UPSTREAM = {"zh": "zh-Hans"}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, str):
        yield ".".join(path), value


def _load(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        content = json.loads(read_member(archive, name))
    except ValueError as error:
        raise UserError(
            f"{archive.filename}: member {name} is not JSON ({error}).",
            "Fetch the file that the registry names.",
        ) from None
    return content if isinstance(content, dict) else {}


def read(path: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """(integration, key path, text) of every string in ``language``."""
    upstream = _UPSTREAM.get(language, language)
    with opened(path) as archive:
        for name in archive.namelist():
            found = _MEMBER.fullmatch(name)
            if not found:
                continue
            integration, code, manifest = found.groups()
            if code == upstream:
                for key, text in _leaves(_load(archive, name), ()):
                    yield integration, key, text
            elif manifest and language == "en":
                product = _load(archive, name).get("name")
                if isinstance(product, str):
                    yield integration, "manifest.name", product
