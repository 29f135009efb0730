"""All that the records say about one result, as plain data: what `ernie-m audit` shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ernie_m.audit.chain import Chain, Finding, Verdict, chain_of
from ernie_m.audit.checks import check
from ernie_m.audit.claim import claim
from ernie_m.audit.keys import Layers, explained
from ernie_m.audit.locate import Place
from ernie_m.audit.witnesses import check_witnesses
from ernie_m.errors import UserError, parsed
from ernie_m.pipeline.stages import STAGES, stages_with
from ernie_m.records.graph import Reader, history
from ernie_m.records.record import Record
from ernie_m.records.replays import replays_of

# The folder of a checkpoint that a training kept on its way.
KEPT = re.compile(r"/step\d+/")
MARKS = {Verdict.VERIFIED: "checked", Verdict.INCOMPLETE: "recorded"}
# Drop reasons under which stages count text that they keep out of training because it is tested.
REPEATING = ("held out", "nearly held out", "evaluation text")


def chain_at(place: Place) -> Chain:
    """The jobs behind a place; raises :class:`UserError` if no record mentions it."""
    reader = Reader(place.base)
    start = reader.record_of(place.path)
    # Those that read these results too: they are asked whether they read the same.
    graph = reader.graph([start, *reader.all(place.run)])
    node = graph.nodes[start]
    if not node.data:
        known = "" if place.path == start else f", so nothing is known of {place.path}"
        raise UserError(
            f"{start} {node.fault}{known}.",
            "Name a file in a job's folder under results/; `ernie-m status` lists what there is, "
            "and `ernie-m restore` fetches what a remote has.",
        )
    if place.path not in (start, *node.recorded):
        raise UserError(
            f"{place.path} is not among the outputs in {start}.",
            "Name one of: " + ", ".join(node.recorded) + ".",
        )
    return chain_of(graph, graph.behind(start), place.path)


def account(
    place: Place, layers: Layers | None, signers: Path | None = None
) -> tuple[Chain, dict[str, Any]]:
    """The checked chain behind a place, and the full account of it; ``signers`` names those whose
    signatures count."""
    chain = chain_at(place)
    if place.superseded:
        chain.find(Verdict.STALE, chain.nodes[0], place.path, f": {place.remark}")
    check(chain, layers.config if layers else None)
    store = layers.config.tracking.uri if layers else ""
    anchors = check_witnesses(chain, store, signers)
    claimed = claim(chain.graph, place)
    if "value_from" in claimed:
        _check_table(chain, f"results/{place.run}/{claimed['value_from']}")
    findings = [finding_data(finding) for finding in chain.findings]
    return chain, {
        "target": chain.target,
        "remark": place.remark,
        "claim": claimed,
        "verdict": chain.verdict.name,
        "anchors": anchors,
        "settings_compared": layers is not None,
        "first": finding_data(chain.offence) if chain.offence else None,
        "findings": findings,
        "sources": list(sources(chain)),
        "foreign": foreign(chain),
        "keys": explained(readable(chain), layers),
        "code": code(chain),
        "circumstances": circumstances(readable(chain)),
        "seen_text": seen_text(chain),
        "repeats": repeats(readable(chain)),
        "next": next_steps(chain, layers),
        "jobs": [_job(chain, node) for node in chain.nodes],
    }


def _check_table(chain: Chain, path: str) -> None:
    """The table that a number was taken from, because the file with it is not here."""
    reader = Reader(chain.graph.base)
    maker = reader.record(reader.record_of(path))
    recorded, now = maker.recorded.get(path), chain.sha256(path)
    if recorded is None or maker.fault:
        what = "has the number, and no record that is here says with which bytes it was written"
        chain.find(Verdict.INCOMPLETE, chain.nodes[0], path, what)
    elif now and recorded != now:
        what = f"is {now[:12]}, its record says {recorded[:12]}"
        chain.find(Verdict.TAMPERED, chain.nodes[0], path, what)


def finding_data(finding: Finding) -> dict[str, str]:
    """A finding with the name of its verdict."""
    return asdict(finding) | {"verdict": finding.verdict.name}


def _job(chain: Chain, node: Record) -> dict[str, Any]:
    made = [
        {"ended": old.run.ended, "commit": old.run.git.commit, **old.recorded}
        for old in history(chain.graph.base / node.path)
    ]
    return {
        "job": node.job,
        "mark": mark(chain, [node]),
        "record": node.path,
        "made": made,
        "replays": [asdict(replay) for replay in replays_of(chain.graph.base, node)],
        **node.data,
    }


def readable(chain: Chain) -> list[Record]:
    """The jobs whose records can be read."""
    return [node for node in chain.nodes if node.data]


def mark(chain: Chain, nodes: Iterable[Record]) -> str:
    """The result of checking some jobs: checked, recorded only, or the worst finding."""
    jobs = {node.job for node in nodes}
    worst = max(
        (finding.verdict for finding in chain.findings if finding.job in jobs),
        key=lambda verdict: verdict.value,
        default=Verdict.VERIFIED,
    )
    return MARKS.get(worst, worst.name)


def sources(chain: Chain) -> Iterator[dict[str, Any]]:
    """The downloads: the registry row of each, and the digest of the file that is here."""
    names = ("id", "version", "licence", "home", "package", "url", "path")
    for node in readable(chain):
        for path, published in (node.published or {}).items():
            row = {name: node.settings.get(name) for name in names}
            if row["url"]:
                row["url"] = _address(row, Path(path).name)
            yield {
                **row,
                "file": path,
                "sha256": published,
                "retrieved": node.run.ended,
                "recorded": node.recorded[path],
                "observed": chain.sha256(path),
            }


def _address(row: dict[str, Any], name: str) -> str:
    """Where a file was fetched from, if its row has several."""
    return row["url"].replace("{version}", row["version"] or "").replace("{file}", name)


def foreign(chain: Chain) -> dict[str, dict[str, str | None]]:
    """Files that some job read and no job made: their digest when read, and now."""
    return {
        file.path: {"recorded": file.sha256, "observed": chain.sha256(file.path)}
        for node in chain.nodes
        for file in node.read_files
        if file.path not in chain.graph.made_by
    }


def code(chain: Chain) -> dict[str, Any]:
    """Commits, the code digest of each stage, and the source files that differ today."""
    nodes = readable(chain)
    own = {node.job for node in nodes if node.code.files}
    files = {path for node in nodes for path in node.code.files}
    changed = {
        finding.path for finding in chain.findings if finding.job in own and finding.path in files
    }
    return {
        "commits": sorted({node.run.git.commit or "no git" for node in nodes}),
        "dirty": sorted(node.job for node in nodes if node.run.git.dirty),
        "stages": {node.stage: node.code.digest for node in reversed(nodes)},
        "files": len(files),
        "changed": sorted(changed),
    }


def circumstances(nodes: Iterable[Record]) -> dict[str, list[str]]:
    """Software and hardware, each with all its values."""
    found: dict[str, set[str]] = {}
    for run in (node.run for node in nodes):
        facts = {
            "python": run.python,
            "packages pinned by": (run.lock or "")[:12],
            "system": run.host,
            "processor": run.machine.get("processor") or "",
            "accelerator": ", ".join(run.machine.get("accelerators", ())),
            **run.packages,
        }
        for name, value in facts.items():
            found.setdefault(name, set()).update({value} - {""})
    return {name: sorted(values) for name, values in found.items() if values}


def seen_text(chain: Chain) -> dict[str, Any]:
    """Whether test data was seen before: its text in training, its files in model selection."""
    readers = {node.job for node in chain.nodes if node.inputs.get("test")}
    return {
        "compared": _compared(readable(chain)),
        "dropped": _dropped(chain),
        "test_readers": sorted({job.split("/")[0] for job in readers}),
        "test_in_choice": sorted(
            job for job in readers if job.split("/")[0] not in stages_with("tests")
        ),
    }


def _compared(nodes: list[Record]) -> bool:
    """Whether the training text was compared with the test data: with the test files themselves,
    or with the held-out rows that they are made of."""
    tested, hashed, held_out = (set[str]() for _ in range(3))
    for node in nodes:
        for name, files in node.inputs.items():
            paths = {file.path for file in files}
            tested |= paths if name == "test" else set()
            hashed |= paths if node.stage == "corpora_eval_hashes" else set()
            made_of_rows = node.stage == "xtreme_prepare" and name == "rows" and paths
            held_out |= set(node.recorded) if made_of_rows else set()
    selects = any(node.stage == "corpora_select" for node in nodes)
    return not selects or (bool(hashed) and tested <= hashed | held_out)


def _dropped(chain: Chain) -> dict[str, int] | None:
    """Rows of training text dropped because they repeat test data, counted by reason; None unless
    the statistics of all jobs that drop them are here."""
    paths = [
        chain.graph.base / path
        for node in readable(chain)
        if node.stage in stages_with("divides")
        for path in node.recorded
        if path.endswith("stats.json")
    ]
    if not paths or not all(path.is_file() for path in paths):
        return None
    found: dict[str, int] = {}
    waiting = [parsed(path, path.read_text("utf-8", errors="replace")) for path in paths]
    while waiting:
        for key, value in waiting.pop().items():
            if key == "dropped":
                for reason in (name for name in value if name in REPEATING):
                    found[reason] = found.get(reason, 0) + value[reason]
            elif isinstance(value, dict):
                waiting.append(value)
    return dict(sorted(found.items()))


def repeats(nodes: list[Record]) -> dict[str, Any]:
    """What the bytes depend on besides inputs, settings and code: seeds, threads, resumption."""
    drawn = {
        node.stage: node.seed
        for node in reversed(nodes)
        if node.stage in STAGES and STAGES[node.stage].seed
    }
    resumed = {node.job: step for node in nodes if (step := node.run.notes.get("resumed_from"))}
    threads = {node.stage: node.run.threads for node in nodes if node.run.threads > 1}
    device = any(node.run.machine.get("accelerators") for node in nodes)
    return {"seeds": drawn, "resumed_from": resumed, "threads": threads, "accelerator": device}


def seconds(nodes: Iterable[Record]) -> float:
    """Time that the last run of each job took."""
    return sum(node.seconds for node in nodes)


def _affected(chain: Chain, verdict: Verdict) -> list[Record]:
    """The jobs of the chain with a finding of this kind, and their descendants in the chain."""
    jobs = {finding.job for finding in chain.findings if finding.verdict == verdict}
    hit = [node.path for node in chain.nodes if node.job in jobs]
    behind = {node.path for node in chain.nodes}
    return [node for node in chain.graph.ahead(*hit) if node.path in behind]


def snakemake(target: str, layers: Layers | None, *more: str) -> str:
    """The command that makes a file; of a checkpoint that a training kept, the training."""
    overlays = ["--configfile", *layers.overlays] if layers and layers.overlays else []
    words = [KEPT.sub("/", word) for word in (target, *more)]
    return shlex.join(["snakemake", words[0], "--cores", "all", *overlays, *words[1:]])


def next_steps(chain: Chain, layers: Layers | None) -> list[dict[str, Any]]:
    """Commands that the verdict suggests, each with its purpose and a cost in seconds or bytes."""
    target = chain.target
    if Path(target).name == "record.json":
        target = next(iter(chain.nodes[0].recorded), target)
    offence = chain.offence
    steps: list[dict[str, Any]] = []

    def step(purpose: str, command: str, **cost: float) -> None:
        steps.append({"purpose": purpose, "command": command, **cost})

    if offence and chain.verdict == Verdict.INCOMPLETE:
        missing = sum(
            file.bytes
            for node in chain.nodes
            for file in node.made_files
            if not (chain.graph.base / file.path).is_file()
        )
        if missing:
            step("fetch what is not here", f"ernie-m restore --for {target}", bytes=missing)
        ran = {path for node in chain.nodes if node.data for path in node.code.files}
        if not missing and ran & chain.uncommitted:
            files = shlex.join(sorted(ran & chain.uncommitted))
            step("commit the code that ran", f"git add {files}")
    elif offence and chain.verdict == Verdict.STALE:
        stale = _affected(chain, Verdict.STALE)
        step("see what would run, and why", snakemake(target, layers, "--dry-run"))
        step("make it anew", snakemake(target, layers), seconds=seconds(stale))
    elif offence:
        node = next(node for node in chain.nodes if node.job == offence.job)
        file = offence.path if offence.path in node.recorded else next(iter(node.recorded), target)
        ahead = _affected(chain, chain.verdict)
        if layers and offence.path == layers.config.corpora.registry:
            step("see who changed the row", f"git log -p -- {offence.path}")
        else:
            step("take the recorded bytes back, if DVC has them", f"ernie-m restore --for {file}")
            again = snakemake(target, layers, "--forcerun", file)
            step("or make it anew", again, seconds=seconds(ahead))
    first = seconds(chain.nodes[:1])
    step("repeat the last step", snakemake(target, layers, "--forcerun", target), seconds=first)
    everything = snakemake(target, layers, "--forceall")
    step("repeat all from the download", everything, seconds=seconds(chain.nodes))
    return steps
