"""One file over HTTP(S) that may be large and a network that may fail: resume, do not start again.

What has arrived lies in a part file, with the validator (ETag, or date) of the version it is of.
The next try asks for the rest on condition that the version is still that one (`If-Range`). A
server that ignores ranges, or has another version, sends the whole file again.

Where only the head of a file is wanted, no more is asked for, and what a server sends beyond it is
not read.
"""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
# Worth another try: timeouts, too many requests, and what servers say of themselves.
_PASSING = {408, 425, 429}


class TransferError(Exception):
    """A fetch that failed; ``final`` when another try at the same place is of no use, and
    ``advanced`` when more is here of the file than before."""

    def __init__(self, reason: str, final: bool = False, advanced: bool = False) -> None:
        super().__init__(reason)
        self.final, self.advanced = final, advanced


def _validator(headers: Message) -> str:
    """What names this version of the file; a weak ETag (``W/``) may not be used for ranges."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _request(url: str, part: Path, note: Path, head: int | None) -> urllib.request.Request:
    """For the rest, where there is a part of a version that can be named; else for the whole."""
    request = urllib.request.Request(url)
    place, _, validator = _note(note).partition("\n")
    known = part.is_file() and part.stat().st_size and place == url and validator
    start = part.stat().st_size if known else 0
    if start or head:
        request.add_header("Range", f"bytes={start}-{head - 1 if head else ''}")
    if start:
        request.add_header("If-Range", validator)
    return request


def _note(note: Path) -> str:
    return note.read_text(encoding="utf-8") if note.is_file() else ""


def _start(response: Any, request: urllib.request.Request, part: Path) -> int:
    """Where the arriving bytes belong: 0, or behind what is here already."""
    if response.status != 206:
        return 0
    start = request.get_header("Range", "").removeprefix("bytes=").partition("-")[0]
    if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise TransferError("the server sent another range than was asked for")
    return int(start)


def _total(response: Any, done: int, wanted: int | None, head: int | None) -> int | None:
    """Bytes that there will be: all of the file, or its head where that is shorter; None where the
    server does not say how long the file is."""
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
    """What comes, block by block, up to ``most`` bytes."""
    with _network():
        # `read1` not to lose what came before a stall.
        while block := response.read1(BLOCK if most is None else min(BLOCK, most)):
            yield block
            if most is not None and not (most := most - len(block)):
                return


@contextmanager
def _network() -> Iterator[None]:
    """Tell what goes wrong on the network, a lost route or broken TLS, from what does on the
    disk."""
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
        return  # whole, but was not moved
    request = _request(url, part, note, head)
    try:
        with _answer(request, timeout) as response:
            done = _start(response, request, part)
            total = _total(response, done, wanted, head)
            if not done:  # first, or a kill in between would leave an old part with the new note
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
                return  # nothing was left to ask for
            part.unlink(missing_ok=True)  # what is here is no beginning of what is there
        passing = error.code >= 500 or error.code in {416, *_PASSING}
        raise TransferError(str(error), final=not passing) from None
    except (HTTPException, ConnectionError) as error:
        raise TransferError(str(error), advanced=done > before) from None
    if total is not None and done < total:
        raise TransferError(f"only {done:,} of {total:,} bytes came", advanced=done > before)
    if wanted is not None and done < wanted:
        part.unlink()
        raise TransferError(f"only {done:,} of {wanted:,} bytes came", final=True)
