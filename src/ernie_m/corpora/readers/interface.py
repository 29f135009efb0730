"""Interface text in JSON within a wheel: a file a language, with the same keys in each, so that
texts under the same key path are translations of one another.

Where parts of the program have files of their own, each is read by itself; of several files of a
language (``zh-Hans``, ``zh``) the one whose tag suits best. ICU's plural and select messages, which
are branches and no sentences, are left out, as are plural forms of gettext.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ernie_m.catalogue.tags import best_tag
from ernie_m.corpora.readers.archive import opened, read_member
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.errors import UserError
from ernie_m.json_text import parse_json

_ICU = re.compile(r"\{\s*\w+\s*,\s*(plural|select|selectordinal)\s*,")


@dataclass(frozen=True)
class Layout:
    """Where files lie, with the groups ``language`` and, for files of parts, ``part``; how many of
    the first components of a key's path make the group of its text, behind the part."""

    members: re.Pattern[str]
    components: int = 0


LAYOUTS = {
    # A part is an integration.
    "homeassistant": Layout(
        re.compile(
            r"homeassistant/components/(?P<part>[^/]+)/translations/(?P<language>[^/]+)\.json"
        )
    ),
    "homeassistant_frontend": Layout(
        re.compile(
            r"hass_frontend/static/translations/"
            r"((?P<part>[^/]+)/)?(?P<language>[^/]+)-[0-9a-f]{32}\.json"
        ),
        components=4,  # ui.panel.config.zha
    ),
    "kolibri": Layout(
        re.compile(r"kolibri/locale/(?P<language>[^/]+)/LC_MESSAGES/(?P<part>.+)-messages\.json"),
        components=1,  # AddDeviceForm
    ),
}


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


def read(
    path: Path, language: str, left: Leftovers, *, layout: Layout
) -> Iterator[tuple[str, str, str]]:
    """(group, key path, text) of every string in ``language``."""
    with opened(path) as archive:
        found = [match for name in archive.namelist() if (match := layout.members.fullmatch(name))]
        tags: dict[str, list[str]] = {}
        for match in found:
            tags.setdefault(match["part"], []).append(match["language"])
        left.see(match["language"] for match in found)
        for match in found:
            if match["language"] == best_tag(tags[match["part"]], language):
                for key, text in _strings(archive, match[0]):
                    left.lines += 1
                    if _ICU.search(text):
                        left.skip("with ICU plurals or choices")
                    else:
                        yield _group(match["part"], key, layout.components), key, text


def _group(part: str | None, key: str, components: int) -> str:
    return ".".join([*filter(None, [part]), *key.split(".")[:components]])
