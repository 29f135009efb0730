"""What came out: steps, scores, groups, layers and variants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from ernie_m.catalogue.published import LEADERBOARD
from ernie_m.replicates import MARK, variant_of
from ernie_m.report import comparison, figures, scores, training
from ernie_m.report.evidence import Evidence
from ernie_m.report.scores import AFTER, MAIN_VARIANT, STAGES, Table, readable, stage_names
from ernie_m.report.svg import Drawing
from ernie_m.words import plural

CATEGORIES = {
    "retrieval": "Sentence retrieval",
    "classification": "Pair classification",
    "tagging": "Tagging",
    "qa": "Question answering",
}


def by_category(tables: Iterable[Table], metrics: dict[str, str]) -> list[dict[str, Any]]:
    """Tables of main metrics by category, each with those of the task's other metrics."""
    tables = list(tables)
    sections: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        if table.metric == metrics.get(table.task, table.metric):
            others = [t for t in tables if t.task == table.task and t is not table]
            sections.setdefault(table.category, []).append({"main": table, "others": others})
    return [
        {"name": CATEGORIES.get(category, category or "Other"), "tasks": tasks}
        for category, tasks in sections.items()
    ]


def verdict(tables: Sequence[Table], adopted: bool = False) -> list[str]:
    """What came out, in sentences that follow from the averages alone; ``adopted`` where the run
    starts from the weights of others."""
    start_words = "that of the weights it started from" if adopted else "the untrained encoder's"
    sentences = []
    for stage in ("camlm", "btmlm"):
        found = (scores.verdict(table, MAIN_VARIANT, stage) for table in tables)
        rows = [own for own in found if own and own.start and own.baseline]
        if rows:
            above = sum(own.above(own.start) for own in rows)
            beats = sum(own.above(own.baseline) for own in rows)
            sentences.append(
                f"After {STAGES[stage]} the average over languages is more than "
                f"{plural(scores.MARGIN, 'point')} above "
                f"{start_words} in {above} of {len(rows)} tasks, and above the best baseline's in "
                f"{beats}."
            )
    return sentences


def repeated(evidence: Evidence, tables: Iterable[Table]) -> str:
    """What deviations are taken over, in words; empty without any."""
    means = (row.average for table in tables for row in table.rows)
    if all(mean is None or mean.spread is None for mean in means):
        return ""
    scored = [artifact.parts for artifact in evidence.shown("xtreme_score", "scores")]
    if not any(MARK in parts["variant"] for parts in scored):
        return "seeds"
    named: dict[tuple[str, str], set[str]] = {}
    for parts in scored:
        own = named.setdefault((variant_of(parts["variant"]), parts["checkpoint"]), set())
        own.add(parts["variant"])
    shared = any(len(own) == 1 for own in named.values())
    return "replicates" + ("; for an encoder that all of them share, over seeds" if shared else "")


def variants(evidence: Evidence, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The variants with their tokens, what sets them apart, and their averages."""
    names = training.variant_names(evidence)
    if len(names) < 2:
        return []
    rows = []
    for name in names:
        stages = training.chain(evidence, name)
        averages = [(table, _last_average(table, name)) for table in tables]
        rows.append(
            {
                "name": name,
                "tokens": sum(stage.metrics["tokens"] for stage in stages),
                "places": [f"{stage.paths[0]}#tokens" for stage in stages],
                "objectives": [_mixture(stage) for stage in stages],
                "differences": training.differences(evidence, name),
                "averages": [(table.title, cell) for table, cell in averages],
            }
        )
    return rows


def _mixture(stage: training.Trained) -> str:
    shares = stage.record.settings["objectives"]
    return " + ".join(name.upper() for name, share in shares.items() if share)


def _last_average(table: Table, variant: str) -> Any:
    found = (table.average(variant, stage) for stage in reversed(STAGES))
    return next((cell for cell in found if cell), None)


def _averaged(evidence: Evidence) -> dict[tuple[str, str], set[str]]:
    """The languages that count in the averages of the main variant, by task and stage."""
    return {
        (own.parts["task"], own.parts["checkpoint"]): {
            code for code, scores in own.json()["languages"].items() if scores["averaged"]
        }
        for own in evidence.shown("xtreme_score", "scores")
        if own.parts["variant"] == MAIN_VARIANT
    }


def layers(evidence: Evidence) -> list[dict[str, Any]]:
    """Accuracy by layer of the main variant's encoders, mean over languages and seeds, as a figure
    a task."""
    averaged = _averaged(evidence)
    sweeps: dict[str, dict[str, list[list[float]]]] = {}
    used: dict[str, int] = {}
    for artifact in evidence.shown("xtreme_sweep", "layers"):
        parts = artifact.parts
        task, stage = parts["task"], parts["checkpoint"]
        if parts["variant"] == MAIN_VARIANT:
            sweep = artifact.json()
            used[task] = sweep["layer"]
            own = sweeps.setdefault(task, {}).setdefault(stage, [])
            wanted = averaged.get((task, stage), set())
            own += [
                accuracy
                for code, accuracy in sweep["languages"].items()
                if not wanted or code in wanted  # where none counts, all are shown
            ]
    found = []
    for task, stages in sweeps.items():
        averages = {
            stage: [fmean(layer) for layer in zip(*stages[stage], strict=True)]
            for stage in STAGES
            if stage in stages
        }
        title = readable(task)
        figure = figures.layers(title, averages, used[task], stage_names(evidence))
        found.append({"task": task, "title": title, "figure": figure})
    return found


def steps_shown(evidence: Evidence, tables: Iterable[Table]) -> dict[str, str]:
    """The steps of pre-training of which there are scores, in words."""
    present = {row.stage for table in tables for row in table.stages}
    first = "the weights as released" if evidence.start else "untrained encoder"
    words = {"initialise": first} | {
        stage: f"{AFTER[stage]}, {STAGES[stage]}" for stage in STAGES if stage != "initialise"
    }
    return {stage: words[stage] for stage in words if stage in present}


def taught_in(evidence: Evidence) -> str:
    """The languages of the main variant's fine-tuning, in words."""
    return "all languages" if len(comparison.taught_in(evidence)) > 1 else "English alone"


def groups(evidence: Evidence, tables: list[Table]) -> Drawing | None:
    """XTREME's means by group as a figure, None where no group is whole."""
    means = comparison.groups(tables)
    if not means:
        return None
    names = {key: CATEGORIES.get(key, "All nine tasks") for key in LEADERBOARD}
    present = [key for key in names if any(key in own for own in means.values())]

    def named(own: dict[str, float]) -> dict[str, float]:
        return {names[key]: own[key] for key in present if key in own}

    series = {stage: named(own) for stage, own in means.items()}
    title = "XTREME: means by group of tasks"
    marks, labels = named(LEADERBOARD), stage_names(evidence)
    return figures.dots(
        title, "percent", list(marks), series, labels, marks, "ERNIE-M on the leaderboard"
    )
