"""The graph of jobs, read from their records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.errors import UserError
from ernie_m.pipeline.stages import stages_with
from ernie_m.records.record import HISTORY, RECORD, Record

RESULTS = "results"
# Stages whose results are shared by all runs.
SHARED = frozenset(stages_with("shared"))
LINEAGE = "report_build/lineage.jsonl"  # all records of a run in one file, kept in git


@dataclass
class Graph:
    """Jobs by the path of their record; recorded paths are relative to ``base``.

    ``made_by`` maps each result that some job read to the record of the job that made it, which
    may be missing.
    """

    base: Path
    nodes: dict[str, Record] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)

    @cached_property
    def makers(self) -> dict[str, Record]:
        """The job that made each file, by the file's path."""
        return {path: node for node in self.nodes.values() for path in node.recorded}

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """For each job, by the path of its record, the records of the jobs that read its files."""
        found: dict[str, list[str]] = {path: [] for path in self.nodes}
        for path, node in self.nodes.items():
            for source in self.sources(node):
                found[source].append(path)
        return found

    def sources(self, node: Record) -> tuple[str, ...]:
        """Paths of the records of the jobs whose files a job read."""
        makers = (self.made_by.get(file.path) for file in node.read_files)
        return tuple(dict.fromkeys(filter(None, makers)))

    def behind(self, *starts: str) -> list[Record]:
        """The ancestors of ``starts`` (records), themselves included, readers first."""
        return self._ordered(starts, lambda path: self.sources(self.nodes[path]))

    def ahead(self, *starts: str) -> list[Record]:
        """The descendants of ``starts`` (records), themselves included, makers first."""
        return self._ordered(starts, lambda path: self.readers[path])

    def _ordered(
        self, starts: Iterable[str], neighbours: Callable[[str], Iterable[str]]
    ) -> list[Record]:
        """The nodes reachable from ``starts``, each before all that it leads to."""
        done: list[str] = []
        seen: set[str] = set()
        waiting = [(start, False) for start in starts]
        while waiting:
            path, left = waiting.pop()
            if left:
                done.append(path)
            elif path not in seen:
                seen.add(path)
                waiting.append((path, True))
                waiting.extend((other, False) for other in neighbours(path))
        return [self.nodes[path] for path in reversed(done)]

    def data(self) -> dict[str, Any]:
        """The graph as plain data: ``nodes`` (jobs) and ``edges`` (files that one read of another).

        A node's ``id`` is the path of its record; edges go from maker to reader. Both are sorted
        by id, so that equal graphs give equal text.
        """
        nodes = [_as_data(self.nodes[path]) for path in sorted(self.nodes)]
        edges = []
        for path in sorted(self.nodes):
            read: dict[str, list[str]] = {}
            for file in self.nodes[path].read_files:
                maker = self.made_by.get(file.path)
                if maker in self.nodes:
                    read.setdefault(maker, []).append(file.path)
            edges += [{"from": maker, "to": path, "files": read[maker]} for maker in sorted(read)]
        return {"nodes": nodes, "edges": edges}


def _as_data(node: Record) -> dict[str, Any]:
    if not node.data:
        return {"id": node.path, "job": node.job, "fault": node.fault}
    return {
        "id": node.path,
        "job": node.job,
        "stage": node.stage,
        "instance": node.instance,
        "outputs": node.data["facts"]["outputs"],
        "settings": node.settings,
        "seed": node.seed,
        "code": node.code.digest,
        "commit": node.run.git.commit,
        "dirty": node.run.git.dirty,
        "started": node.run.started,
        "seconds": node.seconds,
        "fault": node.fault,
    }


def made_here(path: str) -> bool:
    """Whether a file is a result; other files (an external checkpoint) have no record."""
    return path.startswith(f"{RESULTS}/")


def base_of(file: Path) -> Path:
    """The folder that recorded paths are relative to, for a file in it; results may have moved.

    Raises :class:`UserError` for a file that does not lie in a folder ``results``.
    """
    for folder in file.resolve().parents:
        if folder.name == RESULTS:
            return folder.parent
    raise UserError(
        f"{file} is not a result of the pipeline: it does not lie under {RESULTS}/.",
        f"Name a file in a stage's folder under {RESULTS}/, such as a scores.json.",
    )


def history(record: Path) -> list[Record]:
    """All records that this record's job has left, oldest first."""
    file = record.with_name(HISTORY)
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8", errors="replace")
    # No other ends of lines: text in JSON may hold them.
    records = [Record.parse_text(line) for line in text.split("\n") if line]
    for number, old in enumerate(records, start=1):
        if not old.data:
            raise UserError(
                f"{file} is not whole: line {number} {old.fault}.",
                "Fetch it by `ernie-m restore`, or remove the line.",
            )
    return records


