"""Labels from Home Assistant's keys, that is from a text's path in its translation files.

Some tasks take their labels from the keys. Ids of other datasets carry no such information; only
tasks made from sentences and their groups are possible there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ernie_m.xtreme.standins.sources import SPLITS, Row, Sources

_FLOWS = ("config", "config_subentries", "options")


def purpose(key: Sequence[str]) -> str | None:
    """Purpose of the text under ``key``: ``action``, ``field``, ``form`` or ``message``; None for
    names, states and other texts that are not sentences, and for keys of other sources."""
    if len(key) < 3:
        return None
    if key[0] == "exceptions":
        return "message"
    if key[0] == "services" and key[-1] == "description":
        return "field" if "fields" in key else "action"
    if key[0] not in _FLOWS:
        return None
    if key[-2] in ("error", "abort"):
        return "message"
    if key[-2] == "data_description":
        return "field"
    return "form" if key[-1] == "description" and key[-3] == "step" else None


def interface_datasets(sources: Sources) -> frozenset[str]:
    """Datasets with such keys; their groups are integrations."""
    rows = (row for split in SPLITS for row in sources.english(split))
    return frozenset(row.dataset for row in rows if purpose(row.key))


@dataclass(frozen=True, order=True)
class Field:
    """Row ids of the name and the description of a form's field, an action, or a repair notice."""

    name: str
    description: str

    def __str__(self) -> str:
        return self.name


def _field_parts(
    key: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """From a description's key: the key of its form, and possible keys of its name."""
    if len(key) > 2 and key[-2] == "data_description":
        return key[:-2], ((*key[:-2], "data", key[-1]),)
    if len(key) > 2 and key[-1] == "description":
        return key[:-2], tuple((*key[:-1], word) for word in ("name", "title"))
    return None


def forms(rows: Iterable[Row]) -> list[list[Field]]:
    """The fields of each form, sorted: ``data.x`` with ``data_description.x``, and ``name`` or
    ``title`` beside ``description``."""
    by_key = {(row.group, row.key): row for row in rows}
    fields: dict[tuple[str, str], list[Field]] = defaultdict(list)
    for (group, key), row in by_key.items():
        parts = _field_parts(key)
        if parts is None:
            continue
        form, names = parts
        name = next((by_key[group, n] for n in names if (group, n) in by_key), None)
        if name and name.text != row.text:
            fields[group, ".".join(form)].append(Field(name.id, row.id))
    return [sorted(fields[form]) for form in sorted(fields)]
