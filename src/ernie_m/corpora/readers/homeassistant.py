"""Home Assistant's wheel: ``homeassistant/components/<integration>/translations/<language>.json``.

The files are nested objects with the same keys in every language, so texts under the same key path
are translations of one another.
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

_MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([^/]+)\.json")

# Languages whose file is not named by our code.
_UPSTREAM = {"no": "nb", "zh": "zh-Hans", "zh_hant": "zh-Hant"}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, str):
        yield ".".join(path), value


def _load(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(read_member(archive, name))
    except ValueError as error:
        raise UserError(
            f"{archive.filename}: member {name} is not JSON ({error}).",
            "Fetch the file that the registry names.",
        ) from None


def read(path: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """(integration, key path, text) of every string in ``language``."""
    upstream = _UPSTREAM.get(language, language)
    with opened(path) as archive:
        for name in archive.namelist():
            found = _MEMBER.fullmatch(name)
            if found and found[2] == upstream:
                for key, text in _leaves(_load(archive, name), ()):
                    yield found[1], key, text
