"""Parse JSON and YAML from outside: size, nesting and numbers have bounds.

What is returned can be walked by recursion, copied, and written as JSON again. A few hundred bytes
of YAML aliases can stand for more values than fit in memory; these are counted as if written out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 28
DEEPEST = 100
MOST_VALUES = 5_000_000
MOST_YAML = 200_000  # values; registries have thousands
LONGEST_NUMBER = 64  # bits of a whole number
# Equivalent to `yaml.SafeLoader`, ten times as fast if libyaml is available.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_json(text: str, finite: bool = True) -> Any:
    """The value in a JSON text; raises ``ValueError`` that says what is wrong with it.

    Lone surrogates, whole numbers beyond 64 bits and, if ``finite``, NaN and infinity are refused:
    other programs do not read them, or not as the same value.
    """
    number = _finite if finite else float
    try:
        value = json.loads(text, parse_float=number, parse_constant=number)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} deep") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # too many digits; advice to raise the limit follows
        raise ValueError(str(error).partition(";")[0]) from None
    check_bounds(value)
    return value


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"it holds {text}, which is no number")
    return value


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises ``OSError`` and ``ValueError``."""
    return parse_json(read_text(path))


def read_text(path: Path) -> str:
    """A text in UTF-8 that is to be parsed; raises ``OSError``, and ``ValueError`` for other bytes
    and for more than :data:`MOST_BYTES`."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def parse_yaml(text: str) -> Any:
    """The value in a YAML text; raises ``ValueError`` that says what is wrong and where."""
    try:
        _check_nesting(text)
        loader = _LOADER(text)
        node = loader.get_single_node()
        _check_extent([node], _parts_of_node, MOST_YAML)
        value = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ValueError(f"line {mark.line + 1}: {reason}" if mark else reason) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).partition(";")[0]
        raise ValueError(reason) from None
    check_bounds(value, MOST_YAML)
    return value


def check_bounds(value: Any, most: int = MOST_VALUES) -> None:
    """Raise ``ValueError`` for a value that has too many parts or is nested too deep, or holds a
    whole number or a text beyond bounds."""
    _check_extent([value], _parts, most)


def _check_extent(level: list[Any], parts: Callable[[Any], Sized], most: int) -> None:
    """Walk level by level: without recursion, and no level is made before it is counted."""
    count = 0
    for _ in range(DEEPEST + 1):
        groups = [own for value in level if (own := parts(value))]
        if not groups:
            return
        count += sum(map(len, groups))
        if count > most:
            raise ValueError(f"it stands for more than {most} values")
        level = [value for own in groups for value in _values(own)]
    raise ValueError(f"it is nested more than {DEEPEST} deep, or holds itself")


def _values(group: Any) -> Iterable[Any]:
    return (part for pair in group.items() for part in pair) if isinstance(group, dict) else group


def _parts(value: Any) -> Sized:
    """The values in a value, none in a single one, which is checked."""
    if isinstance(value, dict | list | tuple | set):
        return value
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value)
    elif isinstance(value, int) and value.bit_length() > LONGEST_NUMBER:
        raise ValueError(f"it holds a whole number of more than {LONGEST_NUMBER} bits")
    return ()


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None


def _parts_of_node(node: Any) -> Sized:
    """The nodes in a YAML node, keys too."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _check_nesting(text: str) -> None:
    """Raise ``ValueError`` before a loader that works by recursion sees a text nested too deep."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
