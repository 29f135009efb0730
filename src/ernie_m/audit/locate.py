"""Resolve what a user names to a file of the pipeline, and a number in it.

A path, with `#key/key` for a number in a JSON file; a cell (`xtreme/TASK/LANGUAGE[/METRIC]`, or
`pretrain/STAGE/key/key` for a metric of a training), with `@seed=2,stage=camlm` where it is not
the default one; a digest or its prefix; the id of an MLflow run. A copy of a result, wherever it
lies, is recognised by its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from ernie_m.audit.tracked import tags_of
from ernie_m.config.xtreme import Stage
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import parts_of
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import RESULTS, Graph, base_of, history, read_graph
from ernie_m.records.record import RECORD, Record

HEXADECIMAL = re.compile(r"[0-9a-f]{8,64}")
RUN_ID = re.compile(r"[0-9a-f]{32}")
STANDIN = "standin_"


@dataclass(frozen=True)
class Cell:
    """Selects one of a run's numbers where the name alone is ambiguous; ``stage`` defaults to the
    last one that was evaluated."""

    run: str = "default"
    variant: str = "ernie_m"
    stage: str | None = None
    seed: int | None = None

    def but(self, words: str) -> Cell:
        """This cell, changed by `seed=2,stage=camlm`; raises :class:`UserError` for other names."""
        given: dict[str, Any] = {}
        known = [field.name for field in fields(self)]
        for word in filter(None, words.split(",")):
            name, _, value = word.partition("=")
            if name not in known or not value or (name == "seed" and not value.isdigit()):
                raise UserError(
                    f"`@{words}` does not say which number is meant.",
                    f"Write it as `@seed=2,stage=camlm`; the names are {', '.join(known)}.",
                )
            given[name] = int(value) if name == "seed" else value
        return replace(self, **given)


@dataclass(frozen=True)
class Place:
    """A file by its recorded path, relative to ``base``; ``keys`` lead to a number in it.

    ``remark`` is what was found out on the way; ``superseded``: another version now lies there.
    """

    base: Path
    path: str
    keys: tuple[str, ...] = ()
    remark: str = ""
    superseded: bool = False

    @property
    def run(self) -> str:
        """Name of the run that the file belongs to."""
        return Path(self.path).parts[1]


def locate(what: str, cell: Cell, store: str = "") -> Place:
    """The place that ``what`` means; ``store`` is the URI of the MLflow store.

    Raises :class:`UserError` if there is none.
    """
    name, _, keys = what.partition("#")
    path = Path(name)
    if path.exists() or RESULTS in path.parts:
        return _file(path, tuple(filter(None, keys.split("/"))))
    if what.startswith(("xtreme/", "pretrain/")):
        name, _, given = what.partition("@")
        return (_score if name.startswith("xtreme/") else _measure)(name, cell.but(given))
    if HEXADECIMAL.fullmatch(what):
        return _digest(Path.cwd(), what) or _tracked(what, store) or _unknown(what)
    return _unknown(what)


def _unknown(what: str) -> Place:
    raise UserError(
        f"`{what}` is no file, no number, no digest and no MLflow run of these results.",
        "Name a file under results/, a cell such as `xtreme/retrieval/de/accuracy`, the first "
        "8 digits or more of a SHA-256, or the 32 of a run's id.",
    )


def _file(path: Path, keys: tuple[str, ...]) -> Place:
    if path.is_dir():
        path = path / RECORD
    try:
        base = base_of(path)
    except UserError:
        digest = file_sha256(path) if path.is_file() else ""
        copy = _digest(Path.cwd(), digest, f"{path} is a copy of it.") if digest else None
        if copy is None:
            raise
        return Place(copy.base, copy.path, keys, copy.remark, copy.superseded)
    return Place(base, path.resolve().relative_to(base).as_posix(), keys)


def _score(what: str, cell: Cell) -> Place:
    """`xtreme/retrieval/de/accuracy`: a score of the variant, stage and seed in ``cell``."""
    _, task, *rest = what.split("/")
    graph = read_graph(Path.cwd(), cell.run)
    baseline = cell.variant == "baseline"
    wanted = "xtreme_baseline" if baseline else "xtreme_score"
    all_tasks: dict[str, list[Record]] = {}
    for node in graph.nodes.values():
        if node.stage == wanted:
            all_tasks.setdefault(parts_of(node.stage, node.instance)["task"], []).append(node)
    own = [name for name in all_tasks if name.removeprefix(STANDIN) == task.removeprefix(STANDIN)]
    if not own:
        raise UserError(
            f"Run `{cell.run}` has no scores of `{task}`.",
            "It has those of "
            + (", ".join(sorted(all_tasks)) or "no task yet")
            + "."
            + _unread(graph),
        )
    nodes = [node for name in own for node in all_tasks[name]]
    if cell.stage is None and not baseline:
        cell = replace(cell, stage=_last_stage(nodes))
    found = [node for node in nodes if _is_of(node, cell)]
    if not found:
        known = sorted(node.instance.partition("/")[2] for node in nodes)
        raise UserError(
            f"Run `{cell.run}` has no scores of `{task}` for {_words(cell)}.",
            "Choose by --variant, --stage and --seed among "
            + ", ".join(dict.fromkeys(known))
            + f"; of a number by itself, as `xtreme/{task}@stage=camlm,seed=1`."
            + _unread(graph),
        )
    path = min(found, key=lambda node: (not node.instance.startswith(task), node.instance))
    (scores,) = path.recorded
    keys = _score_keys(rest)
    name = cell.stage or ""  # a baseline's name
    return Place(graph.base, scores, ("baselines", name, *keys) if baseline else keys)


def _last_stage(nodes: Iterable[Record]) -> str:
    """The last stage of pre-training that has scores."""
    order = get_args(Stage)
    return max(
        (parts_of(node.stage, node.instance)["checkpoint"] for node in nodes), key=order.index
    )


def _unread(graph: Graph) -> str:
    """Names the damaged records: one of them may belong to the number meant."""
    damaged = [f"{node.path} {node.fault}" for node in graph.nodes.values() if not node.data]
    return f" But {'; '.join(damaged[:3])}: make it anew." if damaged else ""


def _is_of(node: Record, cell: Cell) -> bool:
    parts = parts_of(node.stage, node.instance)
    if "variant" not in parts:  # a baseline, which has no model
        return True
    seed = int(parts["seed"].removeprefix("seed"))
    model = (parts["variant"], parts["checkpoint"])
    return model == (cell.variant, cell.stage) and cell.seed in (None, seed)


def _words(cell: Cell) -> str:
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    return f"variant `{cell.variant}`, stage `{cell.stage}`{seed}"


def _score_keys(rest: list[str]) -> tuple[str, ...]:
    """Keys in a score file: languages are one level below the means."""
    if rest and rest[0] not in ("average", "transfer"):
        return ("languages", *rest)
    return tuple(rest)


def _measure(what: str, cell: Cell) -> Place:
    """`pretrain/btmlm/valid/tlm/en-de`: a number from a training's metrics."""
    _, stage, *keys = what.split("/")
    path = f"{RESULTS}/{cell.run}/pretrain_{stage}/{cell.variant}/metrics.json"
    graph = read_graph(Path.cwd(), cell.run)
    if path not in graph.makers:
        known = sorted(p for p in graph.makers if re.search(r"/pretrain_\w+/.+metrics\.json$", p))
        raise UserError(
            f"No job of run `{cell.run}` has made {path}.",
            "Choose by --run and --variant among "
            + (", ".join(known) or "none")
            + "."
            + _unread(graph),
        )
    return Place(graph.base, path, tuple(keys))


