"""Whether the jobs behind a result still hold: files, links, code, settings, sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ernie_m.audit.chain import Chain, Verdict
from ernie_m.audit.plausible import (
    check_commits,
    check_packages,
    check_places,
    check_plan,
    check_times,
)
from ernie_m.config.root import Config
from ernie_m.downloads.trust import TRUSTED, trusted_sha256
from ernie_m.pipeline.stages import seed_of, settings_of
from ernie_m.records.digest import code_facts
from ernie_m.records.graph import SHARED
from ernie_m.records.record import Record


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
            if maker.data and maker.stage not in SHARED and maker.run_name != node.run_name:
                what = f"is of run `{maker.run_name}`, outside this one"
                chain.find(Verdict.INCOMPLETE, node, path, what)
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
    what = "was made by no job and is in no registry: nothing is known of it but its bytes"
    chain.find(Verdict.INCOMPLETE, node, path, what)
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
        if node.published is None or node.stage not in SHARED:
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


CHECKS: tuple[Callable[[Chain], None], ...] = (
    *(check_places, check_links, check_times, check_code, check_commits, check_packages),
    check_sources,
)


def check(chain: Chain, config: Config | None, hashing: bool = True) -> Chain:
    """The chain with all its findings.

    Without ``config``, settings are not compared; without ``hashing``, only sizes of files are.
    """
    for step in (check_files if hashing else check_sizes, *CHECKS):
        step(chain)
    if config is not None:
        check_settings(chain, config)
        check_plan(chain, config)
    return chain
