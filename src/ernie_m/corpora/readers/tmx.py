"""TMX, the exchange format of translation memories: ``<tu><tuv xml:lang="en"><seg>...``.

Parsed event by event, so files may be of any size. Text in inline codes (``<bpt>``, ``<ph>`` ...)
is mark-up of the original document and is left out; ``<hi>`` holds words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ernie_m.corpora.readers import streams
from ernie_m.errors import UserError

_BLOCK = 1 << 16
_CODES = {"bpt", "ept", "it", "ph", "ut"}


class _Units:
    """Parser handlers that collect finished translation units."""

    def __init__(self) -> None:
        self.finished: list[dict[str, str]] = []
        self._unit: dict[str, str] = {}
        self._language = ""
        self._text: list[str] | None = None
        self._codes = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "tu":
            self._unit = {}
        elif tag == "tuv":
            # Version 1.1 wrote `lang`; a region (en-GB) is the same language here.
            name = attributes.get("xml:lang") or attributes.get("lang", "")
            self._language = name.lower().partition("-")[0]
        elif tag == "seg":
            self._text = []
        elif tag in _CODES:
            self._codes += 1

    def characters(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if tag in _CODES:
            self._codes -= 1
        elif tag == "seg" and self._text is not None:
            self._unit.setdefault(self._language, "".join(self._text))
            self._text = None
        elif tag == "tu":
            self.finished.append(self._unit)


def _refuse(*_: Any) -> None:
    raise ValueError("it declares entities, which no translation memory needs")


def _parser(units: _Units) -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = units.start
    parser.EndElementHandler = units.end
    parser.CharacterDataHandler = units.characters
    parser.EntityDeclHandler = _refuse  # they can expand without bound, or read other files
    return parser


def read(path: Path, languages: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """("", one text per language) of every unit that has all ``languages``; raises
    :class:`UserError` for a file that is not TMX."""
    units = _Units()
    parser = _parser(units)
    since = 0  # bytes since the last unit ended, which the parser buffers
    with streams.unpacked(path) as stream:
        while True:
            block = stream.read(_BLOCK)
            since += len(block)
            try:
                if since > streams.MAX_LINE_BYTES:
                    raise ValueError(f"a unit is longer than {streams.MAX_LINE_BYTES:,} bytes")
                parser.Parse(block, not block)
            except (expat.ExpatError, ValueError, LookupError) as error:
                raise UserError(
                    f"{path} is not a TMX file that can be read: {error}.",
                    "Fetch it again, or correct `format` in the registry row.",
                ) from None
            if units.finished:
                since = 0
            for unit in units.finished:
                if all(code in unit for code in languages):
                    yield "", tuple(unit[code] for code in languages)
            units.finished.clear()
            if not block:
                return
