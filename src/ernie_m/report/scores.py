"""Scores as tidy rows, and the tables made from them."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.replicates import parted, variant_of
from ernie_m.report.evidence import Evidence

MAIN_VARIANT = "ernie_m"
BASELINE = "baseline"
AVERAGE, TRANSFER = "average", "transfer"
MEANS = (AVERAGE, TRANSFER)
METRICS = {"f1": "F1", "em": "exact match", "exact_match": "exact match"}
AFTER = {"initialise": "untrained", "camlm": "after stage 1", "btmlm": "after stage 2"}
STAGES = {"initialise": "Untrained", "camlm": "CAMLM", "btmlm": "BTMLM"}
# Names instead of those above where a run starts from external weights.
AS_RELEASED = "as released"


def stage_names(evidence: Evidence) -> dict[str, str]:
    """Names of the main variant's pre-training stages in words."""
    return STAGES | ({"initialise": AS_RELEASED.capitalize()} if evidence.start else {})


@dataclass(frozen=True)
class Score:
    """One number. ``variant`` is its name with that of the ``replicate``, the seed that the encoder
    was trained with. A baseline has ``variant`` "baseline", its name as ``stage`` and no seeds;
    ``language`` is "average" for the mean over all languages, "transfer" for the mean over all but
    English. ``value`` is in percent, ``n`` is the number of examples; ``averaged`` is false if
    they are too few to count in the means."""

    task: str
    category: str
    standin: bool
    variant: str
    replicate: int | None
    stage: str
    seed: int | None
    language: str
    metric: str
    value: float
    n: int | None
    averaged: bool
    path: str

    @property
    def place(self) -> str:
        """Place of the number: ``path#key/key``."""
        keys = [self.language] if self.language in MEANS else ["languages", self.language]
        inside = ["baselines", self.stage] if self.variant == BASELINE else []
        return f"{self.path}#{'/'.join([*inside, *keys, self.metric])}"


COLUMNS = [field.name for field in fields(Score) if field.name != "path"]


def _of_languages(document: dict, common: dict) -> Iterable[Score]:
    for language, values in document["languages"].items():
        about = {"n": values.get("n"), "averaged": values.get("averaged", True)}
        for metric, value in values.items():
            if metric not in about:
                yield Score(**common, **about, language=language, metric=metric, value=value)
    about = {"n": None, "averaged": True}
    for language in MEANS:
        for metric, value in document.get(language, {}).items():
            yield Score(**common, **about, language=language, metric=metric, value=value)


def read_scores(evidence: Evidence) -> list[Score]:
    """All scores given to the report, models before baselines."""
    rows: list[Score] = []
    for artifact in evidence.shown("xtreme_score", "scores"):
        document = artifact.json()
        parts, seed = artifact.parts, int(artifact.parts["seed"].removeprefix("seed"))
        _, replicate = parted(parts["variant"], evidence.seed)
        made = {"variant": parts["variant"], "replicate": replicate}
        made |= {"stage": parts["checkpoint"], "seed": seed}
        rows += _of_languages(document, {**_kind(document), **made, "path": artifact.path})
    for artifact in evidence.shown("xtreme_baseline", "scores"):
        document = artifact.json()
        for name, baseline in document["baselines"].items():
            made = {"variant": BASELINE, "stage": name, "seed": None, "path": artifact.path}
            made["replicate"] = None
            rows += _of_languages(baseline, {**_kind(document), **made})
    return rows


def _kind(document: dict) -> dict:
    return {key: document[key] for key in ("task", "category", "standin")}


