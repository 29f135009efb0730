"""Curves, losses, tokens and settings of the variants, linked by the records."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ernie_m.records.record import Record
from ernie_m.replicates import variant_of
from ernie_m.report import figures
from ernie_m.report.evidence import TRAINED, Artifact, Evidence
from ernie_m.report.scores import MAIN_VARIANT, STAGES
from ernie_m.report.svg import Drawing
from ernie_m.words import flatten

# The context from which each objective predicts a token.
RESTORED = {
    "mmlm": "from its own sentence",
    "tlm": "from its own sentence and the translation",
    "camlm": "from the translation alone",
    "btmlm": "from its own sentence and pseudo tokens",
}


def mean(values: dict[str, float]) -> float:
    """Mean over languages or pairs, equally weighted."""
    return sum(values.values()) / len(values)


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """``names`` sorted as in ``order``, those not in it last."""
    known = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: (known.get(name, len(known)), name))


@dataclass(frozen=True)
class Trained:
    """One finished training stage: its curve and its last losses."""

    stage: str
    record: Record
    curve: list[dict[str, float]]
    metrics: dict[str, Any]
    paths: list[str]  # of the files with curve and metrics

    @property
    def name(self) -> str:
        """``camlm`` or ``btmlm``."""
        return self.stage.removeprefix("pretrain_")

    @property
    def label(self) -> str:
        """The stage in words."""
        return STAGES[self.name]


def chain(evidence: Evidence, variant: str) -> list[Trained]:
    """The trainings behind a variant's last model, first to last; variants may share the first."""
    last = _last(evidence, variant)
    found: list[Trained] = []
    while last:
        record = last[0]
        curve = _of(evidence, record, "curves")
        metrics = _of(evidence, record, "metrics")
        if curve and metrics:
            paths = [metrics.path, curve.path]
            found.append(Trained(record.stage, record, curve.lines(), metrics.json(), paths))
        last = [
            artifact.record
            for artifact in evidence.inputs_of(record)
            if artifact.record.stage in TRAINED and artifact.name == "model"
        ][:1]
    return found[::-1]


def _last(evidence: Evidence, variant: str) -> list[Record]:
    """A variant's last training, if it has one."""
    found = (
        record
        for stage in reversed(TRAINED)
        for record in evidence.jobs(stage)
        if record.instance == variant
    )
    return list(islice(found, 1))


def _of(evidence: Evidence, record: Record, name: str) -> Artifact | None:
    for artifact in evidence.shown(record.stage, name):
        if artifact.record.instance == record.instance:
            return artifact
    return None


def objectives(stages: list[Trained]) -> list[str]:
    """All objectives with a validation loss, in the paper's order."""
    return [name for name in RESTORED if any(name in stage.metrics["valid"] for stage in stages)]


def _series(curve: list[dict[str, float]], key: str, start: float) -> list[tuple[float, float]]:
    return [(start + line["tokens"], line[key]) for line in curve if key in line]


def _validation(line: dict[str, float], objective: str) -> float | None:
    """Mean over languages at one validation, None if there was none."""
    prefix = f"valid/{objective}/"
    values = {key: value for key, value in line.items() if key.startswith(prefix)}
    return mean(values) if values else None


def _valid(
    curve: list[dict[str, float]], objective: str, start: float
) -> list[tuple[float, float]]:
    """Mean over languages at each validation."""
    losses = ((line["tokens"], _validation(line, objective)) for line in curve)
    return [(start + tokens, loss) for tokens, loss in losses if loss is not None]


def write_losses(stages: Sequence[Trained], path: Path) -> None:
    """Write a variant's validation losses, one line a validation; tokens add up over stages.

    A cell is empty if the objective is off.
    """
    start = 0.0
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["stage", "step", "tokens", *RESTORED])
        for stage in stages:
            for line in stage.curve:
                losses = [_validation(line, name) for name in RESTORED]
                if any(loss is not None for loss in losses):
                    cells = ["" if loss is None else loss for loss in losses]
                    tokens = int(start + line["tokens"])
                    writer.writerow([stage.name, int(line["step"]), tokens, *cells])
            start += stage.metrics["tokens"]


def loss_figures(stages: list[Trained], order: Sequence[str]) -> list[dict[str, Any]]:
    """For each objective a chart of the losses and one by language; languages and pairs follow
    ``order``."""
    made = []
    for objective in objectives(stages):
        curves, start = [], 0.0
        for stage in stages:
            end = start + stage.metrics["tokens"]
            train = _series(stage.curve, f"train/{objective}", start)
            valid = _valid(stage.curve, objective, start)
            if train or valid:
                curves.append(figures.Curve(stage.name, start, end, train, valid))
            start = end
        have = [stage for stage in stages if objective in stage.metrics["valid"]]
        unigram = have[-1].metrics.get("unigram", {}).get(objective, {})
        finals = {stage.name: stage.metrics["valid"][objective] for stage in have}
        names = in_order(have[-1].metrics["valid"][objective], order)
        made.append(
            {
                "name": objective,
                "objective": objective.upper(),
                "restored": RESTORED[objective],
                "over_tokens": _panel(objective, curves, unigram),
                "by_language": figures.by_language(objective, names, finals, unigram),
                "final": mean(finals[have[-1].name]),
                "places": [
                    place
                    for stage in have
                    for place in (f"{stage.paths[0]}#valid/{objective}", stage.paths[1])
                ],
                "unigram": mean(unigram) if unigram else None,
            }
        )
    return made


def _panel(
    objective: str, curves: list[figures.Curve], unigram: dict[str, float]
) -> Drawing | None:
    if not any(curve.valid or curve.train for curve in curves):
        return None
    return figures.losses(objective, curves, mean(unigram) if unigram else None)


def variant_names(evidence: Evidence) -> list[str]:
    """All trained variants, whatever their replicate, the main one first."""
    names = {variant_of(record.instance) for stage in TRAINED for record in evidence.jobs(stage)}
    return sorted(names, key=lambda name: (name != MAIN_VARIANT, name))


def variant_settings(evidence: Evidence, variant: str) -> dict[str, Any]:
    """Settings by ``stage.key`` of all jobs of pre-training behind a variant's last model,
    whichever variant they were run for."""
    found: dict[str, Any] = {}
    for last in _last(evidence, variant):
        for record in evidence.behind(last):  # of several chunks all have the same
            name = record.stage.removeprefix("pretrain_")
            found |= {f"{name}.{key}": value for key, value in flatten(record.settings)}
    return found


def differences(evidence: Evidence, variant: str) -> list[tuple[str, Any, Any]]:
    """Settings in which a variant differs from the main one: key, its value, the main value."""
    main = variant_settings(evidence, MAIN_VARIANT)
    own = variant_settings(evidence, variant)
    return [(key, own[key], main[key]) for key in own if key in main and own[key] != main[key]]
