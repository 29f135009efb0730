"""Draw the jobs behind a result, or those that used it: as a tree, as Mermaid, or as data.

WHAT is as for `ernie-m audit`. Jobs of one stage are one node; `--full` draws each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ernie_m.arguments import argument_parser
from ernie_m.audit.command import add_cell
from ernie_m.audit.facts import chain_at
from ernie_m.audit.locate import Cell, locate
from ernie_m.records.graph import Graph, read_graph
from ernie_m.records.record import Record

Edges = dict[str, list[str]]  # node -> the nodes that it comes from


def related(graph: Graph, start: str, ahead: bool) -> Graph:
    """The part of a graph behind the job with record ``start``, or ahead of it."""
    nodes = graph.ahead(start) if ahead else graph.behind(start)
    return Graph(graph.base, {node.path: node for node in nodes}, graph.made_by)


def drawn(graph: Graph, full: bool) -> tuple[dict[str, str], Edges]:
    """Labels of the nodes to draw, and for each node those that it comes from."""

    def name(node: Record) -> str:
        return node.job if full or not node.data else node.stage

    groups: dict[str, list[Record]] = {}
    edges: Edges = {}
    for node in graph.nodes.values():
        groups.setdefault(name(node), []).append(node)
        own = edges.setdefault(name(node), [])
        for source in (graph.nodes[path] for path in graph.sources(node) if path in graph.nodes):
            if name(source) not in own:
                own.append(name(source))
    labels = {
        key: nodes[0].job if len(nodes) == 1 else f"{key} ({len(nodes)} jobs)"
        for key, nodes in groups.items()
    }
    return labels, edges


def reversed_edges(edges: Edges) -> Edges:
    """All edges reversed."""
    found: Edges = {key: [] for key in edges}
    for reader, makers in edges.items():
        for one in makers:
            found[one].append(reader)
    return found


def tree(start: str, labels: Mapping[str, str], edges: Edges) -> Iterator[str]:
    """The graph from ``start`` on as a tree; a node that was already drawn is only named."""
    seen: set[str] = set()

    def branch(key: str, head: str, rest: str) -> Iterator[str]:
        again = key in seen and bool(edges[key])
        yield f"{head}{labels[key]}{' (above)' if again else ''}"
        if again:
            return
        seen.add(key)
        for index, other in enumerate(edges[key]):
            last = index == len(edges[key]) - 1
            yield from branch(
                other, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
            )

    return branch(start, "", "")


def mermaid(labels: Mapping[str, str], edges: Edges) -> Iterator[str]:
    """The graph in Mermaid syntax, sources first."""
    ids = {key: f"n{index}" for index, key in enumerate(labels)}
    yield "flowchart LR"
    yield from (f'  {ids[key]}["{label}"]' for key, label in labels.items())
    for reader, makers in edges.items():
        yield from (f"  {ids[one]} --> {ids[reader]}" for one in makers)


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m trace`; returns the exit status."""
    parser = argument_parser("ernie-m trace", __doc__)
    parser.add_argument("what", metavar="WHAT", help="a result")
    add_cell(parser)
    parser.add_argument("--ahead", action="store_true", help="what was made of it instead")
    parser.add_argument("--full", action="store_true", help="every job by itself")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--mermaid", action="store_true", help="as Mermaid, for Markdown")
    how.add_argument("--json", action="store_true", help="nodes and edges as data")
    args = parser.parse_args(arguments)
    place = locate(args.what, Cell(args.run, args.variant, args.stage, args.seed))
    start = chain_at(place).nodes[0].path
    graph = related(read_graph(place.base), start, args.ahead)
    if args.json:
        print(json.dumps(graph.data(), indent=1, ensure_ascii=False))
        return 0
    labels, edges = drawn(graph, args.full)
    node = graph.nodes[start]
    if args.mermaid:
        print("\n".join(mermaid(labels, edges)))
    else:
        first = node.job if args.full else node.stage
        print("\n".join(tree(first, labels, reversed_edges(edges) if args.ahead else edges)))
    return 0
