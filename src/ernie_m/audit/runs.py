"""List the runs under results/: jobs, size, time, commit, state and main averages.

With --shared, what two runs have in common: of each stage the jobs that wrote the same bytes, and
those of either run alone. States are those of `ernie-m status`; `ernie-m verify` reads the bytes.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from ernie_m.arguments import argument_parser
from ernie_m.audit.chain import chain_of
from ernie_m.audit.checks import check
from ernie_m.audit.find import of_run
from ernie_m.audit.keys import layers_of
from ernie_m.audit.numbers import Numbers
from ernie_m.audit.status import states
from ernie_m.config.xtreme import Stage
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import STAGES, parts_of
from ernie_m.records.graph import RESULTS, Graph, read_graph, runs
from ernie_m.records.record import Record
from ernie_m.words import few, plural, size


def account(graph: Graph, run: str, numbers: Numbers) -> dict[str, Any]:
    """What a run is, from the records of its own jobs; downloads are all runs'."""
    nodes = [node for node in of_run(graph, run) if node.run_name == run]
    return {
        "run": run,
        "jobs": len(nodes),
        "bytes": _bytes(nodes),
        "ended": max((node.run.ended for node in nodes), default=""),
        "commits": sorted({node.run.git.commit for node in nodes if node.run.git.commit}),
        "states": _states(graph, run),
        "averages": list(averages(nodes, numbers)),
    }


def _bytes(nodes: Iterable[Record]) -> int:
    return sum(file.bytes for node in nodes for file in node.made_files)


def _states(graph: Graph, run: str) -> dict[str, int]:
    """How many of a run's jobs are in which state."""
    layers = layers_of(run)
    config = layers.config if layers else None
    own = (path for path, node in graph.nodes.items() if node.run_name == run)
    jobs = chain_of(graph, graph.behind(*own), f"{RESULTS}/{run}")
    found = states(check(jobs, config, hashing=False), config)
    folder = f"{RESULTS}/{run}/"
    return dict(Counter(job["state"] for path, job in found.items() if path.startswith(folder)))


def averages(nodes: Iterable[Record], numbers: Numbers) -> Iterator[dict[str, Any]]:
    """Of each variant, after the last stage that was scored: each task's average over languages in
    its main metric, the mean of all seeds."""
    models: dict[tuple[str, str], dict[str, list[float]]] = {}
    for fact in numbers.of(node for node in nodes if node.stage == "xtreme_score"):
        parts = parts_of(fact.node.stage, fact.node.instance)
        if fact.names[-1].count("/") == 1:  # the average needs no more than the task
            own = models.setdefault((parts["variant"], parts["checkpoint"]), {})
            own.setdefault(parts["task"], []).append(fact.value)
    order = get_args(Stage)
    for variant in sorted({variant for variant, _ in models}):
        stage = max((stage for name, stage in models if name == variant), key=order.index)
        scores = sorted(models[variant, stage].items())
        means = {task: round(statistics.fmean(values), 4) for task, values in scores}
        yield {"variant": variant, "stage": stage, "scores": means}


@dataclass
class Shared:
    """Jobs of one stage in two runs: those that wrote the same bytes in both, and the others."""

    both: list[Record] = field(default_factory=list)
    first: list[Record] = field(default_factory=list)
    second: list[Record] = field(default_factory=list)


def shared(graph: Graph, first: str, second: str) -> dict[str, Shared]:
    """What two runs have in common, by stage, downloads included; the job's name does not count.

    Raises :class:`UserError` for a run that is not here.
    """
    for run in (first, second):
        if run not in (here := runs(graph.base)):
            raise UserError(f"There is no run `{run}` here.", f"Name two of {', '.join(here)}.")
    jobs = [{node.path: _made(node) for node in of_run(graph, run)} for run in (first, second)]
    made = [set(own.values()) for own in jobs]
    found: dict[str, Shared] = {}
    for path, written in jobs[0].items():
        own = found.setdefault(written[0], Shared())
        (own.both if written in made[1] else own.first).append(graph.nodes[path])
    for path, written in jobs[1].items():
        if written not in made[0]:
            found.setdefault(written[0], Shared()).second.append(graph.nodes[path])
    return {stage: found[stage] for stage in dict.fromkeys((*STAGES, *found)) if stage in found}


def _made(node: Record) -> tuple[str, ...]:
    """By what a job is known in another run: its stage, and the bytes that it wrote."""
    return (node.stage, *sorted(file.sha256 for file in node.made_files))


def _run_text(about: dict[str, Any]) -> Iterator[str]:
    """A run in a few lines."""
    counts = ", ".join(f"{count} {state}" for state, count in about["states"].items())
    commits = few([commit[:7] for commit in about["commits"]]) or "no git"
    ended = about["ended"][:16].replace("T", " ")
    yield about["run"]
    yield f"  {plural(about['jobs'], 'job')}, {size(about['bytes'])}, {ended}, {commits}: {counts}"
    for model in about["averages"]:
        scores = ", ".join(f"{task} {value:.1f}" for task, value in model["scores"].items())
        yield f"  {model['variant']} after {model['stage']}: {scores}"


def _shared_text(found: dict[str, Shared], first: str, second: str, full: bool) -> Iterator[str]:
    """A line a stage, with how many jobs and bytes are shared, and how many are of one run."""
    heads = ("both", f"{first} alone", f"{second} alone")
    yield " " * 25 + "".join(f"{head:<20}" for head in heads).rstrip()
    for stage, own in found.items():
        groups = (own.both, own.first, own.second)
        cells = (f"{len(jobs)} ({size(_bytes(jobs))})" if jobs else "-" for jobs in groups)
        yield f"{stage:<25}" + "".join(f"{cell:<20}" for cell in cells).rstrip()
        for mark, jobs in zip("=<>", groups, strict=True):
            yield from (f"  {mark} {node.job}" for node in (jobs if full else ()))


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m list`; returns the exit status."""
    parser = argument_parser("ernie-m list", __doc__)
    parser.add_argument("--shared", nargs=2, metavar="RUN", help="compare what two runs have made")
    parser.add_argument("--full", action="store_true", help="with --shared, list every job")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    graph = read_graph(Path.cwd())
    if args.shared:
        first, second = args.shared
        if first == second:
            raise UserError(f"`{first}` is one run.", "Name two; `ernie-m list` shows them.")
        found = shared(graph, first, second)
        lines = _shared_text(found, first, second, args.full)
        data: Any = {
            stage: {name: [node.path for node in jobs] for name, jobs in vars(own).items()}
            for stage, own in found.items()
        }
    else:
        numbers = Numbers(graph)
        data = [account(graph, run, numbers) for run in runs(graph.base)]
        left_out = (f"left out: {odd}" for odd in numbers.odd)
        lines = chain.from_iterable((*map(_run_text, data), left_out))
    print(json.dumps(data, indent=1, ensure_ascii=False) if args.json else "\n".join(lines))
    return 0
