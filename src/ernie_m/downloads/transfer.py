"""Fetch one large file over HTTP(S), resuming after network failures.

The bytes so far are in a part file, with the validator (ETag or date) of their version beside it.
The next try asks for the rest on condition that the version is unchanged (`If-Range`). A server
that ignores ranges, or has another version, sends the whole file again.

If only the head of a file is wanted, no more is requested, and anything beyond it is not read.
"""

from __future__ import annotations

import base64
import logging
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ernie_m.config.base import filled

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
# Worth a retry: timeouts, too many requests, and server errors.
_PASSING = {408, 425, 429}


class TransferError(Exception):
    """A failed fetch; ``final`` if retrying the same URL is useless, ``advanced`` if the part file
    has grown."""

    def __init__(self, reason: str, final: bool = False, advanced: bool = False) -> None:
        super().__init__(reason)
        self.final, self.advanced = final, advanced


def _validator(headers: Message) -> str:
    """Identifies this version of the file; a weak ETag (``W/``) may not be used for ranges."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _request(url: str, part: Path, note: Path, head: int | None) -> urllib.request.Request:
    """Request for the rest if there is a part file with a validator, else for the whole file."""
    request = _addressed(filled(url))
    place, _, validator = _note(note).partition("\n")
    known = part.is_file() and part.stat().st_size and place == url and validator
    start = part.stat().st_size if known else 0
    if start or head:
        request.add_header("Range", f"bytes={start}-{head - 1 if head else ''}")
    if start:
        request.add_header("If-Range", validator)
    return request


def _addressed(url: str) -> urllib.request.Request:
    """A request whose user and password are a header, which no other host is sent."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl() if at else url)
    if at:
        words = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {words}")
    return request


def _note(note: Path) -> str:
    return note.read_text(encoding="utf-8") if note.is_file() else ""


def _start(response: Any, request: urllib.request.Request, part: Path) -> int:
    """Offset of the arriving bytes: 0, or the end of the part file."""
    if response.status != 206:
        return 0
    start = request.get_header("Range", "").removeprefix("bytes=").partition("-")[0]
    if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise TransferError("the server sent another range than was asked for")
    return int(start)


def _total(response: Any, done: int, wanted: int | None, head: int | None) -> int | None:
    """Expected bytes: the whole file, or its head if that is shorter; None if the server does not
    state the file's length."""
    if head is None:
        return wanted if response.length is None else done + response.length
    whole = response.length
    if response.status == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        whole = int(size) if size.isdecimal() else None
    return head if whole is None else min(head, whole)


def _answer(request: urllib.request.Request, timeout: float) -> Any:
    with _network():
        return urllib.request.urlopen(request, timeout=timeout)


def _blocks(response: Any, most: int | None) -> Iterator[bytes]:
    """The body in blocks, up to ``most`` bytes."""
    with _network():
        # `read1`, so as not to lose the bytes that arrived before a stall.
        while block := response.read1(BLOCK if most is None else min(BLOCK, most)):
            yield block
            if most is not None and not (most := most - len(block)):
                return


@contextmanager
def _network() -> Iterator[None]:
    """Separate network errors, such as a lost route or broken TLS, from disk errors."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        raise ConnectionError(str(error) or "timed out") from None


def transfer(
    url: str,
    part: Path,
    wanted: int | None,
    timeout: float,
    tell: Callable,
    head: int | None = None,
) -> None:
    """Bring ``part`` to the whole file at ``url``, ``wanted`` bytes where that is known; or to its
    first ``head`` bytes, where it has more.

    Calls ``tell(done, total)`` after each block; raises :class:`TransferError`.
    """
    note = part.with_name(part.name + ".version")
    before, done = part.stat().st_size if part.is_file() else 0, 0
    if head and before == head:
        return  # complete, but not yet moved
    request = _request(url, part, note, head)
    try:
        with _answer(request, timeout) as response:
            done = _start(response, request, part)
            total = _total(response, done, wanted, head)
            if not done:  # first, or a kill in between would leave an old part with a new note
                part.unlink(missing_ok=True)
            note.write_text(f"{url}\n{_validator(response.headers)}", encoding="utf-8")
            with part.open("ab") as sink:
                for block in _blocks(response, None if head is None else head - done):
                    done += len(block)
                    if wanted is not None and done > wanted:
                        sink.truncate(0)
                        raise TransferError(f"more than {wanted:,} bytes came", final=True)
                    sink.write(block)
                    tell(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            if before and error.headers.get("Content-Range") == f"bytes */{before}":
                return  # nothing left to request
            part.unlink(missing_ok=True)  # the part is not a prefix of the server's file
        passing = error.code >= 500 or error.code in {416, *_PASSING}
        raise TransferError(str(error), final=not passing) from None
    except (HTTPException, ConnectionError) as error:
        raise TransferError(str(error), advanced=done > before) from None
    if total is not None and done < total:
        raise TransferError(f"only {done:,} of {total:,} bytes came", advanced=done > before)
    if wanted is not None and done < wanted:
        part.unlink()
        raise TransferError(f"only {done:,} of {wanted:,} bytes came", final=True)
