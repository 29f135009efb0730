"""Text from outside, fit to be shown or kept: no secret in it, and no character that lies.

What a registry, a record, a file name or another program says goes through :func:`shown` before a
person sees it. Secrets stay in the environment: a configuration names them as ``${NAME}``, and
:func:`secret` gives the value to what connects, at the last moment.
"""

from __future__ import annotations

import os
import re

# A value from the environment, in an address of the configuration.
VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
HIDDEN = "***"
# What a terminal obeys, and what reverses the order of letters; a line may end and have tabs. In
# JSON, where they are allowed only within strings, what stands for them is an escape too.
_OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_WORDS = (
    r"token(?!i[sz])|secret|passw(?:or)?d|credential|signature|"
    r"(?:api|access|private|account)[-_.]?key|authori[sz]ation"
)
_NAMED = re.compile(_WORDS, re.IGNORECASE)
_QUERY = re.compile(
    rf"([?&;](?:[\w.-]*(?:{_WORDS})[\w.-]*|auth|jwt|key|pass|pwd|sig)=)"
    r"(\$\{\w+\}|[^\s&;#\"'<>{}]+)",
    re.IGNORECASE,
)
_USER = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s/?#\"'<>]*)@", re.IGNORECASE)
_SHORTEST = 6  # characters of a value in the environment; a shorter one is anywhere by chance
_asked: set[str] = set()


def shown(text: str) -> str:
    """``text`` without secrets, and with control characters and marks of direction visible, as
    ``\\u001b``; lines may end."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", redacted(text))


def one_line(text: str) -> str:
    """The same with line ends visible too."""
    return shown(text).replace("\n", "\\n")


def redacted(text: str) -> str:
    """``text`` without passwords and tokens: in addresses, and the values of the environment's
    variables that are called so or were asked for by :func:`secret`."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and value in text and (name in _asked or _NAMED.search(name)):
            text = text.replace(value, HIDDEN)
    if "://" in text:
        text = _USER.sub(_user, text)
    return _QUERY.sub(_query, text)


def _user(found: re.Match[str]) -> str:
    scheme, who = found.groups()
    user, _, password = who.partition(":")
    web = scheme.lower() in ("http", "https")  # there, a user alone may be a token
    kept = _open(password or (user if web else ""))
    return found[0] if kept else f"{scheme}://{HIDDEN}@"


def _query(found: re.Match[str]) -> str:
    return found[0] if _open(found[2]) else f"{found[1]}{HIDDEN}"


def _open(part: str) -> bool:
    """Whether a part of an address tells no secret: it is empty, hidden, or names a variable."""
    return part in ("", HIDDEN) or VARIABLE.fullmatch(part) is not None


def secret(name: str) -> str | None:
    """The value of a variable of the environment, None if it is not set; :func:`redacted` hides it
    from then on."""
    _asked.add(name)
    return os.environ.get(name)
