"""Text from outside as it is written into Markdown: it is read as text, whatever it says."""

from __future__ import annotations

import re

from ernie_m.outside import one_line

_MEANT = re.compile(r"[\\`*_\[\]<>|&#!~$]|^[-+=](?=[-+= ])|(?<=^\d)[.)]")
_ADDRESS = re.compile(r"https?://[^\s\[\]<>|\\`*]+")


def words(text: str) -> str:
    """Text in one line, in which nothing is a link, a heading, code or the end of a cell."""
    return _MEANT.sub(r"\\\g<0>", one_line(" ".join(text.split())))


def code(text: str) -> str:
    """Text in one line, as code."""
    return "`" + one_line(text).replace("`", "'") + "`"


def address(text: str) -> str:
    """A web address, which is its own link; anything else as words."""
    told = one_line(text)
    return told if _ADDRESS.fullmatch(told) else words(text)
