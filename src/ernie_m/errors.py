"""Errors for the user, and how a command reports them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from ernie_m.outside import shown


class UserError(Exception):
    """An error the user can fix; printed without a traceback.

    ``what`` is one sentence that names the file, line or key at fault; ``fix`` is one sentence
    that says what to do about it. As text it is fit to be shown (:mod:`ernie_m.outside`).
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(shown(f"{what}\n  -> {fix}"))
        self.what = what
        self.fix = fix


class Screen:
    """Standard output to which only what is fit to be shown is written (:mod:`ernie_m.outside`)."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, fit to be shown."""
        return self.stream.write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def exit_status_of(call: Callable[[], int]) -> int:
    """Run ``call`` and return its exit status; report errors without a traceback.

    What it prints is fit to be shown, whatever it was told by records, registries or file names.
    A :class:`UserError` or an ``OSError`` of the system prints two lines and gives status 1.
    Ctrl-C gives status 130, as in shells. A closed pipe, as behind `head`, gives status 1 silently.
    """
    try:
        with redirect_stdout(Screen(sys.stdout) if sys.stdout else None):
            try:
                return call()
            finally:
                print(end="", flush=True)  # now: at interpreter exit it would print a traceback
    except UserError as error:
        problem = error
    except BrokenPipeError:
        _discard_output()
        return 1
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            raise
        if error.filename is None:
            _discard_output()
        problem = from_os_error(error)
    except UnicodeEncodeError as error:
        problem = UserError(
            f"The text cannot be written as {error.encoding}: {error.reason}.",
            "Use a terminal in UTF-8, or set PYTHONIOENCODING=utf-8.",
        )
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130
    print(f"error: {problem}", file=sys.stderr)
    return 1


def parsed(path: Path, text: str) -> Any:
    """Parse ``text``, the content of a result at ``path``, as JSON; raises :class:`UserError`."""
    from ernie_m.bounded import parse_json  # loads YAML, which no help text needs

    try:
        return parse_json(text, finite=False)
    except ValueError as error:
        raise UserError(
            f"{path} is not the JSON it should be: {error}.",
            "Fetch it by `ernie-m restore`, or remove it: the pipeline makes it anew.",
        ) from None


def from_os_error(error: OSError) -> UserError:
    """An ``OSError`` of the system as a :class:`UserError` that says what to do."""
    path = error.filename2 or error.filename  # of a rename, the target
    what = f"{path or 'Reading or writing failed'}: {error.strerror}."
    if isinstance(
        error, FileNotFoundError | FileExistsError | NotADirectoryError | IsADirectoryError
    ):
        return UserError(what, "Correct the path, or what lies there.")
    if error.errno == errno.EMFILE:
        return UserError(what, "Allow a process more of them: `ulimit -n 10240`, or the system's.")
    return UserError(
        what,
        "Check that the disk has room and that the path may be read and written, then run the "
        "same command again.",
    )


def _discard_output() -> None:
    """Send unwritten standard output to the null device: its reader is gone, or it cannot be
    written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
