"""Walk from a result back to the downloaded bytes, and say whether it still holds.

Reads the records, and hashes the files that are here; works on a clone without data (recorded,
not checked) and without a workflow engine. Exit status: 0 VERIFIED, 3 INCOMPLETE (files are not
here), 4 STALE (code, settings or an input changed since), 5 BROKEN (a record is missing or was
edited), 6 TAMPERED (a file is not what its record says).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ernie_m.config.load import read
from ernie_m.lineage.chain import Chain, Finding, Verdict, audit
from ernie_m.lineage.graph import Node
from ernie_m.lineage.keys import layers_of
from ernie_m.lineage.slices import SEEDED

SHOWN = 6  # jobs of one stage that are listed singly
WIDTH = 100


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _marks(chain: Chain, nodes: Sequence[Node]) -> str:
    """What was found out about some jobs: checked, recorded only, or the worst finding."""
    jobs = {node.job for node in nodes}
    worst = max(
        (f.verdict for f in chain.findings if f.job in jobs),
        key=lambda verdict: verdict.value,
        default=Verdict.VERIFIED,
    )
    names = {Verdict.VERIFIED: "checked", Verdict.INCOMPLETE: "recorded"}
    return names.get(worst, worst.name)


def _settings(node: Node) -> str:
    """The settings of a job in one line; groups of settings are named without their contents."""
    stage, facts = node.record["stage"], node.record["facts"]
    words = [f"seed={facts['seed']}"] if stage in (*SEEDED, "xtreme_finetune") else []
    for key, value in facts["settings"].items():
        plain = json.dumps(value, ensure_ascii=False) if not isinstance(value, dict) else "{...}"
        words.append(f"{key}={plain}")
    text = " ".join(words) or "(no settings)"
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _commit(nodes: Sequence[Node]) -> str:
    """The commit that some jobs ran at, with `+` where the working tree had changes."""
    states = [node.record["run"]["git"] for node in nodes if node.record]
    commits = {state["commit"] for state in states}
    name = (commits.pop() or "no git")[:7] if len(commits) == 1 else f"{len(commits)} commits"
    return name + ("+" if any(state["dirty"] for state in states) else "")


def _line(chain: Chain, name: str, nodes: Sequence[Node]) -> str:
    outputs = [file for node in nodes for file in node.files("outputs")]
    digest = outputs[0]["sha256"][:12] if len(nodes) == 1 and outputs else ""
    size = _size(sum(file["bytes"] for file in outputs))
    seconds = sum(node.record["run"]["seconds"] for node in nodes if node.record)
    mark = _marks(chain, nodes)
    return f"  {name:<52} {digest:<12} {size:>9} {seconds:>8.1f} s  {_commit(nodes):<10}  {mark}"


def _jobs(chain: Chain, full: bool) -> Iterator[str]:
    """The jobs, the target's first; many of one stage in one line."""
    stages: dict[str, list[Node]] = {}
    for node in chain.nodes:
        stages.setdefault(node.job.split("/")[0] if node.record else node.job, []).append(node)
    for stage, nodes in stages.items():
        if len(nodes) > SHOWN and not full:
            yield _line(chain, f"{stage} ({len(nodes)} jobs)", nodes)
            continue
        for text, alike in groupby(nodes, key=lambda n: _settings(n) if n.record else ""):
            for node in alike:
                yield _line(chain, node.job, [node])
            yield f"      {text}" if text else "      no record"


def _sources(chain: Chain) -> Iterator[dict[str, Any]]:
    for node in chain.nodes:
        settings = node.record["facts"]["settings"] if node.record else {}
        if "licence" in settings:
            names = ("id", "version", "licence", "sha256", "home")
            yield {name: settings.get(name) for name in names}


def _words(finding: Finding, jobs: int = 1) -> str:
    where = finding.job if jobs == 1 else f"{jobs} jobs"
    return f"{finding.verdict.name} {where}: " + f"{finding.path} {finding.what}".strip()


def _alike(findings: Sequence[Finding]) -> list[str]:
    """Findings in words; what is said of several jobs in the same words is said once."""
    groups: dict[tuple[Verdict, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.verdict, finding.path, finding.what), []).append(finding)
    return [_words(group[0], len(group)) for group in groups.values()]


def _text(chain: Chain, compared: bool, full: bool) -> Iterator[str]:
    yield f"{chain.target}"
    yield from _jobs(chain, full)
    for source in _sources(chain):
        yield f"\nsource {source['id']} {source['version']}, {source['licence']}, {source['home']}"
        yield f"      sha256 {source['sha256']}"
    if not compared:
        yield "\nSettings were not compared: no file in config/ is of this run."
    here = sum(digest is not None for digest in chain.hashed.values())
    yield f"\n{chain.verdict.name}: {len(chain.nodes)} jobs, {here} files hashed."
    if chain.offence:
        yield f"first: {_words(chain.offence)}"
        rest = [finding for finding in chain.findings if finding is not chain.offence]
        words = [_words(finding) for finding in rest] if full else _alike(rest)
        shown = words if full else words[:SHOWN]
        yield from (f"   also {line}" for line in shown)
        if len(words) > len(shown):
            yield f"   and {len(words) - len(shown)} more; `--full` lists them"


def _json(chain: Chain, compared: bool) -> str:
    findings = [
        {"verdict": f.verdict.name, "job": f.job, "path": f.path, "what": f.what}
        for f in chain.findings
    ]
    value = {
        "target": chain.target,
        "verdict": chain.verdict.name,
        "settings_compared": compared,
        "first": findings[chain.findings.index(chain.offence)] if chain.offence else None,
        "findings": findings,
        "sources": list(_sources(chain)),
        "jobs": [
            {"job": n.job, "mark": _marks(chain, [n]), "record": n.path, **n.record}
            for n in chain.nodes
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m audit`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="ernie-m audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="a result, e.g. .../scores.json")
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        help="overlays that the run was made with (default: the file in config/ of this run)",
    )
    parser.add_argument("--full", action="store_true", help="list every job and finding")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    parts = args.file.resolve().parts
    run = parts[parts.index("results") + 1] if "results" in parts[:-1] else ""
    config = (
        read(*args.configfile)
        if args.configfile
        else (layers.config if (layers := layers_of(run)) else None)
    )
    chain = audit(args.file, config)
    compared = config is not None
    print(_json(chain, compared) if args.json else "\n".join(_text(chain, compared, args.full)))
    return chain.verdict.value
