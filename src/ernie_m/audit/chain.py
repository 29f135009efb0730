"""Whether the jobs behind a result still hold: verdicts, and the checks that give them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.config.root import Config
from ernie_m.downloads.trust import TRUSTED, trusted_sha256
from ernie_m.pipeline.stages import seed_of, settings_of
from ernie_m.records.digest import code_facts, file_sha256
from ernie_m.records.graph import SHARED, Graph
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


def check_files(chain: Chain) -> None:
    """Compare the files that are here with the digests recorded when they were written."""
    for node in chain.nodes:
        for path, recorded in node.recorded.items():
            now = chain.sha256(path)
            if now is None:
                chain.find(Verdict.INCOMPLETE, node, path, "is not here; recorded, not checked")
            elif now != recorded:
                what = f"is {now[:12]}, its record says {recorded[:12]}"
                chain.find(Verdict.TAMPERED, node, path, what)


def check_links(chain: Chain) -> None:
    """Compare what each job read with what the maker recorded as written.

    A record that was itself an input (of the report), or a file that no job made, is compared as
    it is on disk.
    """
    for node in chain.nodes:
        for file in node.read_files:
            path, read = file.path, file.sha256
            if path not in chain.graph.made_by:
                _check_foreign(chain, node, path, read)
                continue
            maker = chain.graph.nodes[chain.graph.made_by[path]]
            made = chain.sha256(path) if path == maker.path else maker.recorded.get(path)
            if not maker.data or made == read or (maker.packed and path == maker.path):
                continue
            if made is None:
                chain.find(Verdict.BROKEN, node, path, "was read, but no job recorded writing it")
            elif chain.sha256(path) in (made, None):
                what = f"was made anew since ({read[:12]} was read, it is {made[:12]} now)"
                chain.find(Verdict.STALE, node, path, what)
            else:
                what = f"was read as {read[:12]}, recorded as written {made[:12]}"
                chain.find(Verdict.BROKEN, node, path, what)


def _check_foreign(chain: Chain, node: Record, path: str, read: str) -> None:
    now = chain.sha256(path)
    if now is None:
        chain.find(Verdict.INCOMPLETE, node, path, "is not here; recorded, not checked")
    elif now != read:
        what = f"has changed since ({read[:12]} was read, it is {now[:12]} now)"
        chain.find(Verdict.STALE, node, path, what)


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return sorted(key for key in before | now if before.get(key) != now.get(key))


def check_code(chain: Chain) -> None:
    """Compare the code that each job ran with the code that is here, and that with git."""
    for node in (node for node in chain.nodes if node.data):
        try:
            changed = _changed(node.code.files, code_facts(node.module))
        except ModuleNotFoundError:
            changed = [node.module]
        for path in changed:
            chain.find(Verdict.STALE, node, path, "has changed since")
        _check_commit(chain, node, set(changed))


def _check_commit(chain: Chain, node: Record, changed: set[str]) -> None:
    """Code that was uncommitted when it ran must be committed now, or nobody can get it back."""
    git = node.run.git
    if git.dirty and git.changed is None:  # schema 1
        what = "was run with changes that are not committed; which files is not recorded"
        chain.find(Verdict.INCOMPLETE, node, "", what)
    own = (node.code.files.keys() & set(git.changed or ())) - changed
    for path in sorted(own and own & chain.uncommitted):
        what = f"was run with changes that commit {(git.commit or '')[:7]} has not"
        chain.find(Verdict.INCOMPLETE, node, path, what)


def check_settings(chain: Chain, config: Config) -> None:
    """Compare the settings that each job was given with those that ``config`` would give it."""
    for node in (node for node in chain.nodes if node.data):
        try:
            now = settings_of(config, node.stage, node.instance).model_dump(mode="json")
            seed = seed_of(config, node.stage, node.instance)
        except (KeyError, TypeError, ValueError):
            chain.find(Verdict.STALE, node, "", "is no longer asked for by the configuration")
            continue
        changed = _changed(node.settings, now)
        if node.stage in SHARED and "version" not in changed and _renamed(chain, node, config, now):
            changed = [key for key in changed if key not in ("sha256", "files")]
        for key in changed:
            words = f"{json.dumps(node.settings.get(key))} then, {json.dumps(now.get(key))} now"
            what = f"setting `{key}` has changed since: {words}"
            chain.find(Verdict.STALE, node, "", what)
        if seed not in (None, node.seed):
            what = f"setting `seed` has changed since: {node.seed} then, {seed} now"
            chain.find(Verdict.STALE, node, "", what)


def _registry(config: Config, stage: str) -> str:
    """The registry file whose rows are the settings of a download."""
    return getattr(config, stage.partition("_")[0]).registry


def _renamed(chain: Chain, node: Record, config: Config, now: dict[str, Any]) -> bool:
    """Add a finding where the registry now has another digest for a file of the same version."""
    before, after = node.published or {}, node.published_by(now) or {}
    pairs = ((path, before[path], after.get(path)) for path in before)
    odd = [(path, old, new) for path, old, new in pairs if old and new and old != new]
    for path, old, new in odd:
        name = node.instance if len(before) == 1 else f"{node.instance}, {Path(path).name}"
        what = f"names {new[:12]} for {name}, which was published as {old[:12]}"
        chain.find(Verdict.TAMPERED, node, _registry(config, node.stage), what)
    return bool(odd)


def check_sources(chain: Chain) -> None:
    """Every chain must begin at a download with the digest that the registry names; where it names
    none, with that of the first download."""
    for node in (node for node in chain.nodes if node.data):
        if node.read_files:
            continue
        if node.published is None:
            chain.find(Verdict.BROKEN, node, node.path, "reads nothing and is no download")
        for path, published in (node.published or {}).items():
            names = "the registry names"
            if published is None and node.stage in TRUSTED:
                published = trusted_sha256(path, chain.graph.base / TRUSTED[node.stage])
                names = f"{TRUSTED[node.stage]} names"
            recorded = node.recorded[path]
            if published not in (None, recorded):
                what = f"is {recorded[:12]}, {names} {published[:12]}"
                chain.find(Verdict.TAMPERED, node, path, what)


def check_sizes(chain: Chain) -> None:
    """Like :func:`check_files`, but by presence and size only, without reading the files."""
    for node in chain.nodes:
        for file in node.made_files:
            path = chain.graph.base / file.path
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                what = "is not here; recorded, not checked"
                chain.find(Verdict.INCOMPLETE, node, file.path, what)
            elif size != file.bytes:
                what = f"has {size} bytes, its record says {file.bytes}"
                chain.find(Verdict.TAMPERED, node, file.path, what)


CHECKS: tuple[Callable[[Chain], None], ...] = (check_links, check_code, check_sources)


def check(chain: Chain, config: Config | None, hashing: bool = True) -> Chain:
    """The chain with all its findings.

    Without ``config``, settings are not compared; without ``hashing``, only sizes of files are.
    """
    for step in (check_files if hashing else check_sizes, *CHECKS):
        step(chain)
    if config is not None:
        check_settings(chain, config)
    return chain