class Reader:
    """Reads records under ``base``, each once; if a job's folder is missing, from the file with
    all records of its run."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._read: dict[str, Record] = {}

    @cached_property
    def packed(self) -> dict[str, Record]:
        """All records in the files with all records of a run, by path.

        Damaged lines are left out: the check of the file's digest reports them.
        """
        found = {}
        for file in sorted((self.base / RESULTS).glob(f"*/{LINEAGE}")):
            with file.open(encoding="utf-8", errors="replace") as lines:
                for record in map(Record.parse_text, lines):
                    # A run's lineage speaks of its own results and of those that all runs share.
                    if record.data and record.run_name in {file.parts[-3], *SHARED}:
                        found[record.path] = replace(record, packed=True)
        return found

    def record(self, path: str) -> Record:
        """The job whose record is expected at ``path``."""
        if path not in self._read:
            file = self.base / path
            self._read[path] = Record.read(file, path) if file.exists() else self._missing(path)
        return self._read[path]

    def _missing(self, path: str) -> Record:
        record = self.packed.get(path)
        if record and not any((self.base / output).exists() for output in record.recorded):
            return record
        return Record(path, fault="is missing")

    def record_of(self, path: str) -> str:
        """Path of the record of the job that made a file: beside it, or above it (figures lie in
        a folder of their own). Beside it if no record claims the file."""
        if Path(path).name == RECORD:
            return path
        places = [(folder / RECORD).as_posix() for folder in Path(path).parents]
        here = [place for place in places if (self.base / place).is_file()]
        claimed = (place for place in (*here, *places) if path in self.record(place).recorded)
        return next(claimed, (*here, *places)[0])

    def graph(self, starts: Iterable[str]) -> Graph:
        """The jobs with these records and all their ancestors."""
        graph = Graph(self.base)
        waiting = list(starts)
        while waiting:
            path = waiting.pop()
            if path not in graph.nodes:
                graph.nodes[path] = self.record(path)
                read = {file.path for file in graph.nodes[path].read_files if made_here(file.path)}
                new = read - graph.made_by.keys()
                graph.made_by |= {file: self.record_of(file) for file in new}
                waiting.extend(graph.sources(graph.nodes[path]))
        return graph

    def all(self, run: str | None = None) -> Iterator[str]:
        """Paths of all records, or of one run's."""
        folder = self.base / RESULTS / (run or "")
        here = {path.relative_to(self.base).as_posix() for path in folder.rglob(RECORD)}
        prefix = folder.relative_to(self.base).as_posix() + "/"
        yield from sorted(here | {path for path in self.packed if path.startswith(prefix)})


def runs(base: Path) -> list[str]:
    """Names of the runs that have records under ``base``."""
    return sorted({Path(path).parts[1] for path in Reader(base).all()} - SHARED)


def result_with(base: Path, digest: str, but: str = "") -> str:
    """Path of the result with this SHA-256, or with one that begins so, according to the records;
    of several with the same bytes the first. Those of run ``but`` do not count.

    Raises :class:`UserError` if there is none, and for the beginning of several digests.
    """
    reader = Reader(base)
    found: dict[str, str] = {}
    for place in reader.all():
        record = reader.record(place)
        for path, sha256 in record.recorded.items() if record.run_name != but else ():
            if sha256.startswith(digest):
                found.setdefault(sha256, path)
    if len(found) == 1:
        return next(iter(found.values()))
    raise UserError(
        f"{len(found) or 'No'} results under {base / RESULTS} have a SHA-256 that begins with "
        f"{digest}.",
        f"Write more digits: they are {', '.join(sorted(found.values())[:6])}."
        if found
        else "Make it, or fetch it by `ernie-m restore`; `ernie-m list` shows the runs here.",
    )


def read_graph(base: Path, run: str | None = None) -> Graph:
    """Every job of ``run``, or of all runs, whose results lie under ``base``.

    Raises :class:`UserError` when there are none.
    """
    reader = Reader(base)
    graph = reader.graph(reader.all(run))
    if not graph.nodes:
        known = ", ".join(f"`{name}`" for name in runs(base))
        raise UserError(
            f"There are no records under {base / RESULTS / (run or '')}.",
            f"Name a run that has some, by --run: {known}."
            if known
            else "Make them by `make reproduce`, fetch them by `ernie-m restore`, or go to the top "
            "folder of the repository.",
        )
    return graph
