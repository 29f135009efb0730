"""The graph of jobs, read from the records that they left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.errors import UserError
from ernie_m.pipeline.stages import stages_with
from ernie_m.records.record import READABLE, RECORD, seal

RESULTS = "results"
# The stages whose results all runs share.
SHARED = frozenset(stages_with("shared"))
LINEAGE = "report_build/lineage.jsonl"  # every record of a run in one file, kept in git


@dataclass(frozen=True)
class Node:
    """One job as its record tells it; ``record`` is empty when it cannot be read.

    ``fault`` is what is the matter with the record (``was edited``), ``packed`` says that
    it comes from the file with all records, because the job's folder is not here.
    """

    path: str
    record: dict[str, Any]
    fault: str | None = None
    packed: bool = False

    @property
    def job(self) -> str:
        """Name of the job: ``corpora_dedup/mono-de``."""
        if not self.record:
            return str(Path(self.path).parent)
        return "/".join(filter(None, (self.stage, self.instance)))

    @property
    def stage(self) -> str:
        """Stage of the job: ``corpora_dedup``; empty when the record cannot be read."""
        return self.record.get("stage", "")

    @property
    def instance(self) -> str:
        """Which of the stage's jobs: ``de``."""
        return self.record.get("instance", "")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the job was given."""
        return self.record["facts"]["settings"] if self.record else {}

    @property
    def code(self) -> dict[str, str]:
        """Digest of each source file that the job could run."""
        return self.record["facts"]["code"]["files"] if self.record else {}

    @property
    def seconds(self) -> float:
        """Time that the job took, of killed attempts that it went on from too."""
        run = self.record["run"] if self.record else {}
        return max(run.get("seconds") or 0.0, run.get("training_seconds") or 0.0)

    def files(self, side: str) -> Iterator[dict[str, Any]]:
        """Facts of every file on ``inputs`` or ``outputs``."""
        for files in self.record["facts"][side].values() if self.record else ():
            yield from files

    @cached_property
    def recorded(self) -> dict[str, str]:
        """SHA-256 of each output by path, as recorded."""
        return {file["path"]: file["sha256"] for file in self.files("outputs")}

    @property
    def published(self) -> dict[str, str | None] | None:
        """SHA-256 of each output as its publisher names it, None where he names none.

        None altogether for a job that is no download: a download has a row of a registry, whose
        ``sha256`` is that of its one file, or whose ``files`` name theirs.
        """
        return self.published_by(self.settings)

    def published_by(self, row: dict[str, Any]) -> dict[str, str | None] | None:
        """The same as another version of the registry's row has it."""
        if "sha256" in row:
            return dict.fromkeys(self.recorded, row["sha256"])
        if "files" not in row:
            return None
        found = {path: row["files"].get(Path(path).name) for path in self.recorded}
        return {
            path: about.get("sha256") if isinstance(about, dict) else about
            for path, about in found.items()
        }

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Paths of the records of the jobs whose files this one read."""
        inputs = (file["path"] for file in self.files("inputs"))
        return tuple(dict.fromkeys(record_of(path) for path in inputs if made_here(path)))


@dataclass
class Graph:
    """Jobs by the path of their record; ``base`` is the folder that recorded paths start from."""

    base: Path
    nodes: dict[str, Node] = field(default_factory=dict)

    @cached_property
    def makers(self) -> dict[str, Node]:
        """The job that made each file, by the file's path."""
        return {path: node for node in self.nodes.values() for path in node.recorded}

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """Records of the jobs that read files of a job, by the path of its record."""
        found: dict[str, list[str]] = {path: [] for path in self.nodes}
        for path, node in self.nodes.items():
            for source in node.sources:
                found[source].append(path)
        return found

    def behind(self, *starts: str) -> list[Node]:
        """The jobs that ``starts`` (records) come from, themselves included, readers first."""
        return self._ordered(starts, lambda path: self.nodes[path].sources)

    def ahead(self, *starts: str) -> list[Node]:
        """The jobs that use what ``starts`` (records) made, themselves included, makers first."""
        return self._ordered(starts, lambda path: self.readers[path])

    def _ordered(self, starts: Iterable[str], neighbours: Any) -> list[Node]:
        """What can be reached from ``starts``, each node before all that it leads to."""
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
        """The graph as plain data: ``nodes`` (jobs) and ``edges`` (which job read what of which).

        A node's ``id`` is the path of its record; edges go from the maker to the reader. Order is
        by id, so that equal graphs give equal text.
        """
        nodes = [_as_data(self.nodes[path]) for path in sorted(self.nodes)]
        edges = []
        for path in sorted(self.nodes):
            read: dict[str, list[str]] = {}
            for file in self.nodes[path].files("inputs"):
                if record_of(file["path"]) in self.nodes:
                    read.setdefault(record_of(file["path"]), []).append(file["path"])
            edges += [{"from": maker, "to": path, "files": read[maker]} for maker in sorted(read)]
        return {"nodes": nodes, "edges": edges}


