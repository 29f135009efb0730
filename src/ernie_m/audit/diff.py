"""Compare two numbers, runs or commits, and say what can explain the difference.

A and B are numbers or files as for `ernie-m audit` (`xtreme/retrieval/de@seed=2`), names of runs
under results/, or commits. For two results the chains are compared job by job: a job explains a
difference when its own settings, seed or code differ and its bytes do too; the jobs after it
follow. For two commits the configuration, the code, the data (dvc.lock) and the scores kept in git
are compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.audit import commits, words
from ernie_m.audit.claim import claim
from ernie_m.audit.facts import chain_at
from ernie_m.audit.keys import keys_of, layers_of
from ernie_m.audit.locate import Cell, locate
from ernie_m.errors import UserError, parsed
from ernie_m.records.graph import RESULTS, SHARED, Graph, read_graph, runs
from ernie_m.records.record import Files, Record
from ernie_m.words import few, plural

Change = tuple[Any, Any]
ABSENT = "-"


@dataclass
class Side:
    """One of the two things compared: its jobs, readers first, and its numbers by name."""

    name: str
    graph: Graph
    nodes: list[Record]
    numbers: dict[str, float]
    claim: dict[str, Any] = field(default_factory=dict)


@dataclass
class Pair:
    """The same step on both sides, with all their differences."""

    a: Record
    b: Record
    keys: dict[str, Change]
    code: list[str]
    inputs: list[str]
    circumstances: dict[str, Change]
    same_bytes: bool
    other_maker: dict[str, Change]

    @property
    def name(self) -> str:
        """The job; for two jobs the first, with the second's last part where it differs."""
        same = self.a.job == self.b.job
        return self.a.job if same else f"{self.a.job} -> {self.b.job.rpartition('/')[2]}"

    @property
    def own(self) -> bool:
        """Whether the step itself differs, and not only its inputs."""
        other_job = self.a.job != self.b.job and not self.inputs
        return bool(self.keys or self.code or self.other_maker or other_job)

    @property
    def role(self) -> str:
        """The step's part in a difference of the numbers."""
        if self.same_bytes:
            return "idle" if self.own else "same"
        if self.own:
            return "explains"
        return "follows" if self.inputs else "unrepeatable"


def side(what: str) -> Side:
    """The run that ``what`` names, or the result with all the jobs behind it."""
    if (Path(RESULTS) / what).is_dir() and what not in SHARED:
        graph = read_graph(Path.cwd(), what)
        nodes = graph.behind(*graph.nodes)
        return Side(what, graph, nodes, _scores(graph, nodes))
    try:
        place = locate(what, Cell())
    except UserError:
        if "/" in what:  # a path or a cell, for which the first message says enough
            raise
        raise _stranger(what) from None
    chain = chain_at(place)
    told = claim(chain.graph, place)
    value = told.get("value")
    return Side(what, chain.graph, chain.nodes, {} if value is None else {"value": value}, told)


def _stranger(what: str) -> UserError:
    """Error: a name is neither run nor result; a commit can only be compared with a commit."""
    known = ", ".join(runs(Path.cwd())) or "none"
    if commits.commit_of(what):
        return UserError(
            f"`{what}` is a commit, but what it is to be compared with is none.",
            f"Name two commits, or two runs (here: {known}) or results.",
        )
    layers = layers_of(what)
    overlays = f" --configfile {' '.join(layers.overlays)}" if layers and layers.overlays else ""
    make = f"Make it by `snakemake --cores all{overlays}`, or name" if layers else "Name"
    return UserError(
        f"`{what}` is no run with results, no result and no commit.",
        f"{make} one that is here ({known}), a result as for `ernie-m audit`, or a commit.",
    )


def _scores(graph: Graph, nodes: Sequence[Record]) -> dict[str, float]:
    """Averages of all scored tasks of a run, by task, model and metric."""
    found = {}
    for node in nodes:
        if node.stage == "xtreme_score":
            for path in node.recorded:
                file = graph.base / path
                text = (
                    file.read_text(encoding="utf-8", errors="replace") if file.is_file() else "{}"
                )
                document = parsed(file, text)
                for metric, value in document.get("average", {}).items():
                    found[f"{node.instance} {metric}"] = value
    return found


