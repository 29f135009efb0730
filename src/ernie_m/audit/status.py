"""Say for every job of a run whether its results are current, stale (and why), or missing.

Files are judged by presence and size; `ernie-m verify` reads their bytes. Packages of other
versions than the lock's are named, here and in records; they make nothing stale. The exit status
is that of `ernie-m audit`, by the worst finding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.audit import packages, words
from ernie_m.audit.chain import Chain, Verdict, chain_of
from ernie_m.audit.checks import check
from ernie_m.audit.command import add_configuration, layers_for
from ernie_m.audit.facts import finding_data
from ernie_m.config.root import Config
from ernie_m.pipeline.stages import STAGES, jobs
from ernie_m.records.graph import RESULTS, SHARED, read_graph
from ernie_m.records.record import RECORD
from ernie_m.words import few, plural

STATES = {
    Verdict.VERIFIED: "current",
    Verdict.INCOMPLETE: "not here",
    Verdict.STALE: "stale",
    Verdict.BROKEN: "broken",
    Verdict.TAMPERED: "tampered",
}


def asked_for(config: Config) -> dict[str, str]:
    """Every job that a configuration asks for: its stage, by the path of its record."""
    found = {}
    for stage, instances in jobs(config).items():
        root = RESULTS if stage in SHARED else f"{RESULTS}/{config.run}"
        for instance in instances:
            parts = (root, stage, instance, RECORD)
            found["/".join(filter(None, parts))] = stage
    return found


def states(chain: Chain, config: Config | None) -> dict[str, dict[str, Any]]:
    """Each job's state and the reason, by the path of its record; a missing job has no record.

    A result of a stale input is stale too: it has to be made again, although its own record is in
    order.
    """
    found: dict[str, dict[str, Any]] = {}
    own: dict[str, list[Any]] = {}
    lock = packages.locked()
    for finding in chain.findings:
        own.setdefault(finding.job, []).append(finding)
    for node in reversed(chain.nodes):  # sources first
        mine = own.get(node.job, [])
        worst = max(
            (item.verdict for item in mine), key=lambda v: v.value, default=Verdict.VERIFIED
        )
        upstream = [
            chain.graph.nodes[path].job
            for path in chain.graph.sources(node)
            if _outdated(found, path)
        ]
        state = STATES[worst]
        if upstream and worst.value < Verdict.STALE.value:
            state = "stale"
        found[node.path] = {
            "job": node.job,
            "stage": node.stage,
            "state": state,
            "why": [finding_data(item) for item in mine],
            "upstream": upstream,
            "packages": list(packages.unlike(node.run.packages, lock)),
        }
    for path, stage in asked_for(config).items() if config else ():
        if path not in found or not chain.graph.nodes[path].data:
            job = path.removesuffix(f"/{RECORD}").partition(f"/{stage}")[2]
            why = {"state": "missing", "why": [], "upstream": [], "packages": []}
            found[path] = {"job": f"{stage}{job}", "stage": stage, **why}
    return found


def _outdated(found: dict[str, dict[str, Any]], path: str) -> bool:
    return path in found and found[path]["state"] not in ("current", "not here")


def _text(chain: Chain, found: dict[str, dict[str, Any]], full: bool) -> Iterator[str]:
    stages: dict[str, list[dict[str, Any]]] = {}
    order = [*STAGES, *(entry["stage"] for entry in found.values())]
    for stage in dict.fromkeys(order):
        own = [entry for entry in found.values() if entry["stage"] == stage]
        if own:
            stages[stage] = own
    for stage, entries in stages.items():
        counts: dict[str, int] = {}
        for job in entries:
            counts[job["state"]] = counts.get(job["state"], 0) + 1
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        yield f"{stage or '(unreadable)':<24} {plural(len(entries), 'job'):<9} {told}"
        for job in entries if full else ():
            after = f"  after {few(job['upstream'])}" if job["upstream"] else ""
            yield f"    {job['state']:<9} {job['job']}{after}"
    if chain.findings:
        yield ""
    yield from map(words.finding, chain.findings) if full else words.alike(chain.findings)
    follow = sum(bool(job["upstream"] and not job["why"]) for job in found.values())
    if follow:
        yield f"STALE {plural(follow, 'job')} more: what they read is not current"
    yield from packages.told(node for node in chain.nodes if node.data)


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m status`; returns the exit status."""
    parser = argument_parser("ernie-m status", __doc__)
    parser.add_argument("--run", default="default", help="name of the run (default: default)")
    add_configuration(parser)
    parser.add_argument("--full", action="store_true", help="list every job and finding")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    layers = layers_for(args.run, args.configfile)
    config = layers.config if layers else None
    graph = read_graph(Path.cwd(), args.run)
    chain = chain_of(graph, graph.behind(*graph.nodes), f"{RESULTS}/{args.run}")
    check(chain, config, hashing=False)
    found = states(chain, config)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_text(chain, found, args.full)))
    missing = any(entry["state"] == "missing" for entry in found.values())
    return max(chain.verdict.value, Verdict.INCOMPLETE.value if missing else 0)
