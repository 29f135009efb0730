"""What stands outside a job's own record and speaks for it, or against it.

Anybody who can write a result can write its record too, with a seal that fits. So everything else
that names the same bytes is asked: jobs that read them, the collected lineage here and in git, what
was signed, DVC's lock file, MLflow's store, and replays. A witness that names something else keeps
a chain from being VERIFIED; those that agree are what it is anchored by.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ernie_m.audit.chain import Chain, Verdict
from ernie_m.audit.plausible import later
from ernie_m.audit.signatures import SEALS, at_head, seals_in, signed_seals, signers_state
from ernie_m.bounded import parse_yaml, read_text
from ernie_m.records.graph import LINEAGE, RESULTS, SHARED
from ernie_m.records.record import RECORD, Record
from ernie_m.records.replays import CLOSE, DIFFERENT, replays_of
from ernie_m.records.writer import git
from ernie_m.tracking.finish import LOGGED, NUMBERS
from ernie_m.tracking.store import numbers, sqlite_file
from ernie_m.tracking.versions import LOCK, md5
from ernie_m.words import plural

LARGEST = 100_000_000  # bytes of a file that is hashed once more, for DVC
REPORT = f"report_build/{RECORD}"
ANEW = "made anew since, or forged"


@dataclass(frozen=True)
class Seals:
    """A witness that names records: ``said`` in words, ``when`` it was written, as ISO 8601, a
    ``remark`` on it, and whether a chain is ``anchored`` by it: not by a file of its own run."""

    said: str
    when: str
    seals: dict[str, str]
    remark: str = ""
    anchored: bool = True


def runs_of(chain: Chain) -> list[str]:
    """The runs that a chain's results are of; downloads are of all."""
    return sorted({node.run_name for node in chain.nodes} - SHARED)


def _seals_of(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, lines.split("\n")):
        record = Record.parse_text(line)
        found |= {record.path: record.seal} if record.data and not record.fault else {}
    return found


def _in_git(chain: Chain, run: str) -> Iterator[Seals]:
    """The lineage, the report's record and the signed seals as they are committed."""
    for name in (LINEAGE, REPORT, SEALS):
        path = f"{RESULTS}/{run}/{name}"
        content = at_head(chain.graph.base, path)
        if not content:
            continue
        line = content.replace("\n", "") if name == REPORT else content
        about = git("-C", str(chain.graph.base), "log", "-1", "--format=%h %cI", "--", path) or ""
        commit, _, when = about.partition(" ")
        made, seals = seals_in(content) if name == SEALS else (when, _seals_of(line))
        yield Seals(f"commit {commit}", made, seals)


def _in_lineage(chain: Chain, run: str) -> Iterator[Seals]:
    path = f"{RESULTS}/{run}/{LINEAGE}"
    file = chain.graph.base / path
    if file.is_file():
        report = chain.graph.nodes.get(f"{RESULTS}/{run}/{REPORT}")
        when = report.run.ended if report else ""
        seals = _seals_of(file.read_text(encoding="utf-8", errors="replace"))
        yield Seals(path, when, seals, anchored=False)


def _signed(chain: Chain, run: str, signers: Path | None) -> Iterator[Seals]:
    signed = signed_seals(chain.graph.base, run, signers)
    if signed and signed.fault:
        what = f"counts for nothing: {signed.fault}"
        chain.find(Verdict.INCOMPLETE, chain.nodes[0], f"{RESULTS}/{run}/{SEALS}", what)
    elif signed:
        said = f"the signature of {signed.by}, {signed.when}"
        yield Seals(said, signed.when, signed.seals, signers_state())


def _asked(chain: Chain, witness: Seals) -> str:
    """Compare the records of a chain with those that a witness names; what it vouches for."""
    agreed = 0
    for node in (node for node in chain.nodes if node.data and node.path in witness.seals):
        if witness.seals[node.path] == node.seal:
            agreed += 1
            continue
        # A job may be run again; but then it ends after what names the earlier one was written.
        late = later(node.run.ended, witness.when, timedelta(0))
        verdict = Verdict.STALE if late in (True, None) else Verdict.BROKEN
        chain.find(verdict, node, node.path, f"is not what {witness.said} names: {ANEW}")
    told = f"{witness.said} ({agreed} of {plural(len(chain.nodes), 'job')}{witness.remark})"
    return told if agreed and witness.anchored else ""


def _ask_readers(chain: Chain) -> None:
    """Jobs that read the files of a chain and are not of it: the report, as a rule."""
    own = {node.path for node in chain.nodes}
    for node in (node for node in chain.nodes if node.data):
        for reader in (chain.graph.nodes[path] for path in chain.graph.readers[node.path]):
            if reader.path in own:
                continue  # compared by check_links
            for file in reader.read_files:
                made = node.recorded.get(file.path)
                if file.path == node.path and not node.packed:
                    made = chain.sha256(node.path)
                if made and made != file.sha256:
                    what = f"was read by {reader.job} as {file.sha256[:12]}, it is {made[:12]}"
                    chain.find(Verdict.STALE, node, file.path, f"{what}: {ANEW}")


