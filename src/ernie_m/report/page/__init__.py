"""The page: its template, and how values are put there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ernie_m.marks import MARK, MARKS
from ernie_m.report import svg
from ernie_m.report.figures import points
from ernie_m.words import count, duration, percent, size

FOLDER = Path(__file__).parent


def shown(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def prose(words: str) -> Markup:
    """Text with `names` between backticks set as code and marks explained, all else escaped."""
    parts = words.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else marked(part)
        for index, part in enumerate(parts)
    )


def marked(words: str) -> Markup:
    """Escaped text, in which a mark of :mod:`ernie_m.marks` says on pointing what it means."""
    explained = '<abbr title="{}">{}</abbr>'
    return Markup(
        MARK.sub(lambda found: explained.format(MARKS[found[1]], found[0]), str(escape(words)))
    )


def link(path: str, page: Path) -> str:
    """A file as seen from the page's folder, so that the results folder can be moved."""
    return Path(os.path.relpath(path, page.parent)).as_posix()


FILTERS = {
    "count": count,
    "duration": duration,
    "size": size,
    "percent": percent,
    "points": points,
    "shown": shown,
    "prose": prose,
    "marked": marked,
}


def render(context: dict[str, Any]) -> str:
    """The page as text; whatever comes from data is escaped."""
    environment = Environment(
        loader=FileSystemLoader([FOLDER, svg.FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("template.html").render(context)
