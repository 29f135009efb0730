"""In what two versions of a result differ: by which numbers, and by how much."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ernie_m.errors import parsed

Leaves = Iterator[tuple[str, Any]]
# Adds the same to all scores of a query, which softmax takes away: it has no gradient but rounding
# errors, which Adam scales up to whole steps, and no output depends on it.
WITHOUT_EFFECT = re.compile(r"attention\.(self\.)?key\.bias$")


def difference(before: Path, after: Path) -> dict[str, Any]:
    """How a file differs from another with other bytes.

    ``largest`` is the largest difference of two numbers at the same place, as a share of the
    largest number around it (in a tensor; elsewhere of the two), ``at`` its place, ``differing``
    the number of places that differ of ``places``. ``largest`` is infinite where other than
    numbers differ, or the places themselves; tensors without effect do not count in it.
    """
    if after.suffix == ".safetensors":
        return _tensors(before, after)
    read = _READERS.get(after.suffix)
    if read is None:
        return {"largest": math.inf, "at": "bytes", "differing": 1, "places": 1}
    return _values(read(before), read(after))


def _values(before: Leaves, after: Leaves) -> dict[str, Any]:
    found: dict[str, Any] = {"largest": 0.0, "at": "", "differing": 0, "places": 0}
    for (place, old), (other, new) in zip_longest(before, after, fillvalue=("the end", None)):
        found["places"] += 1
        if (place, old) == (other, new):
            continue
        found["differing"] += 1
        share = _share(old, new) if place == other else math.inf
        if share >= found["largest"]:
            found |= {"largest": share, "at": place, "then": old, "now": new}
    return found


def _share(old: Any, new: Any) -> float:
    numbers = all(isinstance(x, int | float) and math.isfinite(x) for x in (old, new))
    return abs(old - new) / max(abs(old), abs(new), 1e-12) if numbers else math.inf


def _leaves(value: Any, place: str = "") -> Leaves:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key], f"{place}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{place}/{index}")
    else:
        yield place.lstrip("/"), value


def _json(path: Path) -> Leaves:
    return _leaves(parsed(path, path.read_text(encoding="utf-8")))


def _json_lines(path: Path) -> Leaves:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            yield from _leaves(json.loads(line), f"line {number}")


def _table(path: Path) -> Leaves:
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines), 1):
            for column, cell in enumerate(row, 1):
                yield f"line {number}, column {column}", _number(cell)


def _lines(path: Path) -> Leaves:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            yield f"line {number}", line


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


_READERS = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _table,
    ".tsv": _lines,
    ".txt": _lines,
    ".html": _lines,
    ".svg": _lines,
}


def _tensors(before: Path, after: Path) -> dict[str, Any]:
    import torch
    from safetensors import safe_open

    found: dict[str, Any] = {"largest": 0.0, "at": "", "differing": 0, "places": 0, "tensors": {}}
    with safe_open(before, "pt") as old, safe_open(after, "pt") as new:
        if sorted(old.keys()) != sorted(new.keys()):
            return found | {"largest": math.inf, "at": "names of tensors", "differing": 1}
        for name in sorted(old.keys()):
            a, b = old.get_tensor(name), new.get_tensor(name)
            found["places"] += a.numel()
            if a.shape == b.shape and torch.equal(a, b):
                continue
            share, differing = _tensor_share(a, b)
            found["tensors"][name] = share
            found["differing"] += differing
            if share >= found["largest"] and not WITHOUT_EFFECT.search(name):
                found |= {"largest": share, "at": name}
    return found


def _tensor_share(a: Any, b: Any) -> tuple[float, int]:
    """Largest difference as a share of the largest number, and how many numbers differ."""
    if a.shape != b.shape or not a.is_floating_point():
        return math.inf, int((a != b).sum()) if a.shape == b.shape else a.numel()
    gap = (a.double() - b.double()).abs()
    scale = float(a.double().abs().max().clamp(min=1e-12))
    largest = float(gap.max()) / scale
    return (largest if math.isfinite(largest) else math.inf), int((gap != 0).sum())