def write_csv(scores: Iterable[Score], path: Path) -> None:
    """Write one line a number, raw values."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for score in scores:
            cells = [getattr(score, name) for name in COLUMNS]
            writer.writerow(["" if cell is None else cell for cell in cells])


@dataclass(frozen=True)
class Cell:
    """Mean over replicates of the means over their seeds, with the deviation of the replicates, or
    of the seeds of the only one (None for one number), and the places of the numbers behind it, as
    ``path#key/key``.

    ``averaged`` is false if it has too few examples to count in the means. ``heat`` is the
    position of the value between the task's lowest (0) and highest (1).
    """

    value: float
    spread: float | None
    places: tuple[str, ...]
    n: int | None
    averaged: bool = True
    heat: float = 0.0
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: a model or a baseline, with cells by language; ``adopted`` if the run
    starts from external weights."""

    variant: str
    stage: str
    cells: dict[str, Cell]
    adopted: bool = False

    @property
    def baseline(self) -> bool:
        """Whether the row is a baseline, without a model."""
        return self.variant == BASELINE

    @property
    def label(self) -> str:
        """The row's name in words."""
        if self.baseline:
            return self.stage.replace("_", " ")
        adopted = self.adopted and self.stage == "initialise"
        if self.variant == MAIN_VARIANT:
            return AS_RELEASED.capitalize() if adopted else STAGES[self.stage]
        return f"{self.variant}, {AS_RELEASED if adopted else AFTER[self.stage]}"

    @property
    def average(self) -> Cell | None:
        """The mean over languages, None if the score file has none."""
        return self.cells.get(AVERAGE)

    @property
    def transfer(self) -> Cell | None:
        """The mean over languages other than English."""
        return self.cells.get(TRANSFER)

    @property
    def gap(self) -> Cell | None:
        """English minus the mean over the other languages."""
        english, others = self.cells.get(ENGLISH), self.transfer
        if english is None or others is None:
            return None
        return Cell(english.value - others.value, None, english.places + others.places, None)


@dataclass(frozen=True)
class Table:
    """Scores of one task in one metric: ``languages`` are the columns after the average."""

    task: str
    category: str
    standin: bool
    metric: str
    languages: list[str]
    rows: list[Row]

    @property
    def title(self) -> str:
        """The task's name as papers write it."""
        return readable(self.task)

    @property
    def metric_name(self) -> str:
        """The metric as papers write it."""
        return METRICS.get(self.metric, self.metric.replace("_", " "))

    @property
    def has_average(self) -> bool:
        """Whether any row has a mean over languages."""
        return any(row.average for row in self.rows)

    @property
    def averaged(self) -> int:
        """Number of languages in the averages."""
        return sum(
            any(row.cells[code].averaged for row in self.rows if code in row.cells)
            for code in self.languages
        )

    @property
    def with_english(self) -> bool:
        """Whether English is among the languages, so that the two means differ."""
        return ENGLISH in self.languages

    @property
    def averages(self) -> list[str]:
        """Places of the averages of the main variant and of the baselines."""
        rows = (row.average for row in [*self.stages, *self.baselines])
        return [place for cell in rows if cell for place in cell.places]

    @property
    def stages(self) -> list[Row]:
        """Rows of the main variant, in the order of pre-training."""
        return [row for row in self.rows if row.variant == MAIN_VARIANT]

    @property
    def variants(self) -> list[Row]:
        """Rows of the other variants."""
        return [row for row in self.rows if row.variant not in (MAIN_VARIANT, BASELINE)]

    @property
    def baselines(self) -> list[Row]:
        """Rows without a model."""
        return [row for row in self.rows if row.baseline]

    def average(self, variant: str, stage: str) -> Cell | None:
        """Mean over languages of one row, None if it was not evaluated."""
        for row in self.rows:
            if (row.variant, row.stage) == (variant, stage):
                return row.average
        return None

    @property
    def best_baseline(self) -> Row | None:
        """The baseline with the highest average."""
        return max(
            (row for row in self.baselines if row.average),
            key=lambda row: row.average.value if row.average else 0.0,
            default=None,
        )


# With one seed and a few hundred examples a language, a smaller difference of averages is noise.
MARGIN = 1  # points


@dataclass(frozen=True)
class Verdict:
    """An average beside those that it has to beat: of the encoder that the run started from and of
    the best baseline; None if there is none."""

    own: Cell
    start: Cell | None
    baseline: Cell | None

    def above(self, other: Cell | None) -> bool:
        """Whether the average is above ``other`` by more than :data:`MARGIN`."""
        return other is not None and self.own.value > other.value + MARGIN


