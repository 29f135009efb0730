"""Damage files at random and count what their readers do: `python -m tests.fuzz` (`make fuzz`).

Each input is read in a process with a limit of time and of memory. Inputs follow from seed, target
and number, so that `--only TARGET --first N --inputs 1` repeats one. The damaged file and the
traceback of each that fails are kept in work/fuzz/.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS
from tests.repository import ROOT

LIMIT_S = 20.0
START_S = 300.0
KEPT = ROOT / "work" / "fuzz"


class Worker:
    """A process that reads one target's files, in a folder of its own."""

    def __init__(self, target: str, seed: int, quiet: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", target, str(seed)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
        )
        if self.answer(START_S) is None:
            raise SystemExit(f"error: the target {target} does not start")

    def ask(self, number: int) -> None:
        """Give it an input."""
        assert self.process.stdin
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()

    def answer(self, limit: float) -> dict[str, Any] | None:
        """What became of it; None where it takes longer, or the process has died."""
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if ready else ""
        return json.loads(line) if line else None

    def close(self) -> None:
        """End the process, and remove its folder."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


@dataclass
class Counts:
    """What became of a target's inputs."""

    found: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    memory_mb: int = 0
    faults: list[str] = field(default_factory=list)


def fuzz(target: str, seed: int, first: int, inputs: int, until: float) -> Counts:
    """Read ``inputs`` damaged files from number ``first`` on, but none after ``until``, a time of
    ``time.monotonic()``."""
    counts, worker = Counts(), Worker(target, seed)
    try:
        for number in range(first, first + inputs):
            if time.monotonic() > until:
                break
            began = time.monotonic()
            worker.ask(number)
            answer = worker.answer(LIMIT_S)
            seconds = time.monotonic() - began
            counts.slowest_s = max(counts.slowest_s, seconds)
            if answer is None:
                died = worker.process.poll() is not None or seconds < LIMIT_S
                answer = {"found": "crash" if died else "hang", "memory_mb": 0, "fault": "-"}
                worker.close()
                worker = Worker(target, seed)
            counts.found[answer["found"]] += 1
            counts.memory_mb = max(counts.memory_mb, answer["memory_mb"])
            if answer["fault"]:
                counts.faults.append(_kept(target, seed, number, answer))
    finally:
        worker.close()
    return counts


def _kept(target: str, seed: int, number: int, answer: dict[str, Any]) -> str:
    """Keep what is known of a failing input; returns its last line."""
    KEPT.mkdir(parents=True, exist_ok=True)
    again = f"python -m tests.fuzz --seed {seed} --only {target} --first {number} --inputs 1"
    text = f"{answer['found']}: {again}\n{answer.get('path')}\n{answer['fault']}"
    (KEPT / f"{target}-{seed}-{number}.txt").write_text(text, errors="replace")
    return f"{target} {number}: {answer['found']}: {answer['fault'].strip().splitlines()[-1]}"


def main() -> int:
    """Print a line for each target; 1 where an input ended in a traceback, a hang or a crash."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="of all targets together")
    parser.add_argument("--seconds", type=float, default=1800, help="the time that it may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", choices=TARGETS, nargs="+", default=list(TARGETS))
    given = parser.parse_args()
    shutil.rmtree(KEPT, ignore_errors=True)
    columns = ("told", "accepted", "traceback", "hang", "crash")
    heads = ("target", "inputs", *columns, "slowest s", "memory MB")
    print(("{:<14}" + "{:>10}" * 8).format(*heads), flush=True)
    total, began = Counts(), time.monotonic()
    for done, target in enumerate(given.only):
        left = len(given.only) - done
        share = (given.inputs - total.found.total()) // left
        now = time.monotonic()
        until = now + (began + given.seconds - now) / left
        counts = fuzz(target, given.seed, given.first, share, until)
        _print(target, counts, columns)
        total.found += counts.found
        total.slowest_s = max(total.slowest_s, counts.slowest_s)
        total.memory_mb = max(total.memory_mb, counts.memory_mb)
        total.faults += counts.faults
    _print("all", total, columns)
    print(f"seed {given.seed}, {time.monotonic() - began:.0f} s, {os.cpu_count()} cores")
    for fault in total.faults[:20]:
        print(fault[:200])
    return 1 if total.faults else 0


def _print(name: str, counts: Counts, columns: tuple[str, ...]) -> None:
    numbers = [counts.found[column] for column in columns]
    row = (name, counts.found.total(), *numbers, f"{counts.slowest_s:.1f}", counts.memory_mb)
    print(("{:<14}" + "{:>10}" * 8).format(*row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
