"""Validation errors of a configuration as sentences that name the key and what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ernie_m.config.base import Section, is_table, section_of
from ernie_m.words import shortened

M = TypeVar("M", bound=Section)
# Text where a number or a switch belongs is read as one: YAML 1.1 takes `1e-3` for text, and
# `snakemake --config` all that is nested.
_READ: dict[str, Callable[[str], Any]] = {
    "int_type": int,
    "float_type": float,
    "bool_type": {"true": True, "false": False}.__getitem__,
}
_LONGEST = 64  # characters of such a number
Path = tuple[str | int, ...]


def check(
    model: type[M], plain: dict[str, Any], under: Path = ()
) -> tuple[M | None, dict[Path, str]]:
    """The section that ``plain`` (JSON types only) describes, or a sentence for each bad key.

    ``under`` is the path at which the reader finds ``plain``; it goes before every key.
    """
    try:
        # Strict, or `steps: true` would be one step; through JSON, so that lists may be tuples.
        return model.model_validate_json(json.dumps(plain), strict=True), {}
    except ValidationError as error:
        found = [
            (_path_in(plain, details["loc"]), details)
            for details in error.errors(include_url=False)
        ]
    read = {path: value for path, details in found if (value := _read(details)) is not None}
    if read:
        return check(model, _replaced(plain, read), under)
    problems: dict[Path, str] = {}
    for path, details in found:
        problems.setdefault((*under, *path), _sentence(model, path, under, details))
    return None, problems


def _read(details: ErrorDetails) -> Any:
    """The number or switch that a text says where one belongs; None for anything else."""
    text, read = details["input"], _READ.get(details["type"])
    if read is None or not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        return read(text)
    except (KeyError, ValueError):
        return None


def _replaced(value: Any, read: Mapping[Path, Any], path: Path = ()) -> Any:
    """A copy of ``value`` with other values at some paths."""
    if path in read:
        return read[path]
    if isinstance(value, dict):
        return {key: _replaced(inner, read, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, read, (*path, number)) for number, inner in enumerate(value)]
    return value


def dotted(path: Path) -> str:
    """``pretrain.camlm.steps``, ``corpora.languages[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _way_out(model: type[Section], path: Path, under: Path) -> str:
    """A suggestion for the unknown key at ``path``: a similar key, else all keys of its group."""
    *group, wrong = path
    section = _section_at(model, group)
    if section and wrong in section.moved:
        return f"it is {section.moved[str(wrong)]}."
    siblings = _keys_at(model, group)
    elsewhere = [key for key in _all_keys(model) if key[-1] == wrong]
    close = difflib.get_close_matches(str(wrong), siblings, n=1)
    if close:
        return f"did you mean `{dotted((*under, *group, close[0]))}`?"
    if elsewhere:
        return f"did you mean `{dotted((*under, *elsewhere[0]))}`?"
    return f"the keys there are {', '.join(siblings)}."


def _path_in(plain: Any, location: Path) -> Path:
    """``location`` without the steps that pydantic adds inside a union or a validator."""
    path: list[str | int] = []
    for part in location:
        if isinstance(plain, dict) and part in plain:
            plain = plain[str(part)]
        elif isinstance(plain, list) and isinstance(part, int) and part < len(plain):
            plain = plain[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _sentence(model: type[Section], path: Path, under: Path, details: ErrorDetails) -> str:
    name = dotted((*under, *path)) or "configuration"
    if details["type"] == "extra_forbidden":
        return f"Unknown key `{name}`: {_way_out(model, path, under)}"
    if details["type"] == "missing":
        return f"`{name}` lacks its key `{details['loc'][-1]}`."
    if details["type"] == "value_error":
        return f"`{name}` is not accepted: {details['ctx']['error']}"
    return f"`{name}` is {_shown(details['input'])}, but it should be {_wanted(details)}."


def _wanted(details: ErrorDetails) -> str:
    """What would be accepted, in terms of YAML instead of JSON or Python."""
    kinds = {"model_type": "a group of keys", "dict_type": "a group of keys"}
    if details["type"] == "string_pattern_mismatch":
        return f"text of the form {details['ctx']['pattern']}"
    wanted = details["msg"].removeprefix("Input should be ").removeprefix("Value should be ")
    return kinds.get(details["type"], wanted)


def _shown(value: Any) -> str:
    """A value with its type, short enough for one line."""
    kinds = {dict: "a group of keys", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "empty"
    text = shortened(json.dumps(value, ensure_ascii=False), 60)
    return f"{text} ({kinds.get(type(value), 'a number')})"


def _section_at(model: type[Section], group: list[str | int]) -> type[Section] | None:
    """The section at that path; None if there is none."""
    section: type[Section] | None = model
    parts = iter(group)
    for part in parts:
        if section is None or part not in section.model_fields:
            return None
        field = section.model_fields[str(part)]
        section = section_of(field)
        if is_table(field):
            next(parts, None)  # the free key
    return section


def _keys_at(model: type[Section], group: list[str | int]) -> list[str]:
    """Keys allowed in the group at that path."""
    section = _section_at(model, group)
    return list(section.model_fields) if section else []


def _all_keys(model: type[Section], prefix: Path = ()) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        section = section_of(field)
        if section and not is_table(field):
            yield from _all_keys(section, (*prefix, name))