def verdict(table: Table, variant: str, stage: str) -> Verdict | None:
    """The verdict on a row's average; None if it has none."""
    best = table.best_baseline
    own, start = table.average(variant, stage), table.average(MAIN_VARIANT, "initialise")
    return Verdict(own, start, best.average if best else None) if own else None


def readable(task: str) -> str:
    """A task's name as papers write it; unchanged if it is no longer in the catalogue."""
    return TASKS[task].title if task in TASKS else task


def _merge(group: Sequence[Score]) -> Cell:
    by_replicate: dict[int | None, list[float]] = {}
    for score in group:
        by_replicate.setdefault(score.replicate, []).append(score.value)
    seeds = list(by_replicate.values())
    values = [statistics.fmean(own) for own in seeds] if len(seeds) > 1 else seeds[0]
    spread = statistics.stdev(values) if len(values) > 1 else None
    places = tuple(sorted({score.place for score in group}))
    averaged = all(score.averaged for score in group)
    return Cell(statistics.fmean(values), spread, places, group[0].n, averaged)


def _rows(scores: Iterable[Score], adopted: bool) -> list[Row]:
    groups: dict[tuple[str, str], dict[str, list[Score]]] = {}
    for score in scores:
        cells = groups.setdefault((variant_of(score.variant), score.stage), {})
        cells.setdefault(score.language, []).append(score)
    order = list(STAGES)

    def place(name: tuple[str, str]) -> tuple:
        variant, stage = name
        known = order.index(stage) if stage in order else len(order)
        return variant == BASELINE, variant != MAIN_VARIANT, variant, known

    return [
        Row(*name, {language: _merge(group) for language, group in groups[name].items()}, adopted)
        for name in sorted(groups, key=place)
    ]


def _shaded(rows: list[Row]) -> list[Row]:
    """Cells with their heat, and with a mark on the best one of each language."""
    values = [cell.value for row in rows for cell in row.cells.values()]
    low, high = min(values), max(values)
    columns: dict[str, list[float]] = {}
    for row in rows:
        for language, cell in row.cells.items():
            columns.setdefault(language, []).append(cell.value)
    # If all are equal there is no best one.
    best = {language: max(own) for language, own in columns.items() if max(own) > min(own)}

    def shade(language: str, cell: Cell) -> Cell:
        heat = (cell.value - low) / (high - low) if high > low else 0.0
        return replace(cell, heat=heat, best=cell.value == best.get(language))

    return [
        replace(row, cells={name: shade(name, cell) for name, cell in row.cells.items()})
        for row in rows
    ]


def tables(
    scores: Sequence[Score],
    metrics: dict[str, str],
    languages: Sequence[str],
    adopted: bool = False,
) -> list[Table]:
    """A table for each task and metric, the main metric of a task (``metrics``) first.

    Columns follow ``languages``, tasks the catalogue; ``adopted`` as in :class:`Row`.
    """
    grouped: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        grouped.setdefault((score.task, score.metric), []).append(score)
    order = list(TASKS)

    def place(name: tuple[str, str]) -> tuple:
        task, metric = name
        known = order.index(task) if task in order else len(order)
        return known, task, metric != metrics.get(task), metric

    made = []
    for task, metric in sorted(grouped, key=place):
        own = grouped[task, metric]
        present = {score.language for score in own} - set(MEANS)
        known = [language for language in languages if language in present]
        columns = known + sorted(present - set(known))
        rows = _shaded(_rows(own, adopted))
        made.append(Table(task, own[0].category, own[0].standin, metric, columns, rows))
    return made


def main_metrics(evidence: Evidence) -> dict[str, str]:
    """Main metric of each task, from its score files."""
    found = {}
    for artifact in evidence.shown("xtreme_score", "scores"):
        document = artifact.json()
        found[document["task"]] = document["metric"]
    return found
