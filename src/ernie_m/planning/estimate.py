"""Jobs, bytes, tokens, FLOPs and hours of each stage, from the configuration and measured rates.

An estimate to the first digit: it takes text sizes from the registry, and assumes that nothing is
dropped and that rows are full.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from ernie_m.bounded import parse_yaml, read_text
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import Section
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import ByStep, StageSettings
from ernie_m.config.root import Config
from ernie_m.config.xtreme import TaskName
from ernie_m.model.flops import forward_flops, training_flops
from ernie_m.objectives.targets import targets_of
from ernie_m.pipeline.stages import jobs
from ernie_m.training.by_step import phases
from ernie_m.training.sampling import sampling_shares

TABLE = Path(__file__).with_name("throughputs.yaml")
# Parameters in float32 with Adam's two moments, as in the saved training state.
_STATE_BYTES, _WEIGHT_BYTES = 12, 4
_SPECIALS = 2
_XLMR_PIECES = 250_000
# Of an example, for attention's share of the FLOPs.
FINETUNED_TOKENS = 128


class Measured(Section):
    """How the rates were measured."""

    command: str
    where: str


class Throughputs(Section):
    """The table of measured rates."""

    bytes_per_second: dict[str, float]
    measured: Measured
    bytes_read: dict[str, float]
    bytes_written: dict[str, float]
    bytes_per_token: float
    finetuning_tokens: dict[str, float]
    download: float
    accelerators: dict[str, float]

    @classmethod
    def read(cls, path: Path = TABLE) -> Throughputs:
        """The table; raises ``ValueError`` for one that is not of this form."""
        return cls.model_validate(parse_yaml(read_text(path)))

    def minutes(self, stage: str, size: float) -> float:
        """Minutes of one core that a stage works on inputs of ``size`` bytes; 0 for a stage whose
        time does not follow from them."""
        if stage not in self.bytes_read:
            return 0.0
        return size / self.bytes_read[stage] / self.bytes_per_second[stage] / 60


@dataclass(frozen=True)
class Cost:
    """Cost of a stage: jobs; bytes read and written; tokens; FLOPs; hours of a CPU core and of the
    accelerator. None where unknown."""

    stage: str
    jobs: int
    read: float | None = None
    written: float | None = None
    tokens: float | None = None
    flops: float | None = None
    core_hours: float | None = None
    gpu_hours: float | None = None


def parameters(model: ModelSettings, vocabulary: int) -> tuple[int, int]:
    """Parameters of the encoder's layers, and of its embeddings (tied to the LM head)."""
    width, ffn = model.width, model.ffn
    layer = 4 * width * (width + 1) + width * ffn + ffn + ffn * width + width + 4 * width
    return model.layers * layer, (vocabulary + model.max_positions + 2) * width


def pieces(config: Config) -> int:
    """Number of ids of the tokenizer; for a checkpoint before trimming. For a folder, XLM-R's is
    assumed."""
    if config.checkpoint:
        return config.checkpoint.pieces
    size = _XLMR_PIECES if config.init else config.tokenizer.train.vocabulary_size
    return size + _SPECIALS