def paired(
    a: Sequence[Record], b: Sequence[Record], loose: bool
) -> tuple[list[tuple[Record, Record]], list[Record], list[Record]]:
    """Pairs of jobs that are the same step, then the jobs that only one side has.

    Jobs with the same name are paired. With ``loose``, the remaining jobs of a stage are paired in
    order if both sides have as many: the fine-tuning with seed 1 and the one with seed 2.
    """
    pairs: list[tuple[Record, Record]] = []
    only_a: list[Record] = []
    only_b: list[Record] = []
    for stage in dict.fromkeys(node.stage for node in (*a, *b)):
        left = {node.job: node for node in a if node.stage == stage}
        right = {node.job: node for node in b if node.stage == stage}
        pairs += [(left.pop(job), right.pop(job)) for job in list(left) if job in right]
        if loose and len(left) == len(right):
            pairs += zip(left.values(), right.values(), strict=True)
        else:
            only_a += left.values()
            only_b += right.values()
    return pairs, only_a, only_b


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Change]:
    """Keys whose values differ, with both values."""
    keys = sorted(key for key in before | after if before.get(key) != after.get(key))
    return {key: (before.get(key, ABSENT), after.get(key, ABSENT)) for key in keys}


def _bytes(named: Files) -> dict[str, list[str]]:
    return {name: sorted(file.sha256 for file in files) for name, files in named.items()}


def _circumstances(node: Record) -> dict[str, Any]:
    run = node.run
    machine = {key: value for key, value in run.machine.items() if key != "cores"}
    return {**run.packages, "python": run.python, "threads": run.threads, **machine}


def _makers(graph: Graph, node: Record) -> dict[str, list[str]]:
    """Stages that made a job's input files, by input name."""
    found = {}
    for name, files in node.inputs.items():
        made = {graph.makers[file.path].stage for file in files if file.path in graph.makers}
        found[name] = sorted(made)
    return found


def compared(a: Side, b: Side, left: Record, right: Record) -> Pair:
    """All differences between two jobs."""
    return Pair(
        left,
        right,
        changes(keys_of(left), keys_of(right)),
        list(changes(left.code.files, right.code.files)),
        list(changes(_bytes(left.inputs), _bytes(right.inputs))),
        changes(_circumstances(left), _circumstances(right)),
        _bytes(left.outputs) == _bytes(right.outputs),
        changes(_makers(a.graph, left), _makers(b.graph, right)),
    )


def difference(a: Side, b: Side) -> dict[str, Any]:
    """The numbers side by side, and each step with its part in the difference."""
    readable = [[node for node in own.nodes if node.data] for own in (a, b)]
    pairs, only_a, only_b = paired(readable[0], readable[1], loose=bool(a.claim and b.claim))
    steps = [compared(a, b, left, right) for left, right in pairs]
    keys: dict[str, Change] = {}
    for step in steps:
        keys |= step.keys
    return {
        "a": a.name,
        "b": b.name,
        "numbers": {
            name: (a.numbers.get(name), b.numbers.get(name))
            for name in dict.fromkeys((*a.numbers, *b.numbers))
        },
        "noise": _noise(a, b),
        "only_a": [node.job for node in only_a],
        "only_b": [node.job for node in only_b],
        "configuration": keys,
        "code": sorted({path for step in steps for path in step.code}),
        "data": changes(_sources(readable[0]), _sources(readable[1])),
        "steps": [_step(step) for step in steps if step.role != "same"],
        "same": sum(step.role == "same" for step in steps),
    }


def _step(step: Pair) -> dict[str, Any]:
    return {
        "job": step.name,
        "role": step.role,
        "keys": step.keys,
        "code": step.code,
        "reads": step.other_maker,
        "inputs": step.inputs,
        "circumstances": step.circumstances,
    }


def _sources(nodes: Sequence[Record]) -> dict[str, str]:
    """Digest of every download."""
    return {
        _source(node, path): sha
        for node in nodes
        if node.stage in SHARED
        for path, sha in node.recorded.items()
    }


def _source(node: Record, path: str) -> str:
    """A downloaded file in words: with its file name where there are several."""
    file = f", {Path(path).name}" if len(node.recorded) > 1 else ""
    return f"{node.instance} {node.settings.get('version', '')}{file}"


