"""Small drawings as text: no fonts, scripts or files from elsewhere, and the same bytes each time.

In a page, colours are those of ``figure.css`` (``tone-...`` classes set ``currentColor``), so that
a figure follows the reader's light or dark setting. A figure is about as wide as a phone, and sets
stand side by side where there is room. As a file it is light, and brings its title and its key.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from html import escape
from pathlib import Path

from markupsafe import Markup

from ernie_m.outside import one_line

Point = tuple[float, float]
FOLDER = Path(__file__).parent
STYLE = (FOLDER / "figure.css").read_text(encoding="utf-8")
LIGHT = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", STYLE.partition("@media")[0]))
PADDING, LINE, LETTER = 10, 16, 7.4  # of a file, around a drawing and in its title


def number(value: float) -> str:
    """A coordinate with one decimal and no trailing zero."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _text(words: str) -> str:
    """Words as XML: of what a terminal obeys, most may not be in it at all."""
    return escape(one_line(words))


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A tick's number without needless zeros."""
    return f"{value:g}"


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least ``gap`` apart, as near to ``wanted`` as order and bounds allow."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    floor = low
    for index in order:
        placed[index] = floor = max(wanted[index], floor)
        floor += gap
    ceiling = high
    for index in reversed(order):
        placed[index] = ceiling = min(placed[index], ceiling)
        ceiling -= gap
    return placed


