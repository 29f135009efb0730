"""Do the jobs behind a result again, apart from it, and compare what comes out.

WHAT is as for `ernie-m audit`, or the name of a stage for all its jobs. Each job gets the inputs,
settings, seed and threads of its record, and the code that it ran: the one here if that counts as
the same, otherwise that of its commit. Downloads are not repeated; their bytes are compared with
the registry by `ernie-m audit`. Results stay as they are: a line is added beside each record, which
`ernie-m audit` tells of.

Exit status: 0 the same bytes, or within the tolerance where processor, packages or device are
others; 6 something else came out; 1 a job could not be done again.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.audit.claim import claim
from ernie_m.audit.command import add_cell
from ernie_m.audit.locate import Cell, locate
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import STAGES
from ernie_m.records.graph import Graph, Reader, read_graph
from ernie_m.records.record import Record, Run
from ernie_m.records.replays import CLOSE, DIFFERENT, SAME, Replay, add_replay
from ernie_m.records.writer import RAN_BY, git
from ernie_m.replay.compare import difference
from ernie_m.replay.scratch import Scratch
from ernie_m.words import duration, plural

logger = logging.getLogger(__name__)
TOLERANCE = 1e-3


def targets(what: Sequence[str], cell: Cell) -> tuple[Graph, list[str]]:
    """The graph of jobs, and the records of those that are named."""
    base, starts = Path.cwd(), list[str]()
    for name in what:
        if name in STAGES:
            own = read_graph(base, None if STAGES[name].shared else cell.run).nodes.values()
            found = [node.path for node in own if node.stage == name]
            if not found:
                raise UserError(
                    f"Run `{cell.run}` has no results of {name}.",
                    "Name the run by --run; `ernie-m status` lists what there is.",
                )
            starts += found
        else:
            place = locate(name, cell)
            base, reader = place.base, Reader(place.base)
            starts.append(reader.record_of(place.path))
            claim(reader.graph(starts[-1:]), place)  # refuses a number that is not there
    return Reader(base).graph(starts), starts


def chosen(graph: Graph, starts: Iterable[str], depth: int | None) -> dict[str, Record]:
    """The jobs to be done again: those named, and makers of their inputs up to ``depth`` jobs back
    (None: all), without downloads."""
    found: dict[str, Record] = {}
    level, left = list(dict.fromkeys(starts)), depth
    while level and left != 0:
        for path in level:
            node = graph.nodes[path]
            if node.fault:
                raise UserError(f"{path} {node.fault}.", "`ernie-m audit` says what to do.")
            if node.row is None:
                found[path] = node
        above = dict.fromkeys(
            source for path in level for source in graph.sources(graph.nodes[path])
        )
        level = [path for path in above if path not in found]
        left = left - 1 if left is not None else None
    return found


def circumstances(then: Run, now: Run) -> dict[str, list[str]]:
    """What is not as it was when the job ran: value then, value now."""

    def facts(run: Run) -> dict[str, str]:
        machine = run.machine
        about = {name: str(machine.get(name) or "") for name in ("system", "cpu", "processor")}
        about["kernels"] = " ".join((machine.get("kernels") or {}).values())
        about["accelerators"] = ", ".join(machine.get("accelerators", ()))
        packages = {name: own for name, own in run.packages.items() if name not in RAN_BY}
        return about | {"python": run.python, "threads": str(run.threads)} | packages

    before, after = facts(then), facts(now)
    names = sorted(before | after)
    pairs = {name: [before.get(name, ""), after.get(name, "")] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Session:
    """A call of the command: where it works, who calls, and how much may differ."""

    scratch: Scratch
    by: str
    tolerance: float

    def replay(self, record: Record) -> Replay:
        """Do one job again, and compare."""
        started = time.monotonic()
        found = self.scratch.replay(record)
        seconds = time.monotonic() - started
        outputs = {path: self._compared(record, path, sha) for path, sha in found.items()}
        other = circumstances(record.run, self.scratch.account(record).run)
        replay = Replay(
            record=record.seal,
            outcome=outcome(outputs, bool(other), self.tolerance),
            outputs=outputs,
            by=self.by,
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 2),
            circumstances=other,
            tolerance=self.tolerance,
        )
        add_replay((self.scratch.base / record.path).parent, replay)
        return replay

    def _compared(self, record: Record, path: str, sha: str) -> dict[str, Any]:
        if sha == record.recorded[path]:
            return {"sha256": sha}
        before = self.scratch.base / path
        if not before.is_file():
            return {"sha256": sha, "largest": float("inf"), "at": "a file that is not here"}
        return {"sha256": sha} | difference(before, self.scratch.made[path])


def outcome(outputs: dict[str, dict[str, Any]], others: bool, tolerance: float) -> str:
    """The outcome from what differs; on the same machine with the same packages nothing may."""
    largest = [output["largest"] for output in outputs.values() if "largest" in output]
    if not largest:
        return SAME
    return CLOSE if others and max(largest) <= tolerance else DIFFERENT


def in_order(
    graph: Graph, jobs: dict[str, Record], session: Session, cores: int
) -> Iterator[tuple[Record, Replay]]:
    """Do jobs again, makers first, as many at a time as their threads allow."""
    order = TopologicalSorter(
        {path: set(graph.sources(node)) & jobs.keys() for path, node in jobs.items()}
    )
    order.prepare()
    ready: list[str] = []
    running: dict[Future[Replay], str] = {}
    with ThreadPoolExecutor(cores) as pool:
        try:
            while order.is_active():
                ready += order.get_ready()
                free = cores - sum(jobs[path].run.threads for path in running.values())
                while ready and (not running or jobs[ready[0]].run.threads <= free):
                    path = ready.pop(0)
                    free -= jobs[path].run.threads
                    running[pool.submit(session.replay, jobs[path])] = path
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    path = running.pop(done)
                    yield jobs[path], done.result()
                    order.done(path)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def lines(record: Record, replay: Replay) -> Iterator[str]:
    """What is told of one job."""
    yield f"{record.job:<58} {replay.outcome:<17}{duration(replay.seconds):>8}"
    for path, output in replay.outputs.items():
        if "largest" not in output:
            continue
        told = f"{output['largest']:.2g} of its size at {output['at']}"
        if "then" in output:
            told += f" ({output['then']} then, {output['now']} now)"
        count = f"{output.get('differing', 1)} of {output.get('places', 1)} values"
        yield f"  {path}: {count} differ, by at most {told}"
        for name, share in sorted(output.get("tensors", {}).items()):
            yield f"    {name} {share:.2g}"
    if replay.outcome != SAME:
        for name, (then, now) in replay.circumstances.items():
            yield f"  {name}: {then or 'none'} then, {now or 'none'} now"


def _depth(text: str) -> int | None:
    if text == "all":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"`{text}` is neither a number of jobs nor `all`")


def _tolerance(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no share: at least 0 and below 1")
    return share


def _user() -> str:
    name, mail = git("config", "user.name"), git("config", "user.email")
    return " ".join(filter(None, [name, mail and f"<{mail}>"])) or getpass.getuser()


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m replay`; returns the exit status."""
    parser = argument_parser("ernie-m replay", __doc__)
    parser.add_argument("what", metavar="WHAT", nargs="+", help="a number, a file, or a stage")
    add_cell(parser)
    parser.add_argument(
        "--depth",
        type=_depth,
        default=1,
        help="how many jobs back: 1 (default) does the last again, `all` all from the downloads",
    )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        default=TOLERANCE,
        help="largest difference, as a share of the largest number of a tensor or of the number "
        f"itself, where the machine is another (default: {TOLERANCE})",
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="threads in all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what comes out there")
    args = parser.parse_args(arguments)
    graph, starts = targets(args.what, Cell(args.run, args.variant, args.stage, args.seed))
    jobs = chosen(graph, starts, args.depth)
    if not jobs:
        raise UserError(
            "There are only downloads behind this, which are not repeated.",
            "`ernie-m audit` compares their bytes with the registry.",
        )
    past = sum(node.seconds for node in jobs.values())
    print(f"{plural(len(jobs), 'job')}, which took {duration(past)} in all", flush=True)
    started, outcomes = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory(prefix="ernie-m-replay-") as folder:
        place = args.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        session = Session(Scratch(graph.base, place.resolve()), _user(), args.tolerance)
        for record, replay in in_order(graph, jobs, session, max(1, args.cores)):
            outcomes.append(replay.outcome)
            print("\n".join(lines(record, replay)), flush=True)
    print(_sum(outcomes, time.monotonic() - started))
    return 6 if DIFFERENT in outcomes else 0


def _sum(outcomes: list[str], seconds: float) -> str:
    counts = {name: outcomes.count(name) for name in (SAME, CLOSE, DIFFERENT)}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    worst = next((name for name in (DIFFERENT, CLOSE, SAME) if counts[name]), SAME)
    verdict = {SAME: "REPEATED", CLOSE: "REPEATED WITHIN TOLERANCE", DIFFERENT: "NOT REPEATED"}
    return f"{verdict[worst]}: {plural(len(outcomes), 'job')} in {duration(seconds)}: {told}."
