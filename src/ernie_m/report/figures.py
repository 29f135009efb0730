"""The report's charts. Each makes one point, with labels at the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ernie_m.report.scores import STAGES, Row, Table
from ernie_m.report.svg import Axes, Drawing, apart, tick_text, ticks

PANEL = (360, 220)
MOST_TICKS = 6
Values = dict[str, float]


def points(value: float) -> str:
    """A score (in percent) with one decimal, as XTREME prints it."""
    return f"{value:.1f}"


def steps(table: Table) -> Drawing:
    """Average score after each stage of pre-training, languages faint, baselines dashed."""
    drawing = Drawing(
        *PANEL, f"{table.title}: average {table.metric_name} in percent, by step of pre-training"
    )
    rows = [row for row in table.stages if row.average]
    baselines = [row for row in table.baselines if row.average]
    values = [cell.value for row in [*rows, *baselines] for cell in row.cells.values()]
    top = min(100.0, 1.06 * max([*values, 5.0]))
    longest = max((len(row.label) for row in baselines), default=0)
    room = min(150, 42 + 5.6 * longest) if baselines else 16
    axes = Axes(drawing, (-0.25, max(1, len(rows) - 1) + 0.25), (0, top), (18, room, 26, 26))
    axes.y_grid()
    _dashed(axes, baselines)
    drawing.key("thin faint", "single languages")
    for language in table.languages:
        line = [
            axes.at(place, row.cells[language].value)
            for place, row in enumerate(rows)
            if language in row.cells
        ]
        drawing.polyline(line, "thin faint")
    averages = [axes.at(place, _mean(row)) for place, row in enumerate(rows)]
    drawing.polyline(averages, "line quiet")
    for row, (x, y) in zip(rows, averages, strict=True):
        tone = f"tone-{row.stage}"
        drawing.circle((x, y), 5, f"dot {tone}", f"{row.label}: {points(_mean(row))}")
        drawing.text((x, y - 10), points(_mean(row)), f"value {tone}", "middle")
        drawing.text((x, axes.bottom + 17), row.label, "label", "middle")
    return drawing


def _mean(row: Row) -> float:
    return row.average.value if row.average else 0.0


def _dashed(axes: Axes, baselines: Sequence[Row]) -> None:
    """Baselines as dashed lines with names at the right, moved apart where they would overlap."""
    if baselines:
        axes.drawing.key("dashed", "baselines without a model")
    heights = [axes.at_y(_mean(row)) for row in baselines]
    labels = apart(heights, 12, axes.top + 4, axes.bottom)
    for row, y, label in zip(baselines, heights, labels, strict=True):
        axes.drawing.line((axes.left, y), (axes.right, y), "dashed")
        axes.drawing.line((axes.right, y), (axes.right + 6, label), "lead")
        words = f"{points(_mean(row))} {row.label}"
        axes.drawing.text((axes.right + 8, label + 3.5), words, "tick")


def layers(
    task: str, averages: dict[str, list[float]], used: int, names: Mapping[str, str]
) -> Drawing:
    """Retrieval by hidden state, a line for each stage of pre-training (``averages`` by stage,
    ``names`` in words), with a mark at the state that the scores use."""
    drawing = Drawing(*PANEL, f"{task}: average accuracy in percent, by layer")
    drawing.key("boundary", "the layer that the scores are from")
    last = max(1, max(len(line) for line in averages.values()) - 1)
    top = min(100.0, 1.06 * max(5.0, *(value for line in averages.values() for value in line)))
    axes = Axes(drawing, (-0.25, last + 0.25), (0, top), (18, 76, 30, 26))
    axes.y_grid()
    x = axes.at_x(used)
    drawing.line((x, axes.top - 6), (x, axes.bottom), "boundary")
    for layer in ticks(0, last, last if last <= MOST_TICKS else MOST_TICKS):
        words = "embeddings" if layer == 0 else tick_text(layer)
        drawing.text((axes.at_x(layer), axes.bottom + 16), words, "tick", "middle")
    ends = {stage: axes.at_y(line[-1]) for stage, line in averages.items()}
    heights = apart(list(ends.values()), 12, axes.top + 4, axes.bottom)
    for (stage, line), height in zip(averages.items(), heights, strict=True):
        tone = f"tone-{stage}"
        places = [axes.at(layer, value) for layer, value in enumerate(line)]
        drawing.polyline(places, f"line {tone}")
        for layer, (value, place) in enumerate(zip(line, places, strict=True)):
            drawing.circle(place, 3.5, f"dot {tone}", f"layer {layer}: {points(value)}")
        drawing.text((axes.right + 8, height + 4), names[stage], f"value {tone}")
    return drawing


@dataclass(frozen=True)
class Curve:
    """Losses in one training stage; ``tokens`` are counted from the start of pre-training.

    ``train`` and ``valid`` are (tokens, nats), oldest first.
    """

    stage: str
    start: float
    end: float
    train: list[tuple[float, float]]
    valid: list[tuple[float, float]]


def losses(objective: str, curves: Sequence[Curve], unigram: float | None) -> Drawing:
    """Training (thin) and validation (thick) loss of one objective over tokens.

    The dashed line is the loss of word frequencies alone: below it something was learnt.
    """
    drawing = Drawing(*PANEL, f"{objective.upper()}: loss in nats over training tokens")
    scale = 1e6 if max(curve.end for curve in curves) >= 1e6 else 1e3
    end = max(curve.end for curve in curves) / scale
    axes = Axes(drawing, (0, end), _span(curves, unigram), (16, 44, 26, 30))
    axes.y_grid()
    axes.x_numbers("M tokens" if scale == 1e6 else "k tokens")
    if unigram is not None:
        y = axes.at_y(unigram)
        drawing.line((axes.left, y), (axes.right, y), "dashed")
        drawing.text((axes.right, y - 5), f"unigram {unigram:.2f}", "tick halo", "end")
    for curve in curves:
        if curve.start:
            x = axes.at_x(curve.start / scale)
            drawing.line((x, axes.top - 6), (x, axes.bottom), "boundary")
    for curve in curves:
        _losses_of_stage(axes, curve, scale)
    return drawing


def _span(curves: Sequence[Curve], unigram: float | None) -> tuple[float, float]:
    """Range of losses to show: all, but for a model that got below the unigram level only a little
    above it, or the drop at the start would flatten everything that matters."""
    shown = [value for curve in curves for _, value in [*curve.train, *curve.valid]]
    low, high = min(shown), max(shown)
    if unigram is not None:
        if low < unigram:
            high = unigram + 0.35 * (unigram - low)
        low = min(low, unigram)
    spare = 0.1 * ((high - low) or 1)
    return max(0.0, low - spare), high + 0.4 * spare


def _below(series: Sequence[tuple[float, float]], high: float) -> list[tuple[float, float]]:
    """The points from where the line first falls below ``high``, including that crossing."""
    for index, (x, y) in enumerate(series):
        if y <= high:
            if index == 0:
                return list(series)
            before_x, before_y = series[index - 1]
            share = (before_y - high) / (before_y - y)
            return [(before_x + share * (x - before_x), high), *series[index:]]
    return []


def _losses_of_stage(axes: Axes, curve: Curve, scale: float) -> None:
    tone = f"tone-{curve.stage}"
    axes.drawing.key(f"line {tone}", f"validation, {STAGES[curve.stage]}")
    axes.drawing.key(f"thin {tone}", f"training, {STAGES[curve.stage]}")
    for series, style in ((curve.train, "thin"), (curve.valid, "line")):
        shown = _below(series, axes.y_range[1])
        inside = [axes.at(tokens / scale, nats) for tokens, nats in shown]
        if len(inside) > 1:
            axes.drawing.polyline(inside, f"{style} {tone}")
    if not curve.valid:
        return
    tokens, nats = curve.valid[-1]
    x, y = axes.at(tokens / scale, nats)
    axes.drawing.circle((x, y), 3.5, f"dot {tone}", f"{nats:.3f} nats")
    last = curve.end / scale >= axes.x_range[1] * 0.999
    place = (x + 7, y + 4) if last else (x, y - 8)
    axes.drawing.text(place, f"{nats:.2f}", f"value {tone}", "start" if last else "middle")


def by_language(
    objective: str, names: Sequence[str], finals: dict[str, Values], unigram: Values
) -> Drawing:
    """Validation loss of each language or pair after each stage, beside its unigram level."""
    title = f"{objective.upper()}: validation loss by language"
    own = {stage: f"after {STAGES[stage]}" for stage in finals}
    level = "unigram level of the language"
    return dots(title, "nats", names, finals, own, unigram, level, digits=3)


def dots(
    title: str,
    unit: str,
    names: Sequence[str],
    series: dict[str, Values],
    labels: Mapping[str, str],
    marks: Values,
    mark: str,
    digits: int = 1,
) -> Drawing:
    """A row for each name, with a dot for each stage of ``series`` and a vertical mark; the legend
    has ``labels`` and ``mark``."""
    row = 20
    drawing = Drawing(PANEL[0], 34 + row * len(names), title)
    every = [*marks.values(), *(value for values in series.values() for value in values.values())]
    spare = 0.06 * ((max(every) - min(every)) or 1)
    span = (min(every) - spare, max(every) + spare)
    room = max(58, 22 + 5.6 * max(map(len, names)))
    axes = Axes(drawing, span, (0, 1), (6, 20, 28, room))
    axes.x_numbers(unit)
    for stage in series:
        drawing.key(f"dot tone-{stage}", labels[stage])
    if marks:
        drawing.key("tick-mark", mark)
    for place, name in enumerate(names):
        y = axes.top + row * (place + 0.5)
        drawing.line((axes.left, y), (axes.right, y), "grid")
        drawing.text((axes.left - 8, y + 4), name, "label", "end")
        if name in marks:
            x = axes.at_x(marks[name])
            drawing.line((x, y - 6), (x, y + 6), "tick-mark")
        for stage, values in series.items():
            if name in values:
                tip = f"{name} after {stage}: {values[name]:.{digits}f} {unit}"
                drawing.circle((axes.at_x(values[name]), y), 4.5, f"dot tone-{stage}", tip)
    return drawing


ROW = 36  # of a forest plot
ABOVE, BELOW = 20, 30  # its rows
CLAIMED = 56  # width of the word at its side


def forest(rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """Effects of a claim in several scores of one unit, with intervals and verdicts."""
    drawing = Drawing(PANEL[0], _height(rows), rows[0]["claim"])
    _forest(drawing, rows, (0, 0))
    return drawing


def forests(claims: Sequence[Sequence[Mapping[str, Any]]], verdicts: Mapping[str, str]) -> Drawing:
    """All forest plots in two columns, under the ids of their claims; the legend has
    ``verdicts``."""
    gap, head = 24, 22
    bottoms, places = [8, 8], []
    for rows in claims:
        column = bottoms.index(min(bottoms))
        places.append((column * (PANEL[0] + gap), bottoms[column]))
        bottoms[column] += head + _height(rows) + gap
    drawing = Drawing(2 * PANEL[0] + gap, max(bottoms), "The paper's claims, judged by this run")
    for verdict, words in verdicts.items():
        drawing.key(f"dot tone-{verdict}", words)
    drawing.key("tick-mark", "the paper's effect, where it can be set beside")
    drawing.key("boundary", "what an effect has to lie beyond, on the claimed side")
    for rows, (left, top) in zip(claims, places, strict=True):
        words = f"{rows[0]['id'].replace('_', ' ')}, {rows[0]['unit']}"
        drawing.text((left, top + 12), words, "title")
        _forest(drawing, rows, (left, top + head))
    return drawing


def _height(rows: Sequence[Mapping[str, Any]]) -> int:
    return ABOVE + ROW * len(rows) + BELOW


def _forest(drawing: Drawing, rows: Sequence[Mapping[str, Any]], corner: tuple[int, int]) -> None:
    """A forest plot with its upper left corner at a place of a drawing."""
    left, top = corner
    names = ("low", "high", "mean", "paper", "beyond")
    every = [row[name] for row in rows for name in names if row[name] is not None]
    spare = 0.06 * ((max(every) - min(every)) or 1)
    room = left + max(58, 14 + 5.8 * max(len(row["score"]) for row in rows))
    right = drawing.width - left - PANEL[0] + 24
    bottom = drawing.height - top - _height(rows) + BELOW
    span = (min(every) - spare, max(every) + spare)
    axes = Axes(drawing, span, (0, 1), (top + ABOVE, right, bottom, room))
    axes.x_numbers("", 3)
    x = axes.at_x(rows[0]["beyond"])
    drawing.line((x, axes.top - 4), (x, axes.bottom), "boundary")
    if rows[0]["direction"] == "higher":
        place = min(x + 3, left + PANEL[0] - CLAIMED)
        drawing.text((place, axes.top - 8), "claimed \u2192", "tick")
    else:
        place = max(x - 3, left + CLAIMED)
        drawing.text((place, axes.top - 8), "\u2190 claimed", "tick", "end")
    for place, row in enumerate(rows):
        _effect(axes, row, axes.top + ROW * place + 11, left)


def _effect(axes: Axes, row: Mapping[str, Any], y: float, left: float) -> None:
    drawing = axes.drawing
    tone = f"tone-{row['verdict'] if row['verdict'] != 'none' else 'undecided'}"
    drawing.text((left, y + 4), row["score"], "label")
    drawing.line((axes.left, y), (axes.right, y), "grid")
    if row["low"] is not None:
        drawing.line((axes.at_x(row["low"]), y), (axes.at_x(row["high"]), y), f"line {tone}")
    if row["paper"] is not None:
        x = axes.at_x(row["paper"])
        drawing.line((x, y - 7), (x, y + 7), "tick-mark")
    tip = f"{row['score']}: {row['mean']:+.3g} {row['unit']}, {row['words']}"
    drawing.circle((axes.at_x(row["mean"]), y), 4.5, f"dot {tone}", tip)
    drawing.text((axes.left, y + 18), row["words"], "tick halo")
