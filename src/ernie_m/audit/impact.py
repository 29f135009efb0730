"""List the numbers that would change with a file or a key of the configuration.

The inverse of `ernie-m audit`: WHAT is a source file, a result or another file that some job reads,
or a key such as `pretrain.btmlm.steps` (or a group of keys, `pretrain.btmlm`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.audit.command import add_configuration, layers_for
from ernie_m.audit.facts import seconds
from ernie_m.audit.keys import Layers, keys_of
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import STAGES
from ernie_m.records.digest import SOURCE, code_facts
from ernie_m.records.graph import Graph, read_graph
from ernie_m.records.record import Record
from ernie_m.words import duration, few, plural

NUMBERS = ("scores", "metrics")  # outputs whose JSON files hold numbers
DECIDES = (
    "run",
    "variants",
    "corpora.datasets",
    "corpora.head_bytes",
    "xtreme.tasks",
    "xtreme.stages",
    "xtreme.seeds",
)
NOTHING = ("tracking", "saving")
LOCKS = ("requirements.txt", "requirements-cuda.txt")


def _code(node: Record) -> set[str]:
    """Source files that a job ran, or would run today."""
    try:
        return {*node.code.files, *code_facts(node.module)}
    except ModuleNotFoundError:
        return set(node.code.files)


def readers(graph: Graph, path: str) -> list[str]:
    """Records of the jobs that read a file or run it as code."""
    return [
        place
        for place, node in graph.nodes.items()
        if node.data and (path in _code(node) or any(file.path == path for file in node.read_files))
    ]


def users(graph: Graph, key: str, layers: Layers | None) -> list[str]:
    """Records of the jobs that a key, or any key of a group, reaches."""
    chosen = layers.chosen if layers else None
    return [
        place
        for place, node in graph.nodes.items()
        if node.data
        and any(own == key or own.startswith(f"{key}.") for own in keys_of(node, chosen))
    ]


def directly_affected(graph: Graph, what: str, layers: Layers | None) -> list[str]:
    """Records of the jobs that ``what`` reaches directly; raises :class:`UserError` if unknown.

    Empty if no result depends on it.
    """
    path = Path(what)
    if path.name in LOCKS:  # any job may use any package
        return [place for place, node in graph.nodes.items() if node.data]
    for key, file in layers.registries.items() if layers else ():
        if path == Path(file):
            return users(graph, key, layers)
    names = [what]
    if path.exists():
        for base in (graph.base.resolve(), SOURCE.parent):
            if path.resolve().is_relative_to(base):
                names.append(path.resolve().relative_to(base).as_posix())
    for name in dict.fromkeys(reversed(names)):
        if found := readers(graph, name):
            return found
    if path.is_file() or what.partition(".")[0] in NOTHING:
        return []
    if found := users(graph, what, layers):
        return found
    if what in DECIDES or any(what.startswith(f"{key}.") for key in DECIDES):
        raise UserError(
            f"`{what}` decides which jobs there are, not what they make.",
            "Change it and see what would run with `snakemake --dry-run`.",
        )
    chosen = layers.chosen if layers else None
    known = {key for node in graph.nodes.values() if node.data for key in keys_of(node, chosen)}
    near = get_close_matches(what, sorted(known), n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "docs/configuration.md lists the keys."
    raise UserError(f"`{what}` is neither a file nor a key that reached a job.", hint)


def impact(graph: Graph, what: str, layers: Layers | None) -> list[Record]:
    """The jobs that would be rerun, makers first."""
    return graph.ahead(*directly_affected(graph, what, layers))


def numbers(nodes: Sequence[Record]) -> list[str]:
    """Files of these jobs that hold numbers."""
    return [file.path for node in nodes for name in NUMBERS for file in node.outputs.get(name, [])]


def _text(what: str, direct: int, nodes: Sequence[Record], full: bool) -> Iterator[str]:
    if not nodes:
        yield f"{what}: no result depends on it."
        return
    time = duration(seconds(nodes))
    yield (
        f"{what} reaches {plural(direct, 'job')} at once; "
        f"{plural(len(nodes), 'job')} would be made again ({time} last time):"
    )
    stages: dict[str, list[str]] = {}
    for node in nodes:
        stages.setdefault(node.stage, []).append(node.instance)
    for stage in (stage for stage in STAGES if stage in stages):
        instances = sorted(stages[stage])
        most = len(instances) if full else 3
        yield f"  {stage:<24} {len(instances):>3}   {few(instances, most)}".rstrip()
    yield ""
    scores: dict[str, list[str]] = {}
    for node in nodes:
        if node.stage == "xtreme_score":
            task, _, model = node.instance.partition("/")
            scores.setdefault(task, []).append(model)
    if scores:
        yield "numbers that may change:"
    for task, models in scores.items():
        yield f"  xtreme/{task}: {few(models, len(models) if full else 4)}"
    others = [path for path in numbers(nodes) if "/xtreme_score/" not in path]
    yield from (f"  {path}" for path in (others if full else others[:6]))
    if len(others) > 6 and not full:
        yield f"  and {len(others) - 6} files more; `--full` lists them"


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m impact`; returns the exit status."""
    parser = argument_parser("ernie-m impact", __doc__)
    parser.add_argument("what", metavar="WHAT", help="file or key")
    parser.add_argument("--run", default="default", help="name of the run (default: default)")
    add_configuration(parser)
    parser.add_argument("--full", action="store_true", help="list every job")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    layers = layers_for(args.run, args.configfile)
    graph = read_graph(Path.cwd(), args.run)
    direct = directly_affected(graph, args.what, layers)
    nodes = graph.ahead(*direct)
    if args.json:
        jobs = [{"job": node.job, "stage": node.stage, "record": node.path} for node in nodes]
        found = {"what": args.what, "jobs": jobs, "numbers": numbers(nodes)}
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_text(args.what, len(direct), nodes, args.full)))
    return 0
