"""What a job must have read, as the plan has it: which stages' files, and of which jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ernie_m.config.root import MAIN_VARIANT, Config
from ernie_m.pipeline import plan
from ernie_m.pipeline.stages import STAGES, parts_of
from ernie_m.records.record import Record

Jobs = set[tuple[str, str]]  # (stage, instance)


def unexpected(stage: str, read: Jobs) -> list[str]:
    """The stages among those of ``read`` whose files no job of ``stage`` reads."""
    own = STAGES[stage]
    if own.collects or own.starts:
        return []
    return sorted({name for name, _ in read} - {*own.reads, *own.may_read})


def lacking(stage: str, read: Jobs) -> list[str]:
    """What any job of ``stage`` reads, and this one did not: stages, in words."""
    names = {name for name, _ in read}
    needed = (needs.split("|") for needs in STAGES[stage].needs)
    return [" or ".join(each) for each in needed if names.isdisjoint(each)]


def tested(record: Record) -> list[str]:
    """The test files that a job read although nothing may be chosen by them; the stage that keeps
    training text from repeating them may read them too."""
    own = STAGES[record.stage]
    if own.tests or "xtreme_prepare" in own.may_read:
        return []
    paths = (file.path for file in record.read_files)
    return [path for path in paths if "/xtreme_prepare/" in path and "/test-" in path]


def expected(
    config: Config, planned: Mapping[str, Collection[str]], stage: str, instance: str
) -> Iterator[tuple[str, Jobs]]:
    """Of each stage that a job reads every job's files of, these jobs; ``planned`` are all jobs.

    Nothing is expected of a variant that is no longer planned."""
    mine = parts_of(stage, instance)
    if mine.get("variant", MAIN_VARIANT) not in config.variant_names:
        return
    for entry in STAGES[stage].every:
        name, _, beginning = entry.partition("/")
        own = mine
        if name.startswith("pretrain_") and "variant" in mine:  # what variants share is made once
            maker = plan.made_by(config, mine["variant"], name.removeprefix("pretrain_"))
            own = mine | {"variant": maker}
        found = {
            (name, other)
            for other in planned[name]
            if other.startswith(beginning) and _fits(own, parts_of(name, other))
        }
        yield name, found


def _fits(mine: dict[str, str], others: dict[str, str]) -> bool:
    return all(mine[part] == others[part] for part in mine.keys() & others.keys())
