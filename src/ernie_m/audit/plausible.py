"""Whether what records say can be: times, commits, and what the plan has a job read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from ernie_m.audit.chain import Chain, Verdict
from ernie_m.audit.packages import locked, unlike
from ernie_m.audit.planned import expected, lacking, tested, unexpected
from ernie_m.config.root import Config
from ernie_m.pipeline.stages import STAGES, jobs, module_of
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import history
from ernie_m.records.record import RECORD, Record
from ernie_m.records.writer import LOCK, changed_since, committed_digest, git
from ernie_m.words import few

# By how much the clocks of machines may differ that share a folder.
CLOCKS = timedelta(minutes=1)


def later(time: str, other: str, by: timedelta = CLOCKS) -> bool | None:
    """Whether a time is later than another, both in ISO 8601; None if one is not known."""
    try:
        return (datetime.fromisoformat(time) - datetime.fromisoformat(other)) > by
    except (ValueError, TypeError):
        return None


def check_times(chain: Chain) -> None:
    """Nothing ends before it starts, nor in the future, nor is read before it is made."""
    now = datetime.now(UTC).isoformat()
    for node in (node for node in chain.nodes if node.data):
        run = node.run
        if later(run.started, run.ended):
            what = f"says that it started {run.started}, and ended before, {run.ended}"
            chain.find(Verdict.BROKEN, node, node.path, what)
        if later(run.ended, now):
            chain.find(Verdict.BROKEN, node, node.path, f"says that it ends in {run.ended}")
        for maker in (chain.graph.nodes[path] for path in chain.graph.sources(node)):
            if later(maker.run.ended, run.started) and not _made_before(chain, maker, node):
                what = f"started {run.started}, before {maker.job} ended, {maker.run.ended}"
                chain.find(Verdict.BROKEN, node, node.path, what)


def _made_before(chain: Chain, maker: Record, reader: Record) -> bool:
    """Whether the maker has run before, with the same bytes: it was made anew since."""
    read = {file.path: file.sha256 for file in reader.read_files}
    wanted = {path: read[path] for path in maker.recorded.keys() & read.keys()}
    return any(
        wanted.items() <= old.recorded.items() and not later(old.run.ended, reader.run.started)
        for old in history(chain.graph.base / maker.path)
        if not old.fault
    )


def check_packages(chain: Chain) -> None:
    """What ran with this lock has to have the versions that it names."""
    lock = locked()
    own = file_sha256(LOCK) if lock else None
    for node in (node for node in chain.nodes if own and node.run.lock == own):
        for one in unlike(node.run.packages, lock):
            what = f"is said to be what the environment was made by, but it had {one}"
            chain.find(Verdict.INCOMPLETE, node, LOCK.name, what)


def check_places(chain: Chain) -> None:
    """A record lies in the folder of its stage and instance, and its outputs below it."""
    for node in (node for node in chain.nodes if node.data):
        folder = node.path.removesuffix(RECORD)
        if not f"/{folder}".endswith(f"/{node.job}/"):
            chain.find(Verdict.BROKEN, node, node.path, "is the record of a job of another name")
        if node.stage in STAGES and node.module != module_of(node.stage):
            chain.find(Verdict.BROKEN, node, node.path, f"says that `{node.module}` ran")
        for path in (path for path in node.recorded if not path.startswith(folder)):
            chain.find(Verdict.BROKEN, node, path, "is said to be written outside the job's folder")


def check_commits(chain: Chain) -> None:
    """The commit that a job ran at has to be in the repository, with the code that it ran."""
    since = cache(changed_since)
    for node in chain.nodes if git("rev-parse", "HEAD") else ():
        commit = node.run.git.commit
        if not commit:
            continue
        changed = since(commit)
        if changed is None:
            what = f"says that it ran at commit {commit[:12]}, which is not in this repository"
            chain.find(Verdict.INCOMPLETE, node, node.path, what)
            continue
        own = node.code.files.keys() - set(node.run.git.changed or ())
        for path in sorted(own & changed):
            if committed_digest(commit, path) != node.code.files[path]:
                what = f"is not at commit {commit[:7]} what the record says that it ran"
                chain.find(Verdict.BROKEN, node, path, what)


def check_plan(chain: Chain, config: Config) -> None:
    """Compare the jobs whose files each job read with those that the plan has it read."""
    planned = jobs(config)
    for node in (node for node in chain.nodes if node.stage in STAGES):
        makers = [chain.graph.nodes[path] for path in chain.graph.sources(node)]
        read = {(maker.stage, maker.instance) for maker in makers if maker.data}
        for stage in unexpected(node.stage, read):
            what = f"read results of {stage}, which no job of {node.stage} reads"
            chain.find(Verdict.BROKEN, node, node.path, what)
        whole = all(maker.data for maker in makers)
        for needed in lacking(node.stage, read) if whole else ():
            what = f"read no results of {needed}, as any job of {node.stage} does"
            chain.find(Verdict.BROKEN, node, node.path, what)
        for path in tested(node):
            chain.find(Verdict.BROKEN, node, path, f"is for tests only, and {node.stage} read it")
        for stage, wanted in expected(config, planned, node.stage, node.instance):
            if other := wanted ^ {job for job in read if job[0] == stage}:
                what = f"read other results of {stage} than the configuration has it read: "
                told = few(sorted("/".join(filter(None, job)) for job in other))
                chain.find(Verdict.STALE, node, node.path, f"{what}{told}")
