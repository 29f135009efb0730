"""One writer, always: locks of jobs, of trainings' states, and of calls of the workflow.

A lock is a file that says who holds it. It ends with the process that holds it, however that ends,
and no program that this starts inherits it. It is taken with ``flock``, which holds across nodes
on NFS (version 4, or 3 with lockd; not where it is mounted with ``nolock``, or ``local_lock`` as
``flock`` or ``all``) and on Lustre mounted with ``flock`` (not ``localflock``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ernie_m.errors import UserError
from ernie_m.outside import redacted

logger = logging.getLogger(__name__)
FOLDER = Path("work") / "locks"
# In the environment of its jobs, the call of the workflow that started them: `<run>:<holder>`.
INVOCATION = "ERNIE_M_INVOCATION"
LONGEST_COMMAND = 160  # characters that are kept of the command of a holder
POLL, REMIND = 1.0, 600.0  # seconds
LONGEST_NAME = 200  # of the 255 bytes that file systems allow
_held: list[IO[str]] = []  # until the process ends


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, in the words of which its file tells."""

    host: str
    pid: int
    since: str
    command: str
    slurm_job: str = ""

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        words = [os.path.basename(sys.orig_argv[0]), *sys.orig_argv[1:]]
        command = " ".join(redacted(shlex.join(words)).split())
        if len(command) > LONGEST_COMMAND:
            command = command[:LONGEST_COMMAND] + "..."
        now = datetime.now(UTC).isoformat()
        job = os.environ.get("SLURM_JOB_ID", "")
        return cls(socket.gethostname(), os.getpid(), now, command, job)

    @classmethod
    def of(cls, path: Path) -> Holder | None:
        """The last holder of a lock; None where the file does not tell (yet)."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def name(self) -> str:
        """What no other holder has."""
        return f"{self.host}:{self.pid}:{self.since}"

    @property
    def stop(self) -> str:
        """The command that ends it."""
        kill = f"`kill {self.pid}` on {self.host}"
        return f"`scancel {self.slurm_job}`, or {kill}" if self.slurm_job else kill

    def __str__(self) -> str:
        job = f", Slurm job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.pid} on {self.host}{job} (`{self.command}`)"


def lock_of(record: Path) -> Path:
    """The lock of the job that writes a record."""
    return FOLDER / f"{flat(record)}.lock"


def flat(record: Path) -> str:
    """The path of a record as the name of one file; the end of a long one is a digest."""
    name = str(record).replace(os.sep, "+")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}+{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _taken(path: Path, holder: Holder) -> IO[str] | None:
    """The file of a lock, whose closing gives it back; None if another holds it.

    Raises :class:`UserError` on a file system without locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    except OSError as error:
        raise UserError(
            f"The file system of {path} gives no locks: {error.strerror}.",
            "Have it mounted with locks (docs/clusters.md), or make `work` a link to a folder on "
            "one that has them.",
        ) from None
    handle.truncate(0)
    handle.write(json.dumps(asdict(holder)) + "\n")
    handle.flush()
    os.fsync(handle.fileno())  # or other nodes would not see it while the file is open
    return handle


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Hold a lock, once whoever holds it has ended.

    Raises :class:`UserError` if the call of the workflow that started this process is over and
    another has begun, whose job is to do the work: also after a wait.
    """
    this, told = Holder.this(), -REMIND
    handle = _taken(path, this)
    while handle is None:
        check_invocation()
        if (now := time.monotonic()) - told >= REMIND:
            told = now
            logger.warning("%s", _waiting(path))
        # Asked again and again: where a lock is waited for in the system no reminder can be given,
        # and on NFS the news of its end may be lost.
        time.sleep(POLL)
        handle = _taken(path, this)
    with handle:
        check_invocation()
        yield


def _waiting(path: Path) -> str:
    holder = Holder.of(path)
    if holder is None:
        return f"waiting for the lock {path}"
    return (
        f"waiting for {holder}, of an earlier call, which holds {path}. If it should not be waited "
        f"for, stop it by {holder.stop}"
    )


def begin_invocation(run: str) -> None:
    """Hold the lock of a run's calls until this process ends, and tell so to the jobs that it
    starts.

    Raises :class:`UserError` if another call is under way.
    """
    path, this = _of_run(run), Holder.this()
    handle = _taken(path, this)
    if handle is None:
        holder = Holder.of(path)
        raise UserError(
            f"Another call is at work on the run `{run}` in this folder: "
            f"{holder or 'a process that has just begun'}.",
            f"Wait until it ends{f', or stop it by {holder.stop}' if holder else ''}; nothing was "
            "changed. Runs of other names may go on beside it.",
        )
    _held.append(handle)
    os.environ[INVOCATION] = f"{run}:{this.name}"


def run_of_invocation() -> str | None:
    """Name of the run whose call started this process; None if none did."""
    return os.environ.get(INVOCATION, "").partition(":")[0] or None


def check_invocation() -> None:
    """Raise :class:`UserError` if the call that started this process is over and another of the
    same run has begun: this process would write, by old settings perhaps, what the other makes."""
    run, _, name = os.environ.get(INVOCATION, "").partition(":")
    now = Holder.of(_of_run(run)) if run else None
    if now and now.name != name:
        raise UserError(
            f"The call that started this job has ended, and another of the run `{run}` has begun: "
            f"{now}.",
            "Nothing is to be done: it does this job itself.",
        )


def _of_run(run: str) -> Path:
    return FOLDER / f"{run}.lock"