class Estimate:
    """The costs of a configuration, training of the main variant and all variants included."""

    def __init__(
        self, config: Config, table: Throughputs, accelerator: str, utilisation: float
    ) -> None:
        self.config, self.table = config, table
        self.rate = table.accelerators[accelerator] * utilisation
        self.jobs = jobs(config)

    @cached_property
    def download_bytes(self) -> float:
        """Bytes of all downloads."""
        rows = self.config.corpora.rows().values()
        return sum(row.bytes or row.about_bytes or (row.text_bytes or 0) / 4 for row in rows)

    def text(self, *names: str) -> float:
        """Bytes of text of the named corpora, by default of all."""
        corpora = self.config.corpora
        return sum(
            row.text_bytes or 0 for name in names or corpora.names for row in corpora.sources(name)
        )

    def tokens(self, *names: str) -> float:
        """Tokens of the text of those corpora."""
        return self.text(*names) / self.table.bytes_per_token

    @property
    def vocabulary(self) -> int:
        """Number of ids of the tokenizer."""
        return pieces(self.config)

    def costs(self) -> list[Cost]:
        """Costs of all stages with jobs, in pipeline order."""
        estimators: dict[str, Callable[[str, int], Cost]] = {
            "checkpoints_download": self._weights,
            "corpora_download": self._download,
            "pretrain_initialise": self._initialise,
            "pretrain_adopt": self._initialise,
            "pretrain_camlm": self._training,
            "pretrain_btmlm": self._training,
            "pretrain_draw": self._draw,
            "pretrain_backtranslate": self._backtranslation,
            "xtreme_finetune": self._finetuning,
        }
        if self.text():
            stages = ("corpora_extract", "corpora_filter", "corpora_dedup", "corpora_select")
            estimators |= dict.fromkeys((*stages, "tokenizer_pack"), self._text_stage)
            estimators["tokenizer_sample"] = self._sample
        return [
            estimators.get(stage, Cost)(stage, len(jobs))
            for stage, jobs in self.jobs.items()
            if jobs
        ]

    def _download(self, stage: str, jobs: int) -> Cost:
        hours = self.download_bytes / self.table.download / 3600
        return Cost(stage, jobs, self.download_bytes, self.download_bytes, core_hours=hours)

    def _weights(self, stage: str, jobs: int) -> Cost:
        row = self.config.checkpoint
        files = row.files.values() if row else ()
        size = sum(file.bytes or file.about_bytes or 0 for file in files)
        hours = size / self.table.download / 3600
        return Cost(stage, jobs, size, size, core_hours=hours)

    def _text_stage(self, stage: str, jobs: int) -> Cost:
        text = self.text()
        written = self.table.bytes_written
        before = {
            "corpora_extract": self.download_bytes,
            "corpora_filter": text * written["corpora_extract"],
            "corpora_dedup": text * written["corpora_filter"],
            "corpora_select": text * (written["corpora_filter"] + written["corpora_dedup"]),
            "tokenizer_pack": text * written["corpora_select"],
        }
        packs = stage == "tokenizer_pack"
        width = 4 if self.vocabulary > 65_535 else 2
        return Cost(
            stage,
            jobs,
            read=before[stage],
            written=self.tokens() * width if packs else text * written[stage],
            tokens=self.tokens() if packs else None,
            core_hours=text / self.table.bytes_per_second[stage] / 3600,
        )

    def _sample(self, stage: str, jobs: int) -> Cost:
        """Output is left out: the sample is a few lines in a thousand."""
        text = self.text()
        return Cost(
            stage,
            jobs,
            read=text * self.table.bytes_written["corpora_select"],
            core_hours=text / self.table.bytes_per_second[stage] / 3600,
        )

    def _initialise(self, stage: str, jobs: int) -> Cost:
        size = sum(
            sum(parameters(self.config.variant(variant).model, self.vocabulary))
            for variant in self.jobs[stage]
        )
        return Cost(stage, jobs, written=size * _WEIGHT_BYTES)

    def _training(self, stage: str, jobs: int) -> Cost:
        tokens = flops = written = 0.0
        for variant in self.jobs[stage]:
            settings: StageSettings = getattr(
                self.config.variant(variant).pretrain, stage.removeprefix("pretrain_")
            )
            model = self.config.variant(variant).model
            variant_tokens = settings.steps * settings.batch_tokens
            tokens += variant_tokens
            flops += flops_of_training(model, self.vocabulary, settings, variant_tokens)
            written += sum(parameters(model, self.vocabulary)) * (_WEIGHT_BYTES + _STATE_BYTES)
        width = 4 if self.vocabulary > 65_535 else 2
        return Cost(
            stage, jobs, tokens * width, written, tokens, flops, gpu_hours=self._hours(flops)
        )

    def _draw(self, stage: str, jobs: int) -> Cost:
        """The sentences that stage 2 draws, copied; of the others the lengths are read."""
        width = 4 if self.vocabulary > 65_535 else 2
        tokens = sum(self.generated_tokens(variant) for variant in self.jobs[stage])
        return Cost(stage, jobs, tokens * width, tokens * width, tokens)

    def _backtranslation(self, stage: str, jobs: int) -> Cost:
        """One forward pass over the sentences that stage 2 draws, with placeholders, which are all
        predicted."""
        flops = tokens = written = read = 0.0
        width = 4 if self.vocabulary > 65_535 else 2
        for variant in self._generating:
            chosen, source = self.config.variant(variant), self.generated_tokens(variant)
            ratio = chosen.pretrain.backtranslate.placeholder_ratio
            row = chosen.pretrain.btmlm.row_length
            tokens += source * (1 + ratio)
            flops += flops_of_generation(chosen.model, self.vocabulary, row, ratio, source)
            written, read = written + source * ratio * width, read + source * width
        return Cost(stage, jobs, read, written, tokens, flops, gpu_hours=self._hours(flops))

    def _finetuning(self, stage: str, jobs: int) -> Cost:
        """All epochs of all jobs, not known where a task's training text is not; each leaves a
        model."""
        tokens = flops = written = 0.0
        known = self.table.finetuning_tokens
        for job in self.jobs[stage]:
            task, variant, *_ = job.split("/")
            own, name = self.config.variant(variant), cast(TaskName, task)
            written += sum(parameters(own.model, self.vocabulary)) * _WEIGHT_BYTES
            if task not in known:
                continue
            files = TASKS[task].files((), own.xtreme.training_for(name))["train"]
            read = known[task] * len(files) * own.xtreme.finetune_for(name).epochs
            row = training_flops(own.model, self.vocabulary, [FINETUNED_TOKENS], 0)
            tokens, flops = tokens + read, flops + read * row / FINETUNED_TOKENS
        if any(job.split("/")[0] not in known for job in self.jobs[stage]):
            return Cost(stage, jobs, written=written)
        hours = self._hours(flops)
        return Cost(stage, jobs, None, written, tokens, flops, gpu_hours=hours)

    @property
    def _generating(self) -> list[str]:
        """Variants with back-translation."""
        jobs = self.jobs["pretrain_backtranslate"]
        return list(dict.fromkeys(job.split("/")[0] for job in jobs))

    def monolingual_tokens(self, variant: str) -> dict[str, float]:
        """Tokens of monolingual text by language, for languages with a target in this variant."""
        codes = self.config.corpora.languages
        job = self.config.variant(variant).backtranslate_job(self.config.corpora.pairs)
        return {code: self.tokens(f"mono-{code}") for code in targets_of(codes, job)}

    def generated_tokens(self, variant: str) -> float:
        """Tokens of the distinct sentences that stage 2 of a variant draws, rows being full: a
        language with T tokens, from which D are drawn with replacement, gives T (1 - exp(-D /
        T))."""
        pretrain = self.config.variant(variant).pretrain
        settings, available = pretrain.btmlm, self.monolingual_tokens(variant)
        weights = settings.objectives.model_dump()
        budget = settings.steps * settings.batch_tokens * weights["btmlm"] / sum(weights.values())
        source = budget / (1 + pretrain.backtranslate.placeholder_ratio)
        sizes = {code: tokens for code, tokens in available.items() if tokens}
        if not sizes:
            return source
        shares = [(step, sampling_shares(sizes, alpha)) for step, alpha in phases(settings.alpha)]

        def drawn(code: str) -> float:
            own = tuple((step, share[code]) for step, share in shares)
            return source * _mean(own, settings.steps)

        return sum(tokens * -math.expm1(-drawn(code) / tokens) for code, tokens in sizes.items())

    def not_generated(self) -> tuple[float, float]:
        """Tokens of monolingual text without generation because no step draws them, and the
        accelerator hours that this saves."""
        generation = {cost.stage: cost for cost in self.costs()}.get("pretrain_backtranslate")
        made = sum(self.generated_tokens(variant) for variant in self._generating)
        left = sum(
            max(
                sum(self.monolingual_tokens(variant).values()) - self.generated_tokens(variant), 0.0
            )
            for variant in self._generating
        )
        return left, (generation.gpu_hours or 0.0) * left / made if generation and made else 0.0

    def _hours(self, flops: float) -> float:
        return flops / self.rate / 3600


