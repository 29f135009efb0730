"""The drawing of the pipeline, made from the records: which stage read whose files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise, permutations

import networkx

from ernie_m.report.svg import Drawing

Edge = tuple[str, str]
WIDTH, NODE_WIDTH, NODE_HEIGHT, LAYER, LANE = 380, 156, 36, 62, 26
SWEEPS, MOST_TRIED = 24, 6
ABREAST = 2  # stages side by side that are still legible on a phone
ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 1L7 4L0 7z" class="arrow-head"/></marker></defs>'
)


def reduced(edges: set[Edge]) -> set[Edge]:
    """Edges that no longer path implies (transitive reduction)."""
    return set(networkx.transitive_reduction(networkx.DiGraph(sorted(edges))).edges)


def layers(edges: set[Edge]) -> dict[str, int]:
    """Depth of each stage, as deep as its readers allow, so that side branches are short."""
    upwards = networkx.DiGraph((reader, maker) for maker, reader in edges)
    rows = [*networkx.topological_generations(upwards)]
    return {stage: depth for depth, row in enumerate(reversed(rows)) for stage in row}


def in_order(edges: set[Edge], stages: Iterable[str]) -> list[str]:
    """``stages`` in pipeline order."""
    depth = layers(edges)
    return sorted(stages, key=lambda stage: (depth.get(stage, 0), stage))


def _eased(depth: dict[str, int], edges: set[Edge]) -> dict[str, int]:
    """Depths with stages moved up from rows that are too full, where their makers allow it; those
    with the most makers first, because their arrows become shorter."""
    eased = dict(depth)
    for row in range(max(depth.values(), default=0), 0, -1):
        rows = Counter(eased.values())
        makers = {stage: [m for m, r in edges if r == stage] for stage in sorted(eased)}
        free = [
            stage
            for stage, own in makers.items()
            if eased[stage] == row and all(eased[maker] < row - 1 for maker in own)
        ]
        if free and rows[row] > ABREAST > rows[row - 1]:
            eased[max(free, key=lambda stage: len(makers[stage]))] -= 1
    return eased


def _routes(edges: set[Edge], depth: dict[str, int]) -> list[list[str]]:
    """Each edge as a chain with one point per layer; the points between have dummy names."""
    routes = []
    for maker, reader in sorted(edges):
        between = [f"{maker}>{reader}@{k}" for k in range(depth[maker] + 1, depth[reader])]
        routes.append([maker, *between, reader])
    return routes


def _width(point: str) -> float:
    return LANE if "@" in point else NODE_WIDTH + 12


def _crossings(route_steps: Iterable[tuple[str, str]], order: dict[str, int]) -> int:
    """Number of crossing pairs of arrows between neighbouring rows."""
    places = [(order[above], order[under]) for above, under in route_steps]
    return sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(places) for c, d in places[:i])


def _untangle(rows: list[list[str]], steps: list[list[tuple[str, str]]]) -> None:
    """Order each row so that few arrows cross; ``steps[k]`` lead from row k to row k + 1."""
    order = {point: index for row in rows for index, point in enumerate(row)}
    for sweep in range(4):
        for k in range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1):
            if len(rows[k]) > MOST_TRIED:
                continue
            near = [steps[j] for j in (k - 1, k) if 0 <= j < len(steps)]

            def cost(tried: tuple[str, ...], near: list = near) -> int:
                moved = {**order, **{point: index for index, point in enumerate(tried)}}
                return sum(_crossings(step, moved) for step in near)

            best = min(permutations(rows[k]), key=cost)
            rows[k] = list(best)
            order.update({point: index for index, point in enumerate(rows[k])})


def _spread(row: list[str], wanted: dict[str, float], width: float) -> dict[str, float]:
    """Centres in the order of ``row``, near the wanted ones, without overlap, inside the width.

    The mean of the placement pushed to the right and the one pushed to the left.
    """
    rightward, edge = {}, 0.0
    for point in row:
        rightward[point] = max(wanted[point], edge + _width(point) / 2)
        edge = rightward[point] + _width(point) / 2
    leftward, edge = {}, width
    for point in reversed(row):
        leftward[point] = min(wanted[point], edge - _width(point) / 2)
        edge = leftward[point] - _width(point) / 2
    placed, edge, rest = {}, 0.0, sum(map(_width, row))
    for point in row:
        rest -= _width(point)
        half = _width(point) / 2
        middle = (rightward[point] + leftward[point]) / 2
        placed[point] = min(max(middle, edge + half), width - rest - half)
        edge = placed[point] + half
    return placed


def _pull(one: str, other: str) -> float:
    """Weight of an edge: arrows that pass rows are straightened before others."""
    return (1.0, 3.0, 8.0)[("@" in one) + ("@" in other)]


def _places(
    rows: list[list[str]], steps: list[list[tuple[str, str]]], width: float
) -> dict[str, float]:
    """Horizontal centre of every point: each moves towards the mean of its neighbours."""
    pulls: dict[str, list[tuple[str, float]]] = {}
    for above, under in (step for between in steps for step in between):
        pulls.setdefault(above, []).append((under, _pull(above, under)))
        pulls.setdefault(under, []).append((above, _pull(above, under)))
    place = {
        point: width * (index + 0.5) / len(row) for row in rows for index, point in enumerate(row)
    }
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = {
                point: sum(place[other] * pull for other, pull in pulls[point])
                / sum(pull for _, pull in pulls[point])
                for point in row
            }
            place.update(_spread(row, wanted, width))
    return place


def _straighten(rows: list[list[str]], routes: list[list[str]], place: dict[str, float]) -> None:
    """Make an arrow that passes rows at their edge run straight down."""
    for points in (set(route[1:-1]) for route in routes):
        own = [row for row in rows if points & set(row)]
        for end, outermost in ((-1, max), (0, min)):
            if own and all(row[end] in points for row in own):
                line = outermost(place[point] for point in points)
                place.update(dict.fromkeys(points, line))


def picture(edges: set[Edge], notes: dict[str, str]) -> Drawing:
    """Stages as boxes with ``notes`` under their names, top to bottom; arrows follow the data.

    An arrow is left out if a longer path implies it.
    """
    kept = reduced(edges)
    depth = _eased(layers(kept), kept)
    routes = _routes(kept, depth)
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for stage in sorted(depth):
        rows[depth[stage]].append(stage)
    for route in routes:
        for index, point in enumerate(route[1:-1], start=depth[route[0]] + 1):
            rows[index].append(point)
    steps: list[list[tuple[str, str]]] = [[] for _ in rows[1:]]
    for route in routes:
        for index, step in enumerate(pairwise(route), start=depth[route[0]]):
            steps[index].append(step)
    _untangle(rows, steps)
    width = max([WIDTH, *(sum(map(_width, row)) for row in rows)])
    place = _places(rows, steps, width)
    _straighten(rows, routes, place)
    drawing = Drawing(width, max(1, len(rows)) * LAYER - (LAYER - NODE_HEIGHT) + 8, "Pipeline")
    drawing.parts.append(ARROW)

    def top(row: int) -> float:
        return row * LAYER + 4

    for route in routes:
        first = depth[route[0]]
        points = [(place[route[0]], top(first) + NODE_HEIGHT)]
        for row, point in enumerate(route[1:-1], start=first + 1):
            points += [(place[point], top(row)), (place[point], top(row) + NODE_HEIGHT)]
        points.append((place[route[-1]], top(depth[route[-1]]) - 1))
        drawing.parts.append(f'<g data-edge="{route[0]} {route[-1]}">')
        drawing.curve(points, "edge", "arrow")
        drawing.parts.append("</g>")
    for stage in sorted(depth):
        x, y = place[stage], top(depth[stage])
        phase = stage.split("_")[0]
        drawing.parts.append(f'<g data-stage="{stage}">')
        drawing.box((x - NODE_WIDTH / 2, y), NODE_WIDTH, NODE_HEIGHT, f"node phase-{phase}")
        drawing.text((x, y + 15), stage, "node-name", "middle")
        drawing.text((x, y + 29), notes.get(stage, ""), "tick", "middle")
        drawing.parts.append("</g>")
    return drawing
