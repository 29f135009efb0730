"""Whether the jobs behind a result still hold: verdicts, and the checks that give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import Graph
from ernie_m.records.record import Record
from ernie_m.records.writer import changed_sources


class Verdict(Enum):
    """What is wrong, mildest first; the value is the exit status of `ernie-m audit`."""

    VERIFIED = 0
    INCOMPLETE = 3  # what is here is in order, but something is missing
    STALE = 4  # code, settings or an input have changed since
    BROKEN = 5  # a record is missing, unreadable, edited, or contradicts its neighbour
    TAMPERED = 6  # a file differs from its record


@dataclass(frozen=True)
class Finding:
    """One problem: the job, the file, and what is wrong in words."""

    verdict: Verdict
    job: str
    path: str
    what: str


@dataclass
class Chain:
    """Every job behind a file: first the one that made it, then each after all its readers."""

    target: str
    graph: Graph
    nodes: list[Record]
    findings: list[Finding] = field(default_factory=list)
    hashed: dict[str, str | None] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        worst = max((finding.verdict.value for finding in self.findings), default=0)
        return Verdict(worst)

    @property
    def offence(self) -> Finding | None:
        """The first finding of the worst kind, counting from the sources: the cause of the rest."""
        order = {node.job: place for place, node in enumerate(self.nodes)}
        verdict = self.verdict
        worst = [finding for finding in self.findings if finding.verdict == verdict]
        return max(worst, key=lambda finding: order.get(finding.job, -1), default=None)

    def sha256(self, path: str) -> str | None:
        """Digest of a file as it is now, None if it is missing."""
        if path not in self.hashed:
            file = self.graph.base / path
            self.hashed[path] = file_sha256(file) if file.is_file() else None
        return self.hashed[path]

    @cached_property
    def uncommitted(self) -> set[str]:
        """Source files that differ from the commit now."""
        return set(changed_sources())

    def find(self, verdict: Verdict, node: Record, path: str, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(verdict, node.job, path, what))


def chain_of(graph: Graph, nodes: list[Record], target: str) -> Chain:
    """A chain of some jobs of a graph, readers first, with the faults of their records."""
    chain = Chain(target, graph, nodes)
    for node in nodes:
        if node.fault:
            chain.find(Verdict.BROKEN, node, node.path, node.fault)
    return chain