def _as_data(node: Node) -> dict[str, Any]:
    if not node.record:
        return {"id": node.path, "job": node.job, "fault": node.fault}
    facts, run = node.record["facts"], node.record["run"]
    return {
        "id": node.path,
        "job": node.job,
        "stage": node.stage,
        "instance": node.instance,
        "outputs": facts["outputs"],
        "settings": facts["settings"],
        "seed": facts["seed"],
        "code": facts["code"]["digest"],
        "commit": run["git"]["commit"],
        "dirty": run["git"]["dirty"],
        "started": run["started"],
        "seconds": node.seconds,
        "fault": node.fault,
    }


def made_here(path: str) -> bool:
    """Whether a file is a result; another (a checkpoint from elsewhere) has no record."""
    return path.startswith(f"{RESULTS}/")


def record_of(path: str) -> str:
    """Where the record of the job that made a file lies."""
    return (Path(path).parent / RECORD).as_posix()


def base_of(file: Path) -> Path:
    """The folder that recorded paths start from, for a file in it; results may have been moved.

    Raises :class:`UserError` for a file that does not lie in a folder ``results``.
    """
    for folder in file.resolve().parents:
        if folder.name == RESULTS:
            return folder.parent
    raise UserError(
        f"{file} is not a result of the pipeline: it does not lie under {RESULTS}/.",
        f"Name a file in a stage's folder under {RESULTS}/, such as a scores.json.",
    )


class Reader:
    """Reads records under ``base``; from the file with all of them where a folder is not here."""

    def __init__(self, base: Path) -> None:
        self.base = base

    @cached_property
    def packed(self) -> dict[str, dict[str, Any]]:
        """Every record that some run's file with all records holds, by its path.

        A damaged line is left out: that its file is not as it was is told of the file.
        """
        found = {}
        for file in sorted((self.base / RESULTS).glob(f"*/{LINEAGE}")):
            for line in file.read_text(encoding="utf-8").splitlines():
                record = _parsed(line)
                if not _whole(record):
                    continue
                outputs = record["facts"]["outputs"].values()
                paths = [file["path"] for files in outputs for file in files]
                # The record lies beside the outputs, and above those in a folder of their own.
                found[record_of(min(paths, key=lambda path: path.count("/")))] = record
        return found

    def node(self, path: str) -> Node:
        """The job whose record should be at ``path``."""
        try:
            text = (self.base / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return self._missing(path)
        except (OSError, UnicodeDecodeError):
            return Node(path, {}, "cannot be read")
        return checked(path, _parsed(text))

    def _missing(self, path: str) -> Node:
        record = self.packed.get(path)
        outputs = Node(path, record).recorded if record else ()
        if record and not any((self.base / output).exists() for output in outputs):
            return checked(path, record, packed=True)
        return Node(path, {}, "is missing")

    def graph(self, starts: Iterable[str]) -> Graph:
        """The jobs with these records, and all that they come from."""
        graph = Graph(self.base)
        waiting = list(starts)
        while waiting:
            path = waiting.pop()
            if path not in graph.nodes:
                graph.nodes[path] = self.node(path)
                waiting.extend(graph.nodes[path].sources)
        return graph

    def all(self, run: str | None = None) -> Iterator[str]:
        """Paths of all records, or of those of one run."""
        folder = self.base / RESULTS / (run or "")
        here = {path.relative_to(self.base).as_posix() for path in folder.rglob(RECORD)}
        prefix = folder.relative_to(self.base).as_posix() + "/"
        yield from sorted(here | {path for path in self.packed if path.startswith(prefix)})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _whole(record: Any) -> bool:
    """Whether a record has all that is asked of one."""
    return (
        isinstance(record, dict)
        and record.keys() >= {"stage", "instance", "module", "facts", "run"}
        and record["facts"].keys() >= {"inputs", "outputs", "settings", "seed", "code"}
    )


def checked(path: str, record: Any, packed: bool = False) -> Node:
    """A node with what is wrong with its record; one that cannot be used is taken as empty."""
    if isinstance(record, dict) and record.get("schema") not in READABLE:
        return Node(path, {}, f"is not of a known schema ({READABLE[-1]} is today's)")
    if not _whole(record):
        return Node(path, {}, "is not a whole record")
    fault = None if record.get("seal") == seal(record) else "was edited"
    return Node(path, record, fault, packed)


def runs(base: Path) -> list[str]:
    """Names of the runs of which there are records under ``base``."""
    return sorted({Path(path).parts[1] for path in Reader(base).all()} - SHARED)


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