def _digest(base: Path, digest: str, remark: str = "") -> Place | None:
    """The file with a digest, according to the records or to earlier versions of them."""
    if not (base / RESULTS).is_dir():
        return None
    graph = read_graph(base)
    now = {path: sha for node in graph.nodes.values() for path, sha in node.recorded.items()}
    found = [path for path, sha in now.items() if sha.startswith(digest)]
    found += [node.path for node in graph.nodes.values() if node.seal == digest]
    if found:
        return Place(base, _one(digest, found), remark=remark)
    for path, ended, sha in earlier(graph):
        if sha.startswith(digest):
            words = f"{remark} {sha[:12]} was made {ended} and has been made anew since, as the "
            words += "history beside the record has it, which nothing else confirms."
            return Place(base, path, remark=words.strip(), superseded=True)
    return None


def _one(digest: str, paths: Iterable[str]) -> str:
    """The file meant: the first of several with the same bytes.

    Raises :class:`UserError` for the beginning of a digest that fits several.
    """
    first, *rest = sorted(paths)
    if rest and len(digest) < 64:
        names = ", ".join([first, *rest][:6])
        raise UserError(f"`{digest}` fits several files.", f"Name one by its path: {names}.")
    return first


def earlier(graph: Graph) -> Iterable[tuple[str, str, str]]:
    """Path, time and digest of every file in the histories beside the records."""
    for place in graph.nodes:
        for record in history(graph.base / place):
            for file in () if record.fault else record.made_files:
                yield file.path, record.run.ended, file.sha256


def _tracked(run_id: str, store: str) -> Place | None:
    """The output of the job of an MLflow run; for the run of an invocation, its report."""
    tags = tags_of(store, run_id) if RUN_ID.fullmatch(run_id) else None
    if tags is None:
        return None
    graph = read_graph(Path.cwd())
    job = "/".join(filter(None, (tags.get("stage", "report_build"), tags.get("instance"))))
    nodes = [node for node in graph.nodes.values() if node.job == job and node.data]
    logged = tags.get("record.sha256")
    for node in nodes:
        if logged == _sha256(graph.base / node.path):
            return Place(graph.base, next(iter(node.recorded)), remark=f"MLflow run {run_id}.")
    if not nodes:
        return None
    words = f"MLflow run {run_id} logged another run of this job; it was made anew since."
    words = words if logged else f"MLflow run {run_id} names no record; this job has its name."
    return Place(graph.base, next(iter(nodes[0].recorded)), remark=words, superseded=bool(logged))


def _sha256(file: Path) -> str | None:
    return file_sha256(file) if file.is_file() else None
