"""The records behind a file, and whether they still hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.lineage.digest import code_facts, file_sha256
from ernie_m.lineage.record import SCHEMA, seal
from ernie_m.lineage.slices import seed_of, settings_of

RECORD = "record.json"


class Verdict(Enum):
    """What is the matter, least first; the value is the exit status of `ernie-m audit`."""

    VERIFIED = 0
    INCOMPLETE = 3  # nothing is wrong with what is here, but not everything is here
    STALE = 4  # code, settings or an input have changed since
    BROKEN = 5  # a record is missing, unreadable, edited, or says what its neighbour denies
    TAMPERED = 6  # a file is not what its record says


@dataclass(frozen=True)
class Finding:
    """One thing that is the matter: with which job, which file, in words."""

    verdict: Verdict
    job: str
    path: str
    what: str


@dataclass(frozen=True)
class Node:
    """One job as its record tells it; ``record`` is empty when it cannot be read."""

    path: str
    record: dict[str, Any]

    @property
    def job(self) -> str:
        """Name of the job: ``corpora_clean/de``."""
        if not self.record:
            return str(Path(self.path).parent)
        return "/".join(filter(None, (self.record["stage"], self.record["instance"])))

    def files(self, side: str) -> Iterator[dict[str, Any]]:
        """Facts of every file on ``inputs`` or ``outputs``."""
        for files in self.record["facts"][side].values() if self.record else ():
            yield from files

    @cached_property
    def recorded(self) -> dict[str, str]:
        """SHA-256 of each output by path, as recorded."""
        return {file["path"]: file["sha256"] for file in self.files("outputs")}


@dataclass
class Chain:
    """Every job behind one file, the file's own first, each after all that use it."""

    target: str
    base: Path
    nodes: list[Node] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    hashed: dict[str, str | None] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        worst = max((finding.verdict.value for finding in self.findings), default=0)
        return Verdict(worst)

    @property
    def offence(self) -> Finding | None:
        """The first finding of the worst kind, from the sources on: what lies behind the rest."""
        order = {node.job: place for place, node in enumerate(self.nodes)}
        worst = [finding for finding in self.findings if finding.verdict == self.verdict]
        return max(worst, key=lambda finding: order.get(finding.job, -1), default=None)

    def sha256(self, path: str) -> str | None:
        """Digest of a file as it is now, None when it is not here."""
        if path not in self.hashed:
            file = self.base / path
            self.hashed[path] = file_sha256(file) if file.is_file() else None
        return self.hashed[path]

    def find(self, verdict: Verdict, node: Node, path: str, what: str) -> None:
        """Note that something is the matter."""
        self.findings.append(Finding(verdict, node.job, path, what))


def record_of(path: str) -> str:
    """Where the record of the job that made a file lies."""
    return (Path(path).parent / RECORD).as_posix()


def _base(target: Path) -> Path:
    """The folder that recorded paths start from; results may have been moved as a whole."""
    here = target.resolve().parent
    try:
        record = json.loads((here / RECORD).read_text(encoding="utf-8"))
        (output, *_) = (file for files in record["facts"]["outputs"].values() for file in files)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{target} is not a result of the pipeline: no usable {RECORD} lies beside it.",
            "Name a file in a stage's folder under results/, such as a scores.json.",
        ) from error
    folder = Path(output["path"]).parent
    if here.as_posix().endswith("/" + folder.as_posix()):
        return here.parents[len(folder.parts) - 1]
    return Path.cwd()


