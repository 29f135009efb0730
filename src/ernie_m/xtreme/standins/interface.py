"""Home Assistant's keys: what the place of a text in its translation files says of the text.

Some tasks take their labels from it. A data set of another source has ids that say nothing, and
gives what can be made of sentences and their groups alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ernie_m.xtreme.standins.sources import SPLITS, Row, Sources

_FLOWS = ("config", "config_subentries", "options")


def purpose(key: Sequence[str]) -> str | None:
    """``action``, ``field``, ``form`` or ``message``: what the text under ``key`` is for; None for
    names, states and all that is no sentence, and for keys of other sources."""
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
    """Data sets with such keys; in them a group is an integration."""
    rows = (row for split in SPLITS for row in sources.english(split))
    return frozenset(row.dataset for row in rows if purpose(row.key))


@dataclass(frozen=True, order=True)
class Field:
    """Row ids of a name and a description: of a field of a form, an action, a repair notice."""

    name: str
    description: str

    def __str__(self) -> str:
        return self.name


def _field_parts(
    key: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """Of a description's key: key of the form, and where the name may be."""
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