def flops_of_training(
    model: ModelSettings, vocabulary: int, settings: StageSettings, tokens: float
) -> float:
    """FLOPs of training on so many tokens in full rows."""
    length = settings.row_length
    row = training_flops(model, vocabulary, [length], length * _predicted(settings))
    return tokens * row / length


def flops_of_generation(
    model: ModelSettings, vocabulary: int, length: int, ratio: float, source: float
) -> float:
    """FLOPs of generation for sentences of ``source`` tokens, in full rows of a ``length``: one
    pass over them and their placeholders, which are all predicted."""
    row = forward_flops(model, vocabulary, [length], length * ratio / (1 + ratio))
    return source * (1 + ratio) * row / length


def _mean(value: ByStep[float], steps: int) -> float:
    """Mean over the steps of a training of a setting that changes by step."""
    begun = [(first, own) for first, own in phases(value) if first < steps]
    ends = [*(first for first, _ in begun[1:]), steps]
    return sum(own * (end - first) for (first, own), end in zip(begun, ends, strict=True)) / steps


def _predicted(settings: StageSettings) -> float:
    """Share of a batch's tokens that go through the LM head, averaged by the objectives' weights;
    CAMLM's slots are tokens of the batch themselves."""
    weights = settings.objectives.model_dump()
    ratios = {name: _mean(ratio, settings.steps) for name, ratio in settings.masking.ratio}
    ratios["camlm"] /= 1 + ratios["camlm"]
    return sum(weights[name] * ratios[name] for name in weights) / sum(weights.values())
