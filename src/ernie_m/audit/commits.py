"""How two commits differ in what git keeps: configuration, code, dvc.lock and scores."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from ernie_m.audit import words
from ernie_m.bounded import parse_yaml
from ernie_m.config.load import BASE
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import STAGES, module_of
from ernie_m.records.digest import bytes_digest, code_facts
from ernie_m.records.writer import git
from ernie_m.words import few, flatten

REGISTRY = "config/corpora.yaml"
SCORES = "results/default/report_build/scores.csv"
LOCK = "dvc.lock"
CELL = ("task", "variant", "stage", "seed", "language", "metric")
Change = tuple[Any, Any]


def commit_of(name: str) -> str | None:
    """The commit that a name resolves to, None if it is not a commit."""
    return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def _file(ref: str, path: str) -> bytes:
    """A file's content in a commit, empty if the commit does not have it."""
    done = subprocess.run(["git", "show", f"{ref}:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def _settings(ref: str) -> dict[str, Any]:
    """Keys of the default configuration and of the registry rows."""
    try:
        config = parse_yaml(_file(ref, BASE.as_posix()).decode()) or {}
        rows = parse_yaml(_file(ref, REGISTRY).decode()) or []
        registry = {f"corpora.registry.{row['id']}": row for row in rows}
        return dict(flatten(config)) | dict(flatten(registry))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"The configuration in {ref} cannot be read: {error}.", "Compare other commits."
        ) from None


def _data(ref: str) -> dict[str, Any]:
    """Digest of every output in dvc.lock."""
    lock = parse_yaml(_file(ref, LOCK).decode()) or {}
    stages = lock.get("stages", {}).values()
    return {out["path"]: out.get("md5") for stage in stages for out in stage.get("outs", [])}


def _scores(ref: str) -> dict[str, Any]:
    """Averages by task, model and metric."""
    rows = csv.DictReader(io.StringIO(_file(ref, SCORES).decode("utf-8")))
    return {
        " ".join(row[name] for name in CELL): float(row["value"])
        for row in rows
        if row["language"] == "average"
    }


def _code(a: str, b: str) -> list[str]:
    """Source files that differ in more than comments, docstrings and blank lines."""
    listed = (git("diff", "--name-only", "--no-renames", a, b, "--", "src") or "").splitlines()
    kept = (".py", ".html", ".css")
    return [path for path in listed if path.endswith(kept) and _digest(a, path) != _digest(b, path)]


def _digest(ref: str, path: str) -> str:
    content = _file(ref, path)
    return bytes_digest(path, content) if content else ""


def _stages_of_code() -> dict[str, set[str]]:
    """Today's source files by stage."""
    return {stage: set(code_facts(module_of(stage))) for stage in STAGES}


def _stages_of_key(key: str) -> list[str]:
    """Stages that take settings from the section of a key."""
    own = re.sub(r"^variants\.\w+\.", "", key)
    if own == "seed":
        return sorted(name for name, stage in STAGES.items() if stage.seed == "run")
    return [
        name
        for name, stage in STAGES.items()
        if any(f"{own}.".startswith(f"{key}.") for key in stage.keys)
    ]


def difference(a: str, b: str) -> dict[str, Any]:
    """The differences between two commits, and the stages that each one affects."""

    def changed(read: Callable[[str], dict[str, Any]]) -> dict[str, Change]:
        before, after = read(a), read(b)
        keys = sorted(key for key in before | after if before.get(key) != after.get(key))
        return {key: (before.get(key), after.get(key)) for key in keys}

    settings, code = changed(_settings), _code(a, b)
    stages = _stages_of_code() if code else {}
    reaches = {key: _stages_of_key(key) for key in settings}
    reaches |= {path: [name for name, own in stages.items() if path in own] for path in code}
    return {
        "a": a,
        "b": b,
        "numbers": changed(_scores),
        "scored": bool(_scores(a) and _scores(b)),
        "configuration": settings,
        "code": code,
        "data": changed(_data),
        "reaches": reaches,
    }


def _reached(stages: list[str]) -> str:
    return f"reaches {few(stages, 4)}" if stages else "reaches no stage"


def _numbers(found: dict[str, Any], full: bool) -> Iterator[str]:
    if not found["scored"]:
        yield f"{SCORES} is not in both commits"
    elif not found["numbers"]:
        yield "the same averages"
    for index, (name, (before, after)) in enumerate(found["numbers"].items()):
        if full or index < 12:
            shown = ["-" if value is None else f"{value:.4f}" for value in (before, after)]
            yield f"{name:<60} {shown[0]:>9} {shown[1]:>9}"


def text(found: dict[str, Any], full: bool) -> Iterator[str]:
    """The differences as lines of text for people."""
    yield from words.plain("A", [found["a"]])
    yield from words.plain("B", [found["b"]])
    yield from words.plain("numbers", _numbers(found, full))
    keys = [
        f"{key} {words.value(before)} -> {words.value(after)}; {_reached(found['reaches'][key])}"
        for key, (before, after) in found["configuration"].items()
    ]
    yield from words.section("keys", keys or ["the same"])
    code = [f"{path}; {_reached(found['reaches'][path])}" for path in found["code"]]
    shown = code if full else code[:12]
    more = [f"and {len(code) - 12} more; `--full` lists them"] if len(code) > len(shown) else []
    yield from words.section("code", [*shown, *more] or ["the same"])
    data = [f"{path}: {before} -> {after}" for path, (before, after) in found["data"].items()]
    yield from words.section("data", data or ["the same in dvc.lock"])
    explains = [name for name, stages in found["reaches"].items() if stages]
    told = few(explains, 12) or "nothing: only what reaches no stage differs"
    yield from words.section("explains", [told])