def _dvc(chain: Chain) -> str:
    """Files that dvc.lock names by themselves: scores and tables. Of folders it has one digest."""
    lock = chain.graph.base / LOCK
    if not lock.is_file():
        return ""
    try:
        stages = (parse_yaml(read_text(lock)) or {}).get("stages", {})
        outs = [out for stage in stages.values() for out in stage.get("outs", ())]
        named = {out["path"]: out["md5"] for out in outs if "md5" in out}
    except (ValueError, AttributeError, KeyError, TypeError):
        return ""
    agreed = 0
    for node in chain.nodes:
        for file in (file for file in node.made_files if file.path in named):
            path = chain.graph.base / file.path
            if not path.is_file() or path.stat().st_size > LARGEST:
                continue
            if md5(path) == named[file.path]:
                agreed += 1
            else:
                chain.find(Verdict.STALE, node, file.path, f"is not what {LOCK} names: {ANEW}")
    return f"{LOCK} ({plural(agreed, 'file')})" if agreed else ""


_LOGGED = """\
select stage.value, instance.value, tags.run_uuid, logged.value from tags
join tags stage on stage.run_uuid = tags.run_uuid and stage.key = 'stage'
join tags instance on instance.run_uuid = tags.run_uuid and instance.key = 'instance'
join tags logged on logged.run_uuid = tags.run_uuid and logged.key = ?
join tags superseded on superseded.run_uuid = tags.run_uuid and superseded.key = 'superseded'
where tags.key = 'results' and tags.value = ? and superseded.value = 'no'"""


def _mlflow(chain: Chain, uri: str) -> str:
    """The runs in MLflow that stand: which record each logged, and with which numbers."""
    file = sqlite_file(uri)
    if file is None or not file.is_file() or Path.cwd() != chain.graph.base:
        return ""
    agreed = set[str]()
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            for own in runs_of(chain):
                rows = store.execute(_LOGGED, (LOGGED, f"{RESULTS}/{own}")).fetchall()
                logged = {(stage, instance): (run, sha) for stage, instance, run, sha in rows}
                for node in (node for node in chain.nodes if node.run_name in (own, *SHARED)):
                    run, sha = logged.get((node.stage, node.instance), ("", ""))
                    # It may have logged an earlier record: not every call is tracked.
                    logs = run and not node.packed and sha == chain.sha256(node.path)
                    if logs and _same_numbers(chain, node, run, store):
                        agreed.add(node.path)
    except sqlite3.Error:
        return ""
    told = f"MLflow's store ({len(agreed)} of {plural(len(chain.nodes), 'job')})"
    return told if agreed else ""


def _same_numbers(chain: Chain, node: Record, run: str, store: sqlite3.Connection) -> bool:
    rows = store.execute("select key, value from latest_metrics where run_uuid = ?", (run,))
    metrics = dict(rows.fetchall())
    for name in NUMBERS:
        for file in node.outputs.get(name, []):
            path = chain.graph.base / file.path
            if path.suffix != ".json" or chain.sha256(file.path) != file.sha256:
                continue
            for key, value in numbers(json.loads(path.read_text("utf-8"))).items():
                logged = metrics.get(f"{name}/{key}", value)
                if logged != value:
                    what = f"has {value} at {key}, MLflow's run {run[:8]} has {logged}"
                    chain.find(Verdict.TAMPERED, node, file.path, what)
                    return False
    return True


def _replays(chain: Chain) -> str:
    """Jobs that were done again: the last time of each counts."""
    last = {node.path: replays_of(chain.graph.base, node)[-1:] for node in chain.nodes}
    agreed, close, who = 0, 0.0, dict[str, str]()
    for node in chain.nodes:
        for replay in last[node.path]:
            told = f"by {replay.by}, {replay.ended}"
            if replay.outcome == DIFFERENT:
                what = f"was done again {told}, and something else came out"
                chain.find(Verdict.BROKEN, node, node.path, what)
            else:
                agreed += 1
                who[replay.by] = replay.ended
                close = max(close, replay.tolerance if replay.outcome == CLOSE else 0.0)
    by = ", ".join(f"{name}, {when[:10]}" for name, when in who.items())
    by += f"; to within {close:g}, not the same bytes" if close else ""
    return f"replay of {agreed} of {plural(len(chain.nodes), 'job')} (by {by})" if agreed else ""


def check_witnesses(chain: Chain, store: str = "", signers: Path | None = None) -> list[str]:
    """Ask everybody; returns what the chain is anchored by, in words.

    ``store`` is the URI of MLflow's store, of which only a SQLite file is read.
    """
    _ask_readers(chain)
    told = [
        _asked(chain, witness)
        for run in runs_of(chain)
        for witness in (
            *_signed(chain, run, signers),
            *_in_git(chain, run),
            *_in_lineage(chain, run),
        )
    ]
    return list(filter(None, [*told, _dvc(chain), _replays(chain), _mlflow(chain, store)]))
