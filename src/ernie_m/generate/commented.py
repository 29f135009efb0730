"""YAML with each key's description above it and an optional remark behind it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ernie_m.config.base import Section, is_table, section_of

WIDTH = 100
SCHEMA_LINE = "# yaml-language-server: $schema=schema.json"

Path = tuple[str, ...]


def commented_yaml(
    model: type[Section], values: Mapping[str, Any], header: str, remarks: Mapping[Path, str]
) -> str:
    """``values``, all keys of ``model`` or some of them, as commented YAML.

    ``remarks`` go behind the values, by path: why an overlay has this value and no other.
    """
    body = _group(model, values, (), remarks)
    return "\n".join([SCHEMA_LINE, *_comment(header, ""), *body]) + "\n"


def remarks_in(text: str) -> tuple[str, dict[Path, str]]:
    """The header of a YAML text, joined to paragraphs, and the remarks behind its values."""
    lines = [line for line in text.splitlines() if line != SCHEMA_LINE]
    length = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    words = (line.removeprefix("#").strip() for line in lines[:length])
    header = re.sub(r"(?<!\n)\n(?!\n)", " ", "\n".join(words))
    remarks: dict[Path, str] = {}
    path: list[tuple[int, str]] = []
    for line in lines[length:]:
        if key := re.match(r"( *)([\w-]+):(?= |$)", line):
            indent = len(key[1])
            path = [*(step for step in path if step[0] < indent), (indent, key[2])]
            if remark := re.search(r"\s# ?(.*)$", line):
                remarks[tuple(name for _, name in path)] = remark[1].strip()
    return header, remarks


def _comment(text: str, indent: str) -> list[str]:
    width = WIDTH - len(indent) - 2
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, width) or [""]]
    return [f"{indent}# {line}".rstrip() for line in lines]


def _group(
    section: type[Section], values: Mapping[str, Any], path: Path, remarks: Mapping[Path, str]
) -> Iterator[str]:
    given = [name for name in section.model_fields if name in values]
    for name in given:
        field = section.model_fields[name]
        if name != given[0] or not path:
            yield ""
        yield from _comment(field.description or "", "  " * len(path))
        yield from _entry(section_of(field), is_table(field), values, (*path, name), remarks)


def _entry(
    section: type[Section] | None,
    table: bool,
    values: Mapping[str, Any],
    path: Path,
    remarks: Mapping[Path, str],
) -> Iterator[str]:
    """The line of one key, and below it the keys of its section or table."""
    value = values[path[-1]]
    start = "  " * (len(path) - 1) + f"{path[-1]}:"
    end = f"  # {remarks[path]}" if path in remarks else ""
    if section is None or not value:
        yield from _plain_value(start, value, end)
        return
    yield start + end
    if not table:
        yield from _group(section, value, path, remarks)
        return
    for key in value:
        yield from _entry(section, False, value, (*path, key), remarks)


def _plain_value(start: str, value: Any, end: str) -> Iterator[str]:
    """On one line where it fits, else as a block of lines."""
    text = _yaml(value, flow=True).removesuffix("...\n").strip()
    line = f"{start} {text}"
    if len(line) <= WIDTH or not isinstance(value, list | dict):
        yield line + end
        return
    yield start + end
    indent = " " * (len(start) - len(start.lstrip()) + 2)
    yield from textwrap.indent(_yaml(value, flow=False), indent).splitlines()


def _yaml(value: Any, flow: bool) -> str:
    return yaml.safe_dump(
        value, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=10**6
    )
