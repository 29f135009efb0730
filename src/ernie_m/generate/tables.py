"""The configuration's reference as Markdown tables, one for each group of keys."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from ernie_m.config.base import Section, is_table, section_of

KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "keys with values",
    "null": "empty",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


Path = tuple[str, ...]


def tables(model: type[Section], values: dict[str, Any]) -> str:
    """Tables of all keys of ``model`` with ``values`` as defaults, in the order of the YAML."""
    return "\n\n".join(_group(model, values, (), {})) + "\n"


def _group(
    section: type[Section],
    values: dict[str, Any],
    path: Path,
    seen: dict[type[Section], tuple[Path, dict[str, Any]]],
    within_known: bool = False,
) -> Iterator[str]:
    """The table of a section's plain keys, then those of the sections in it.

    A section that occurs again (both stages of pre-training have the same keys) shows what differs.
    """
    first, known = seen.setdefault(section, (path, values))
    again = first != path
    rows = list(_rows(section, values, known if again else None))
    if not again:
        yield _heading(path, inspect.cleandoc(section.__doc__ or ""))
    elif rows:
        yield _heading(path, f"The keys of `{_dotted(first)}`. Other defaults:")
    elif not within_known:
        yield _heading(path, f"The keys of `{_dotted(first)}`.")
    if rows:
        yield "\n".join(["| Key | Default | Kind | Meaning |", "| --- | --- | --- | --- |", *rows])
    for name, field in section.model_fields.items():
        below = section_of(field)
        if below and not is_table(field):
            yield from _group(below, values[name], (*path, name), seen, again)


def _rows(
    section: type[Section], values: dict[str, Any], known: dict[str, Any] | None
) -> Iterator[str]:
    properties = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        group = section_of(field) and not is_table(field)
        if group or (known is not None and known[name] == values[name]):
            continue
        default = _code(json.dumps(values[name], ensure_ascii=False))
        # Markdown leaves code spans unchanged.
        parts = re.split(r"(`[^`]*`)", field.description or "")
        meaning = "".join(part if part[:1] == "`" else part.replace("<", "&lt;") for part in parts)
        cells = (_code(name), default, _kind(properties[name]), meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _heading(path: Path, text: str) -> str:
    return f"### `{_dotted(path)}`\n\n{text}" if path else text


def _dotted(path: Path) -> str:
    return ".".join(path)


def _code(text: str) -> str:
    return f"`{text}`"


def _kind(schema: dict[str, Any]) -> str:
    """A field's JSON Schema in words: ``whole number ≥ 1``, ``list of text``."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    if "const" in schema:
        return _code(schema["const"])
    if "prefixItems" in schema:
        return f"({', '.join(map(_kind, schema['prefixItems']))})"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    limits = [f"{sign} {schema[name]}" for name, sign in LIMITS.items() if name in schema]
    return f"{KINDS.get(schema.get('type', ''), 'any')} {' and '.join(limits)}".strip()