def _read(base: Path, path: str) -> tuple[Node, str | None]:
    """A record, and what is wrong with it; a record that cannot be used is taken as empty."""
    try:
        record = json.loads((base / path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Node(path, {}), "its record is missing"
    except (OSError, ValueError):
        return Node(path, {}), "its record cannot be read"
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return Node(path, {}), f"its record is not of schema {SCHEMA}"
    if record.get("seal") != seal(record):
        return Node(path, record), "its record was edited"
    return Node(path, record), None


def _ordered(nodes: dict[str, Node], start: str) -> list[Node]:
    """Nodes reachable from ``start``, each after all nodes that read from it."""
    done: list[str] = []
    seen: set[str] = set()
    waiting = [(start, False)]
    while waiting:
        path, left = waiting.pop()
        if left:
            done.append(path)
        elif path not in seen:
            seen.add(path)
            waiting.append((path, True))
            sources = dict.fromkeys(record_of(f["path"]) for f in nodes[path].files("inputs"))
            waiting.extend((source, False) for source in sources)
    return [nodes[path] for path in reversed(done)]


def walk(target: Path) -> Chain:
    """Read the records behind ``target``, back to the downloads.

    Raises :class:`UserError` when the file has no record or its record does not name it.
    """
    base = _base(target)
    path = target.resolve().relative_to(base).as_posix()
    chain = Chain(path, base)
    nodes: dict[str, Node] = {}
    waiting = [record_of(path)]
    while waiting:
        place = waiting.pop()
        if place in nodes:
            continue
        node, fault = _read(base, place)
        nodes[place] = node
        if fault:
            chain.find(Verdict.BROKEN, node, place, fault)
        waiting.extend(record_of(file["path"]) for file in node.files("inputs"))
    first = nodes[record_of(path)]
    if path not in (record_of(path), *first.recorded):
        raise UserError(
            f"{path} is not among the outputs in {first.path}.",
            "Name one of: " + ", ".join(first.recorded) + ".",
        )
    chain.nodes = _ordered(nodes, first.path)
    return chain


def check_files(chain: Chain) -> None:
    """Compare the files that are here with what was recorded when they were written."""
    for node in chain.nodes:
        for path, recorded in node.recorded.items():
            now = chain.sha256(path)
            if now is None:
                chain.find(Verdict.INCOMPLETE, node, path, "is not here; recorded, not checked")
            elif now != recorded:
                what = f"is {now[:12]}, its record says {recorded[:12]}"
                chain.find(Verdict.TAMPERED, node, path, what)


def check_links(chain: Chain) -> None:
    """Compare what each job read with what the job before it recorded as written.

    A record that was read itself (by the report) is compared as it lies there.
    """
    nodes = {node.path: node for node in chain.nodes}
    for node in chain.nodes:
        for file in node.files("inputs"):
            path, read = file["path"], file["sha256"]
            maker = nodes[record_of(path)]
            made = chain.sha256(path) if path == maker.path else maker.recorded.get(path)
            if not maker.record or made == read:
                continue
            if made is None:
                chain.find(Verdict.BROKEN, node, path, "was read, but no job recorded writing it")
            elif chain.sha256(path) in (made, None):
                what = f"was made anew since ({read[:12]} was read, it is {made[:12]} now)"
                chain.find(Verdict.STALE, node, path, what)
            else:
                what = f"was read as {read[:12]}, recorded as written {made[:12]}"
                chain.find(Verdict.BROKEN, node, path, what)


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return sorted(key for key in before | now if before.get(key) != now.get(key))


def check_code(chain: Chain) -> None:
    """Compare the code that each job ran with the code that is here."""
    for node in (node for node in chain.nodes if node.record):
        module, files = node.record["module"], node.record["facts"]["code"]["files"]
        try:
            changed = _changed(files, code_facts(module))
        except ModuleNotFoundError:
            changed = [module]
        for path in changed:
            chain.find(Verdict.STALE, node, path, "has changed since")


def check_settings(chain: Chain, config: Config) -> None:
    """Compare the settings that each job was given with what ``config`` would give it."""
    for node in (node for node in chain.nodes if node.record):
        stage, instance = node.record["stage"], node.record["instance"]
        facts = node.record["facts"]
        try:
            now = settings_of(config, stage, instance).model_dump(mode="json")
            seed = seed_of(config, stage, instance)
        except (KeyError, TypeError):
            chain.find(Verdict.STALE, node, "", "the configuration no longer asks for this job")
            continue
        changed = _changed(facts["settings"], now)
        if seed not in (None, facts["seed"]):
            changed.append("seed")
        for key in changed:
            what = f"setting `{key}` has changed since"
            chain.find(Verdict.STALE, node, "", what)


def check_sources(chain: Chain) -> None:
    """Every chain must begin at a download whose bytes are those that the registry names."""
    for node in (node for node in chain.nodes if node.record):
        if any(node.files("inputs")):
            continue
        published = node.record["facts"]["settings"].get("sha256")
        if published is None:
            chain.find(Verdict.BROKEN, node, node.path, "reads nothing and is no download")
        for path, recorded in node.recorded.items():
            if published not in (None, recorded):
                what = f"is {recorded[:12]}, the registry names {published[:12]}"
                chain.find(Verdict.TAMPERED, node, path, what)


CHECKS: tuple[Callable[[Chain], None], ...] = (check_files, check_links, check_code, check_sources)


def audit(target: Path, config: Config | None) -> Chain:
    """The chain behind ``target`` with everything that is the matter with it.

    Without ``config``, settings are not compared. Raises :class:`UserError` for a file that is no
    result.
    """
    chain = walk(target)
    for check in CHECKS:
        check(chain)
    if config is not None:
        check_settings(chain, config)
    return chain
