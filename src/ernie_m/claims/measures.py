"""The numbers behind a claim, from the files of a run: an effect for each replicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean, linear_regression
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.config.claims import COST, LOSSES, ClaimRow, Comparison
from ernie_m.config.model import InitialiseSettings, ModelSettings
from ernie_m.config.pretrain import BacktranslateJob, StageJob
from ernie_m.corpus import Corpus
from ernie_m.planning.estimate import flops_of_generation, flops_of_training
from ernie_m.records.record import Record
from ernie_m.report.evidence import Artifact, Evidence

PRETRAINED = "pretrain_"
TRAININGS = ("pretrain_camlm", "pretrain_btmlm")
GENERATION = "pretrain_backtranslate"
STEP = 0.05  # of the share of pseudo tokens
LEAST_LANGUAGES = 3  # for a slope
Values = dict[str, float]


@dataclass
class Effects:
    """Effects by replicate, the numbers that they are made of as ``path#key/key``, and for a slope
    the effect by language, mean over replicates."""

    values: dict[int, float] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    languages: Values = field(default_factory=dict)


class Run:
    """A run's scores, losses, trainings and text, by variant."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def effects(self, row: ClaimRow, comparison: Comparison) -> Effects:
        """The effects of a claim in one score; a replicate without a number is left out."""
        measure: Callable[..., float | None] = {
            "difference": self._difference,
            "slope": self._slope,
            "ratio": self._ratio,
            "trend": self._trend,
        }[row.kind]
        found, by_language = Effects(), []
        for replicate, variants in comparison.replicates.items():
            stages = [stage for _, stage in row.sides]
            # A trend has one stage and many variants.
            sides = [
                (name, stages[min(place, len(stages) - 1)]) for place, name in enumerate(variants)
            ]
            languages: Values = {}
            value = measure(comparison.score, sides, found.places, languages)
            if value is not None:
                found.values[replicate] = value
                by_language.append(languages)
        if by_language and by_language[0]:
            found.languages = {
                code: fmean(own[code] for own in by_language) for code in by_language[0]
            }
        found.places = list(dict.fromkeys(found.places))
        return found

    def size(self, row: ClaimRow, comparison: Comparison) -> tuple[int, int, int]:
        """Layers, tokens of training, and sentence pairs of the arm; of the first replicate, for
        all have the same."""
        first = next(iter(comparison.replicates.values()))
        jobs = self._behind(row.sides[0][1], first[0])
        tokens = sum(self._metrics(job).json()["tokens"] for job in jobs if job.stage in TRAININGS)
        layers = self._model(jobs).layers
        pairs = (a for a in self._text() if Corpus.parse(a.parts["corpus"]).kind == "parallel")
        return layers, tokens, sum(artifact.json()["rows"]["train"] for artifact in pairs)

    def _difference(
        self, score: str, sides: list[tuple[str, str]], places: list[str], languages: Values
    ) -> float | None:
        means = []
        for side in sides:
            own = [
                mean for artifact in self._files(score, *side) if (mean := _mean(score, artifact))
            ]
            if not own:
                return None
            places += [place for _, place in own]
            means.append(fmean(value for value, _ in own))
        return means[0] - means[1]

    def _slope(
        self, score: str, sides: list[tuple[str, str]], places: list[str], languages: Values
    ) -> float | None:
        sizes, counted = self._pairs()
        arm, against = (self._by_class(score, *side) for side in sides)
        own = [name for name in arm if name in against and sizes.get(name)]
        if len(own) < LEAST_LANGUAGES or len({sizes[name] for name in own}) < 2:
            return None
        for values in (arm, against):
            places += [place for name in own for _, place in values[name]]
        places += counted
        languages |= {name: _mean_of(arm[name]) - _mean_of(against[name]) for name in own}
        logarithms = [math.log10(sizes[name]) for name in own]
        return linear_regression(logarithms, [languages[name] for name in own]).slope

    def _ratio(
        self, score: str, sides: list[tuple[str, str]], places: list[str], languages: Values
    ) -> float | None:
        arm, against = (self._flops(variant, stage, places) for variant, stage in sides)
        return arm / against

    def _trend(
        self, score: str, sides: list[tuple[str, str]], places: list[str], languages: Values
    ) -> float | None:
        ratios, perplexities = [], []
        for variant, stage in sides:
            jobs = self._behind(stage, variant)
            ratios += [
                job.settings["placeholder_ratio"] for job in jobs if job.stage == GENERATION
            ][:1]
            (artifact,) = self._files(score, variant, stage)
            loss, place = _mean(score, artifact) or (math.nan, "")
            perplexities.append(math.exp(-loss))
            places.append(place)
        return STEP * linear_regression(ratios, perplexities).slope

    def _files(self, score: str, variant: str, stage: str) -> list[Artifact]:
        """The files with a score: of a task one for each seed of fine-tuning."""
        if score in LOSSES:
            return [self._metrics(self._training(stage, variant))]
        wanted = {"task": score, "variant": variant, "checkpoint": stage}.items()
        shown = self.evidence.shown("xtreme_score", "scores")
        return [artifact for artifact in shown if wanted <= artifact.parts.items()]

    def _by_class(self, score: str, variant: str, stage: str) -> dict[str, list[tuple[float, str]]]:
        """Values with their places by language, or by pair."""
        found: dict[str, list[tuple[float, str]]] = {}
        for artifact in self._files(score, variant, stage):
            for name, value in _by_class(score, artifact).items():
                found.setdefault(name, []).append(value)
        return found

    def _text(self) -> list[Artifact]:
        return self.evidence.shown("corpora_select", "stats")

    def _pairs(self) -> tuple[dict[str, int], list[str]]:
        """Sentence pairs of training by pair, and by language other than English; their places."""
        sizes: dict[str, int] = {}
        places = []
        for artifact in self._text():
            corpus = Corpus.parse(artifact.parts["corpus"])
            if corpus.kind == "parallel":
                rows = artifact.json()["rows"]["train"]
                names = {corpus.text, *corpus.languages} - {ENGLISH}
                for name in names:
                    sizes[name] = sizes.get(name, 0) + rows
                places.append(f"{artifact.path}#rows/train")
        return sizes, places

    def _training(self, stage: str, variant: str) -> Record:
        jobs = self.evidence.jobs(PRETRAINED + stage)
        return next(job for job in jobs if job.instance == variant)

    def _metrics(self, job: Record) -> Artifact:
        shown = self.evidence.shown(job.stage, "metrics")
        return next(artifact for artifact in shown if artifact.record is job)

    def _behind(self, stage: str, variant: str) -> list[Record]:
        """The jobs of pre-training behind a model, the last first; variants may share some."""
        jobs = [self._training(stage, variant)]
        for job in jobs:  # grows
            makers = (artifact.record for artifact in self.evidence.inputs_of(job))
            jobs += _new(makers, jobs)
        return jobs

    def _model(self, jobs: list[Record]) -> ModelSettings:
        settings = next(job.settings for job in jobs if job.stage == "pretrain_initialise")
        return InitialiseSettings.model_validate(settings)

    def _flops(self, variant: str, stage: str, places: list[str]) -> float:
        """FLOPs of the trainings and of the generation behind a model, from what they counted."""
        jobs = self._behind(stage, variant)
        model = self._model(jobs)
        (pieces,) = self.evidence.shown("tokenizer_train", "stats")
        vocabulary, flops = pieces.json()["size"], 0.0
        for job in jobs:
            if job.stage in TRAININGS:
                metrics = self._metrics(job)
                settings = StageJob.model_validate(job.settings)
                flops += flops_of_training(model, vocabulary, settings, metrics.json()["tokens"])
                places.append(f"{metrics.path}#tokens")
            elif job.stage == GENERATION:
                shown = self.evidence.shown(GENERATION, "stats")
                stats = next(artifact for artifact in shown if artifact.record is job)
                own = BacktranslateJob.model_validate(job.settings)
                flops += flops_of_generation(model, vocabulary, own, stats.json()["source_tokens"])
                places.append(f"{stats.path}#source_tokens")
        return flops