class Drawing:
    """Collects shapes; coordinates are pixels of a ``width`` x ``height`` picture."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width = width
        self.height = height
        self.title = title
        self.parts: list[str] = []
        self.keys: list[tuple[str, str]] = []

    def key(self, style: str, words: str) -> None:
        """What a style means, for a reader who has the figure without the page."""
        if (style, words) not in self.keys:
            self.keys.append((style, words))

    def line(self, start: Point, end: Point, style: str) -> None:
        """A straight line."""
        x1, y1, x2, y2 = map(number, (*start, *end))
        self.parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{style}"/>')

    def polyline(self, points: Sequence[Point], style: str) -> None:
        """Straight lines through ``points``."""
        text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.parts.append(f'<polyline points="{text}" class="{style}"/>')

    def curve(self, points: Sequence[Point], style: str, marker: str = "") -> None:
        """A smooth way down through ``points``, vertical at each."""
        (x, y), *rest = points
        text = f"M{number(x)} {number(y)}"
        for next_x, next_y in rest:
            bend = (y + next_y) / 2
            text += " C" + " ".join(map(number, (x, bend, next_x, bend, next_x, next_y)))
            x, y = next_x, next_y
        end = f' marker-end="url(#{marker})"' if marker else ""
        self.parts.append(f'<path d="{text}" class="{style}"{end}/>')

    def circle(self, centre: Point, radius: float, style: str, tip: str = "") -> None:
        """A dot, with ``tip`` shown when it is pointed at."""
        x, y = map(number, centre)
        inner = f"<title>{_text(tip)}</title>" if tip else ""
        self.parts.append(
            f'<circle cx="{x}" cy="{y}" r="{number(radius)}" class="{style}">{inner}</circle>'
        )

    def box(self, corner: Point, width: float, height: float, style: str) -> None:
        """A rectangle with round corners."""
        x, y = map(number, corner)
        size = f'width="{number(width)}" height="{number(height)}"'
        self.parts.append(f'<rect x="{x}" y="{y}" {size} rx="5" class="{style}"/>')

    def cell(self, corner: Point, side: float, shade: float, tip: str) -> None:
        """A square, the darker the nearer ``shade`` is to 1, with a ``tip`` as a circle has."""
        x, y = map(number, corner)
        size = f'width="{number(side)}" height="{number(side)}"'
        self.parts.append(
            f'<rect x="{x}" y="{y}" {size} class="cell" fill-opacity="{max(0.0, shade):.2f}">'
            f"<title>{_text(tip)}</title></rect>"
        )

    def text(
        self,
        place: Point,
        words: str,
        style: str = "label",
        anchor: str = "start",
        turned: float = 0.0,
    ) -> None:
        """Words whose baseline starts, is centred, or ends at ``place``, ``turned`` there by
        so many degrees."""
        x, y = map(number, place)
        turn = f' transform="rotate({number(turned)} {x} {y})"' if turned else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}"{turn}>'
            f"{_text(words)}</text>"
        )

    def _svg(self, head: str, inside: str, height: float, padding: float = 0.0) -> str:
        size = f"{number(self.width + 2 * padding)} {number(height + 2 * padding)}"
        return (
            f'<svg {head}viewBox="0 0 {size}" role="img" aria-label="{_text(self.title)}">\n'
            f"{inside}\n</svg>"
        )

    def __html__(self) -> Markup:
        """The SVG as part of a page, which has the styles."""
        return Markup(self._svg("", "\n".join(self.parts), self.height))

    def file(self) -> str:
        """The SVG as a file of its own: on white, colours as plain values, which programs for print
        need, the title above and the key below."""
        title = textwrap.wrap(self.title, max(20, int(self.width / LETTER)), break_on_hyphens=False)
        top = len(title) * LINE
        height = top + self.height + len(self.keys) * LINE
        around = Drawing(self.width, height, self.title)
        for index, words in enumerate(title):
            around.text((0, (index + 0.7) * LINE), words, "title")
        for index, (style, words) in enumerate(self.keys):
            y = top + self.height + (index + 0.5) * LINE
            if style.startswith("dot"):
                around.circle((9, y), 4, style)
            elif style == "tick-mark":
                around.line((9, y - 6), (9, y + 6), style)
            else:
                around.line((0, y), (18, y), style)
            around.text((26, y + 4), words, "tick")
        style = re.sub(r"var\(--([a-z]+)\)", lambda found: LIGHT[found[1]], STYLE)
        style = style[style.index("/* figures */") :]
        width, whole = (number(side + 2 * PADDING) for side in (self.width, height))
        head = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{whole}" '
        inside = [
            f'<style>\n{style}</style>\n<rect width="100%" height="100%" fill="{LIGHT["card"]}"/>',
            f'<g transform="translate({PADDING} {PADDING})">',
            f'<g transform="translate(0 {top})">',
            *self.parts,
            "</g>",
            *around.parts,
            "</g>",
        ]
        return self._svg(head, "\n".join(inside), height, PADDING) + "\n"


def blank(title: str) -> Drawing:
    """A figure of what a run has no numbers for."""
    drawing = Drawing(360, 40, title)
    drawing.text((0, 24), "This run has no numbers for it.", "tick")
    return drawing


class Axes:
    """The frame of a chart: maps values to pixels, draws grid and tick numbers."""

    def __init__(
        self,
        drawing: Drawing,
        x: tuple[float, float],
        y: tuple[float, float],
        margin: tuple[float, float, float, float],
    ) -> None:
        top, right, bottom, left = margin
        self.drawing = drawing
        self.x_range, self.y_range = x, y
        self.left, self.right = left, drawing.width - right
        self.top, self.bottom = top, drawing.height - bottom

    def at_x(self, value: float) -> float:
        """Pixel of an x value."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        """Pixel of a y value, kept inside the frame."""
        low, high = self.y_range
        share = min(1.0, max(0.0, (value - low) / ((high - low) or 1)))
        return self.bottom - share * (self.bottom - self.top)

    def at(self, x: float, y: float) -> Point:
        """Pixels of a point."""
        return self.at_x(x), self.at_y(y)

    def y_grid(self, count: int = 4) -> None:
        """Horizontal lines with their numbers."""
        for value in ticks(*self.y_range, count):
            y = self.at_y(value)
            self.drawing.line((self.left, y), (self.right, y), "grid")
            self.drawing.text((self.left - 6, y + 3.5), tick_text(value), "tick", "end")

    def x_numbers(self, unit: str, count: int = 4) -> None:
        """Numbers below the frame, the last one with its unit, if there is one."""
        values = ticks(*self.x_range, count)
        for value in values:
            words = tick_text(value) + (f" {unit}" if unit and value == values[-1] else "")
            self.drawing.text((self.at_x(value), self.bottom + 16), words, "tick", "middle")
