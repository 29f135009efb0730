"""Registries: YAML files that list rows of one kind, each with an id."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

import yaml
from pydantic import Field, ValidationError

from ernie_m.config.base import Section

# Equivalent to `yaml.safe_load`, ten times as fast if libyaml is available.
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Row(Section):
    """One row, identified by its id."""

    id: str = Field(description="Name of the row, unique in its registry.")


R = TypeVar("R", bound=Row)


def load_rows(path: Path, kind: type[R]) -> dict[str, R]:
    """Rows by id; raises ``ValueError`` naming the file and the row at fault."""
    try:
        return cast(dict[str, R], _parsed(path.read_text(encoding="utf-8"), path, kind))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"the registry {path} cannot be read ({reason})") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the registry {path} is not YAML: {reason}") from None


@lru_cache
def _parsed(text: str, path: Path, kind: type[Row]) -> dict[str, Row]:
    """Rows of a registry's text; cached, because every job of a plan asks for its own."""
    rows: dict[str, Row] = {}
    entries = yaml.load(text, YamlLoader) or []
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a list of rows, each with an id")
    for number, entry in enumerate(entries, start=1):
        try:
            row = kind.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            place = f"row {number}, {key}" if key else f"row {number}"
            reason = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{path}, {place}: {reason}") from None
        if row.id in rows:
            raise ValueError(f"{path}, row {number}: the id `{row.id}` is used twice")
        rows[row.id] = row
    return rows
