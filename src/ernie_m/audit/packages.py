"""The environment's lock, held beside what is installed here and what records say they ran with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ernie_m.records.record import Record
from ernie_m.records.writer import LOCK, installed
from ernie_m.words import few, plural

PIN = re.compile(r"([\w.-]+)==([^\s;\\]+)")


def locked() -> dict[str, str]:
    """Versions of all packages in the lock of the working directory, by their names in small
    letters; empty if there is none."""
    if not LOCK.is_file():
        return {}
    lines = LOCK.read_text(encoding="utf-8").split("\n")
    return {found[1].lower(): found[2] for line in lines if (found := PIN.match(line))}


def unlike(packages: Mapping[str, str], lock: Mapping[str, str]) -> Iterator[str]:
    """The packages of which the lock has another version: ``torch 2.12.0 (2.13.0 in the lock)``.
    What follows a plus sign, as in ``2.13.0+cpu``, is the build and does not count."""
    for name, version in packages.items():
        pinned = lock.get(name.lower())
        if pinned and version.partition("+")[0] != pinned.partition("+")[0]:
            yield f"{name} {version} ({pinned} in the lock)"


def told(nodes: Iterable[Record]) -> Iterator[str]:
    """Lines on what differs from the lock, here and in records."""
    lock = locked()
    if here := list(unlike(installed(), lock)):
        yield f"packages here are not those of {LOCK}: {few(here, 8)}; `make install` brings them"
    jobs: dict[str, int] = {}
    for node in nodes:
        for one in unlike(node.run.packages, lock):
            jobs[one] = jobs.get(one, 0) + 1
    if jobs:
        listed = [f"{one}, {plural(count, 'job')}" for one, count in jobs.items()]
        yield f"packages that jobs ran with are not those of {LOCK}: {'; '.join(listed)}"
