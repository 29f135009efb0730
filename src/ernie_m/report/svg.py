"""Small drawings as text: no fonts, scripts or files from elsewhere, and the same bytes each time.

Colours are the page's (``tone-...`` classes set ``currentColor``), so that a figure follows the
reader's light or dark setting. A figure is about as wide as a phone, and sets stand side by side
where there is room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate with one decimal and no trailing zero."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


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
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<circle cx="{x}" cy="{y}" r="{number(radius)}" class="{style}">{inner}</circle>'
        )

    def box(self, corner: Point, width: float, height: float, style: str) -> None:
        """A rectangle with round corners."""
        x, y = map(number, corner)
        size = f'width="{number(width)}" height="{number(height)}"'
        self.parts.append(f'<rect x="{x}" y="{y}" {size} rx="5" class="{style}"/>')

    def text(self, place: Point, words: str, style: str = "label", anchor: str = "start") -> None:
        """Words whose baseline starts, is centred, or ends at ``place``."""
        x, y = map(number, place)
        self.parts.append(
            f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def render(self) -> Markup:
        """The finished SVG."""
        size = f"0 0 {number(self.width)} {number(self.height)}"
        inside = "\n".join(self.parts)
        return Markup(
            f'<svg viewBox="{size}" role="img" aria-label="{escape(self.title)}">\n{inside}\n</svg>'
        )


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
        """Numbers below the frame, the last one with its unit."""
        values = ticks(*self.x_range, count)
        for value in values:
            words = tick_text(value) + (f" {unit}" if value == values[-1] else "")
            self.drawing.text((self.at_x(value), self.bottom + 16), words, "tick", "middle")
