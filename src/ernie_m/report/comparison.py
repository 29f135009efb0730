"""A run's scores beside published ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ernie_m.catalogue.published import PUBLISHED, Published
from ernie_m.catalogue.tasks import TASKS, XTREME
from ernie_m.pipeline.stages import parts_of
from ernie_m.records.record import Record
from ernie_m.report.evidence import Evidence
from ernie_m.report.scores import MAIN_VARIANT, STAGES, TRANSFER, Cell, Row, Table
from ernie_m.xtreme.scoring.aggregate import benchmark, task_score


@dataclass(frozen=True)
class Compared:
    """A published row; ``differences`` are the scores of the run's last stage minus the published
    ones, by language, with the deviation over the run's seeds; only where both have the same
    setting."""

    row: Published
    differences: dict[str, Cell]


def compared(evidence: Evidence, table: Table) -> list[Compared]:
    """The published rows for a table; none for a stand-in."""
    own = table.stages[-1] if table.stages else None
    setting = None if table.standin else _setting(evidence, table.task)
    return [
        Compared(row, _less(own, row) if own and row.ours and row.setting == setting else {})
        for row in PUBLISHED.get((table.task, table.metric), ())
    ]


def _less(own: Row, published: Published) -> dict[str, Cell]:
    scores = dict(published.scores)
    if published.transfer is not None:
        scores[TRANSFER] = published.transfer
    return {
        name: Cell(cell.value - scores[name], cell.spread, cell.places, cell.n)
        for name, cell in own.cells.items()
        if name in scores
    }


def _setting(evidence: Evidence, task: str) -> str | None:
    """The setting of the main variant for a task, one of ``SETTINGS`` of
    :mod:`ernie_m.catalogue.published`; None if no job's record shows it."""
    own = [job for job in evidence.jobs("xtreme_predict") if _of(job, task)]
    if not own:
        return None
    (model,) = own[-1].inputs["model"]
    maker = evidence.makers.get(model.path)
    if maker and maker.record.stage == "xtreme_align":
        return "aligned"
    if not TASKS[task].trained:
        return "finetuned" if maker and maker.record.stage == "xtreme_finetune" else "pretrained"
    return "all" if len(taught_in(evidence, task)) > 1 else "english"


def _of(job: Record, task: str | None) -> bool:
    """Whether a job belongs to the main variant, and to ``task`` if that is given."""
    parts = parts_of(job.stage, job.instance)
    return parts["variant"] == MAIN_VARIANT and task in (None, parts["task"])


def taught_in(evidence: Evidence, task: str | None = None) -> set[str]:
    """The languages that the main variant was fine-tuned in, for all tasks or for one."""
    return {
        Path(file.path).stem.rpartition("-")[2]
        for job in evidence.jobs("xtreme_finetune")
        if _of(job, task)
        for file in job.inputs.get("train", [])
    }


def groups(tables: list[Table]) -> dict[str, dict[str, float]]:
    """XTREME's means of the main variant by pre-training stage: of each group with all its tasks,
    and ``overall`` if all nine tasks are there."""
    averages: dict[str, dict[str, dict[str, float]]] = {stage: {} for stage in STAGES}
    for table in tables:
        for row in table.stages:
            if table.task in XTREME and row.average:
                own = averages[row.stage].setdefault(table.task, {})
                own[table.metric] = row.average.value
    found = {}
    for stage, tasks in averages.items():
        means = benchmark({name: task_score(TASKS[name], own) for name, own in tasks.items()})
        overall = {"overall": means["overall"]} if "overall" in means else {}
        found[stage] = means["groups"] | overall
    return {stage: means for stage, means in found.items() if means}
