"""How long the plan of the paper's size takes, and each question about results.

    python -m benchmarks.answers                     the plan, and the results of the default run

CPU time of the whole command, the shortest of several calls, so that other work of the machine
shows little. Questions need results: `make reproduce` first. Writes its section of
docs/benchmarks.md; the last line is JSON.
"""

from __future__ import annotations

import resource
import subprocess

from benchmarks.document import machine, publish, table
from ernie_m.arguments import argument_parser

CELL = "xtreme/retrieval/de/accuracy"
PLAN = ("snakemake", "--dry-run", "--configfile", "config/paper_base.yaml")
QUESTIONS = (
    ("ernie-m", "audit", CELL),
    ("ernie-m", "status"),
    ("ernie-m", "impact", "model.width"),
    ("ernie-m", "trace", CELL),
    ("ernie-m", "diff", f"{CELL}@stage=initialise", CELL),
)


def cpu_seconds(words: tuple[str, ...], calls: int) -> float:
    """CPU time of a command, the least of so many calls; raises ``CalledProcessError``."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    found = []
    for _ in range(calls):
        before = used()
        subprocess.run(words, check=True, capture_output=True)
        found.append(used() - before)
    return min(found)


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.answers", __doc__)
    parser.add_argument("--calls", type=int, default=3, help="of each command (3)")
    parser.add_argument("--plan-only", action="store_true", help="where there are no results")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    asked = (PLAN,) if given.plan_only else (PLAN, *QUESTIONS)
    found = {" ".join(words): cpu_seconds(words, given.calls) for words in asked}
    rows = [[f"`{words}`", f"{seconds:.1f}"] for words, seconds in found.items()]
    text = f"By `python -m benchmarks.answers` on {machine()}.\n\n" + table(
        ["command", "CPU seconds"], rows
    )
    publish("answers", text, found, document=not given.no_section)


if __name__ == "__main__":
    main()