def _noise(a: Side, b: Side) -> float | None:
    """Standard error of the difference of two proportions of independent answers, as if each side
    were tested on examples of its own: on the same ones it is smaller."""
    errors = [own.claim.get("standard_error") for own in (a, b)]
    return round(math.hypot(*errors), 2) if all(errors) else None  # type: ignore[arg-type]


def _changed(changed: dict[str, Change]) -> Iterator[str]:
    for key, (before, after) in changed.items():
        yield f"{key} {words.value(before)} -> {words.value(after)}"


def _why(step: dict[str, Any]) -> str:
    """How the step itself differs."""
    told = list(_changed(step["keys"]))
    told += [f"code of {few(step['code'])}"] if step["code"] else []
    reads = step["reads"].items()
    told += [f"{name} from {words.value(x)} -> {words.value(y)}" for name, (x, y) in reads]
    return "; ".join(told) or "another job on the same inputs"


def _alike(steps: Sequence[dict[str, Any]], full: bool) -> list[str]:
    """How steps themselves differ, those with the same reason in one line."""
    reasons: dict[str, list[str]] = {}
    for step in steps:
        reasons.setdefault(_why(step), []).append(step["job"])
    return [f"{reason}: {words.jobs(own, full)}" for reason, own in reasons.items()]


def _numbers(found: dict[str, Any]) -> Iterator[str]:
    if not found["numbers"]:
        yield "neither side has any: files are not here, or no language has enough examples"
    for name, (before, after) in found["numbers"].items():
        shown = [ABSENT if value is None else f"{value:.4f}" for value in (before, after)]
        apart = "" if None in (before, after) else f"  {after - before:+.4f}"
        yield f"{name:<52} {shown[0]:>10} {shown[1]:>10}{apart}"
    if found["noise"]:
        before, after = found["numbers"]["value"]
        enough = "more" if abs(after - before) > 2 * found["noise"] else "no more"
        yield (
            f"standard error of the difference at most {found['noise']}: it is {enough} than twice "
            "that"
        )


def _text(found: dict[str, Any], full: bool) -> Iterator[str]:
    yield from words.plain("A", [found["a"]])
    yield from words.plain("B", [found["b"]])
    yield from words.plain("numbers", _numbers(found))
    roles: dict[str, list[dict[str, Any]]] = {}
    for step in reversed(found["steps"]):  # sources first
        roles.setdefault(step["role"], []).append(step)
    explains = _alike(roles.get("explains", []), full)
    only = {name: list(reversed(found[f"only_{name.lower()}"])) for name in "AB"}
    explains += [f"only {name}: {words.jobs(own, full)}" for name, own in only.items() if own]
    for step in roles.get("unrepeatable", []):
        other = "; ".join(_changed(step["circumstances"])) or "nothing that was recorded"
        explains.append(f"{step['job']}: same inputs, settings, seed and code; differs in {other}")
    none = "nothing: the jobs and their bytes are the same, only what is measured may differ"
    yield from words.section("explains", explains or [none])
    follows = [step["job"] for step in roles.get("follows", [])]
    yield from words.section("follows", [words.jobs(follows, full)] if follows else [])
    yield from words.section("idle", _alike(roles.get("idle", []), full))
    yield from words.plain("same", [plural(found["same"], "job")])
    yield from words.section("keys", list(_changed(found["configuration"])) or ["the same"])
    yield from words.section(
        "code", [few(found["code"], len(found["code"]) if full else 6) or "the same"]
    )
    data = [f"{name}: {x[:12]} -> {y[:12]}" for name, (x, y) in found["data"].items()]
    yield from words.section("data", data or ["the same"])


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m diff`; returns the exit status."""
    parser = argument_parser("ernie-m diff", __doc__)
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--full", action="store_true", help="list every step and file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    refs = [commits.commit_of(what) for what in (args.a, args.b)]
    if all(refs) and not any((Path(RESULTS) / what).is_dir() for what in (args.a, args.b)):
        found = commits.difference(args.a, args.b)
        lines = commits.text(found, args.full)
    else:
        found = difference(side(args.a), side(args.b))
        lines = _text(found, args.full)
    print(json.dumps(found, indent=1, ensure_ascii=False) if args.json else "\n".join(lines))
    return 0
