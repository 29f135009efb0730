"""The numbers behind a claim, from the files of a run: an effect for each replicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, linear_regression
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.config.claims import COST, LOSSES, ClaimRow, Comparison
from ernie_m.config.model import InitialiseSettings, ModelSettings
from ernie_m.config.pretrain import StageJob
from ernie_m.corpus import Corpus
from ernie_m.planning.estimate import flops_of_generation, flops_of_training
from ernie_m.records.record import Record
from ernie_m.report.evidence import TRAINED, Artifact, Evidence

PRETRAINED = "pretrain_"
GENERATION = "pretrain_backtranslate"
STEP = 0.05  # of the share of pseudo tokens
LEAST_LANGUAGES = 3  # for a slope
Sides = Sequence[tuple[str, str]]  # variant and stage, the arm first


@dataclass
class Effects:
    """Effects by replicate, the numbers that they are made of as ``path#key/key``, and for a slope
    the effects and the sentence pairs by language. ``resolution`` is what one test example more
    changes an effect by, ``shared`` what fine-tunings of a side gave that all replicates share."""

    values: dict[int, float] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    languages: dict[str, list[float]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    resolution: float = 0.0
    shared: tuple[float, ...] = ()


class Run:
    """A run's scores, losses, trainings and text, by variant."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def effects(self, row: ClaimRow, comparison: Comparison) -> Effects:
        """The effects of a claim in one score; a replicate without a number is left out."""
        measure: Callable[[str, Sides, Effects], float | None] = {
            "difference": self._difference,
            "slope": self._slope,
            "ratio": self._ratio,
            "trend": self._trend,
        }[row.kind]
        found = Effects()
        for replicate, sides in comparison.replicates.items():
            value = measure(comparison.score, sides, found)
            if value is not None:
                found.values[replicate] = value
        if row.kind == "difference":
            found.shared = self._shared(comparison)
        return found

    def _shared(self, comparison: Comparison) -> tuple[float, ...]:
        """The values by seed of fine-tuning of the side that all replicates have in common, as an
        encoder that was not trained here; none where each replicate has its own."""
        first, *others = comparison.replicates.values()
        common = set(first).intersection(*others) if others else set()
        files = [file for side in common for file in self._files(comparison.score, *side)]
        return tuple(own[0] for file in files if (own := _mean(comparison.score, file)))

    def size(self, row: ClaimRow, comparison: Comparison) -> tuple[int, int, int]:
        """Layers, tokens of the batches, and sentence pairs of the arm; of the first replicate, for
        all have the same."""
        jobs = self.evidence.behind(self._training(row.sides[0][1], comparison.trained))
        tokens = sum(self._tokens(job) for job in jobs if job.stage in TRAINED)
        sizes = [artifact.json()["rows"]["train"] for artifact in self._parallel()]
        return self._model(jobs).layers, tokens, sum(sizes)

    def _difference(self, score: str, sides: Sides, found: Effects) -> float | None:
        means = []
        for side in sides:
            files = self._files(score, *side)
            own = [mean for artifact in files if (mean := _mean(score, artifact))]
            if not own:
                return None
            found.places += [place for _, place in own]
            means.append(_mean_of(own))
            found.resolution = _one_example(score, files)
        return means[0] - means[1]

    def _slope(self, score: str, sides: Sides, found: Effects) -> float | None:
        sizes, counted = self._pairs()
        arm, against = (self._by_class(score, *side) for side in sides)
        own = [name for name in arm if name in against and sizes.get(name)]
        if len(own) < LEAST_LANGUAGES or len({sizes[name] for name in own}) < 2:
            return None
        for values in (arm, against):
            found.places += [place for name in own for _, place in values[name]]
        found.places += [place for place in counted if place not in found.places]
        effects = [_mean_of(arm[name]) - _mean_of(against[name]) for name in own]
        for name, effect in zip(own, effects, strict=True):
            found.languages.setdefault(name, []).append(effect)
            found.pairs[name] = sizes[name]
        logarithms = [math.log10(sizes[name]) for name in own]
        # Rounding in one language, and what a language's moves the slope by.
        files = self._files(score, *sides[0])
        of_one = _one_example(score, files) * len(_by_class(score, files[0]))
        away = (value - fmean(logarithms) for value in logarithms)
        found.resolution = of_one / math.sqrt(sum(value**2 for value in away))
        return linear_regression(logarithms, effects).slope

    def _ratio(self, score: str, sides: Sides, found: Effects) -> float | None:
        arm, against = (self._flops(*side, found.places) for side in sides)
        return arm / against

    def _trend(self, score: str, sides: Sides, found: Effects) -> float | None:
        ratios, perplexities = [], []
        for variant, stage in sides:
            jobs = self.evidence.behind(self._training(stage, variant))
            generations = (job for job in jobs if job.stage == GENERATION)
            ratios.append(next(generations).settings["placeholder_ratio"])
            values = [
                own for file in self._files(score, variant, stage) if (own := _mean(score, file))
            ]
            perplexities.append(math.exp(-_mean_of(values)))
            found.places += [place for _, place in values]
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

    def _parallel(self) -> list[Artifact]:
        """Counts of the parallel text, by shard."""
        text = self.evidence.shown("corpora_select", "stats")
        return [own for own in text if not Corpus.parse(own.parts["corpus"]).is_mono]

    def _tokens(self, training: Record) -> int:
        """Tokens of a training's batches: a step computes all of its rows, however full."""
        steps = self._metrics(training).json()["steps"]
        return int(steps * training.settings["batch_tokens"])

    def _pairs(self) -> tuple[dict[str, int], list[str]]:
        """Sentence pairs of training by pair, and by language other than English; their places."""
        sizes: dict[str, int] = {}
        places = []
        for artifact in self._parallel():
            corpus, rows = Corpus.parse(artifact.parts["corpus"]), artifact.json()["rows"]["train"]
            for name in {corpus.text, *corpus.languages} - {ENGLISH}:
                sizes[name] = sizes.get(name, 0) + rows
            places.append(f"{artifact.path}#rows/train")
        return sizes, places

    def _training(self, stage: str, variant: str) -> Record:
        jobs = self.evidence.jobs(PRETRAINED + stage)
        return next(job for job in jobs if job.instance == variant)

    def _metrics(self, job: Record) -> Artifact:
        shown = self.evidence.shown(job.stage, "metrics")
        return next(artifact for artifact in shown if artifact.record is job)

    def _model(self, jobs: list[Record]) -> ModelSettings:
        settings = next(job.settings for job in jobs if job.stage == "pretrain_initialise")
        return InitialiseSettings.model_validate(settings)

    def _flops(self, variant: str, stage: str, places: list[str]) -> float:
        """FLOPs of the trainings and of the generation behind a model, from what they counted."""
        last = self._training(stage, variant)
        jobs = self.evidence.behind(last)
        model = self._model(jobs)
        (pieces,) = self.evidence.shown("tokenizer_train", "stats")
        vocabulary, flops = pieces.json()["size"], 0.0
        for job in jobs:
            if job.stage in TRAINED:
                settings = StageJob.model_validate(job.settings)
                flops += flops_of_training(model, vocabulary, settings, self._tokens(job))
                places.append(f"{self._metrics(job).path}#steps")
            elif job.stage == GENERATION:
                shown = self.evidence.shown(GENERATION, "stats")
                stats = next(artifact for artifact in shown if artifact.record is job)
                rows = last.settings["row_length"], job.settings["placeholder_ratio"]
                source = stats.json()["source_tokens"]
                flops += flops_of_generation(model, vocabulary, *rows, source)
                places.append(f"{stats.path}#source_tokens")
        return flops


def _one_example(score: str, files: list[Artifact]) -> float:
    """Points by which a test example changes the mean over languages and seeds; 0 for a loss."""
    if score in LOSSES:
        return 0.0
    languages = files[0].json()["languages"].values()
    return 100 / (len(files) * sum(own["n"] for own in languages if own["averaged"]))


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