def _new(makers: Iterable[Record], known: list[Record]) -> list[Record]:
    found: list[Record] = []
    for maker in makers:
        if maker.stage.startswith(PRETRAINED) and maker not in [*known, *found]:
            found.append(maker)
    return found


def _mean_of(values: list[tuple[float, str]]) -> float:
    return fmean(value for value, _ in values)


def _by_class(score: str, artifact: Artifact) -> dict[str, tuple[float, str]]:
    """Values of a file by language or pair, with their places; a loss counts negative."""
    document: dict[str, Any] = artifact.json()
    if objective := LOSSES.get(score):
        losses = document["valid"][objective].items()
        return {name: (-loss, f"{artifact.path}#valid/{objective}/{name}") for name, loss in losses}
    metric = document["metric"]
    return {
        code: (own[metric], f"{artifact.path}#languages/{code}/{metric}")
        for code, own in document["languages"].items()
        if own["averaged"]
    }


def _mean(score: str, artifact: Artifact) -> tuple[float, str] | None:
    """The mean over languages with its place; None where none has enough examples."""
    if objective := LOSSES.get(score):
        values = [value for value, _ in _by_class(score, artifact).values()]
        return fmean(values), f"{artifact.path}#valid/{objective}"
    document = artifact.json()
    metric = document["metric"]
    average = document["average"].get(metric)
    return None if average is None else (average, f"{artifact.path}#average/{metric}")


def unit(row: ClaimRow, score: str) -> str:
    """Unit of an effect in words."""
    plain = {COST: "times"} | dict.fromkeys(LOSSES, "nats") | dict.fromkeys(TASKS, "points")
    if row.kind == "trend":
        return f"perplexity a step of {STEP}"
    return plain[score] + (" for ten times the pairs" if row.kind == "slope" else "")
