"""Registries: YAML files that list rows of one kind, each with an id."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from pydantic import Field, ValidationError, model_validator

from ernie_m.bounded import parse_yaml, read_text
from ernie_m.config.base import Section, without_secrets
from ernie_m.outside import one_line, shown


class Row(Section):
    """One row, identified by its id."""

    id: str = Field(description="Name of the row, unique in its registry.")

    @model_validator(mode="after")
    def _fit_to_be_shown(self) -> Self:
        """Rows are shown in the terminal, reports and model cards, and name files."""
        values = self.model_dump()
        note = values.pop("note", "")
        facts = without_secrets(" ".join(_texts(values)))
        for text, kept in ((without_secrets(note), shown(note)), (facts, one_line(facts))):
            if text != kept:
                raise ValueError(f"a control character or line end stands in it: {kept}")
        return self


def _texts(value: Any) -> Iterator[str]:
    """All text in plain data, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


R = TypeVar("R", bound=Row)


def load_rows(path: Path, kind: type[R]) -> dict[str, R]:
    """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"the registry {path} cannot be read ({reason})") from None
    return cast(dict[str, R], _parsed(text, path, kind))


@lru_cache
def _parsed(text: str, path: Path, kind: type[Row]) -> dict[str, Row]:
    """Rows of a registry's text; cached, because every job of a plan asks for its own."""
    rows: dict[str, Row] = {}
    try:
        entries = parse_yaml(text) or []
    except ValueError as error:
        raise ValueError(f"the registry {path} is not YAML: {error}") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a list of rows, each with an id")
    for number, entry in enumerate(entries, start=1):
        try:
            row = kind.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            place = f"row {number}, {key}" if key else f"row {number}"
            name = entry.get("id") if isinstance(entry, dict) else None
            place += (
                f" of `{name}`" if key and isinstance(name, str) and name.isidentifier() else ""
            )
            reason = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{path}, {place}: {reason}") from None
        if row.id in rows:
            raise ValueError(f"{path}, row {number}: the id `{row.id}` is used twice")
        rows[row.id] = row
    return rows
