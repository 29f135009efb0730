"""Configuration key ``xtreme``: evaluation tasks, their making, fine-tuning and scoring."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ernie_m.config.base import Section
from ernie_m.config.sources import SourceJob, SourceRow, load_sources
from ernie_m.xtreme.catalogue import TASKS

Stage = Literal["initialise", "camlm", "btmlm"]
TaskName = Literal[
    "xnli",
    "pawsx",
    "udpos",
    "panx",
    "xquad",
    "mlqa",
    "tydiqa",
    "bucc2018",
    "tatoeba",
    "conll",
    "standin_xquad",
    "standin_udpos",
    "standin_retrieval",
    "standin_mining",
    "standin_classification",
    "standin_paraphrase",
    "standin_tagging",
    "standin_qa",
]
STANDINS: tuple[TaskName, ...] = (
    "standin_retrieval",
    "standin_mining",
    "standin_classification",
    "standin_paraphrase",
    "standin_tagging",
    "standin_qa",
)


class PrepareSettings(Section):
    """How examples are made of held-out rows."""

    train_examples: int = Field(
        1500,
        ge=6,
        description="examples; own choice, for quick runs (XNLI has 392,702); most English "
        "training examples of a task",
    )
    dev_examples: int = Field(
        500,
        ge=6,
        description="examples; own choice (XNLI has 2,490); most English development examples",
    )
    test_examples: int = Field(
        500,
        ge=6,
        description="examples per language; own choice (Tatoeba has 1,000); a score of 50 % from "
        "500 has a standard error of 2.2 points",
    )
    retrieval_min_words: int = Field(
        6,
        ge=1,
        description="English words; own choice; shorter sentences have too many doubles to be "
        "looked up",
    )
    mining_sentences: int = Field(
        1000,
        ge=6,
        description="sentences; own choice (BUCC has 10^5); most sentences of both sides "
        "together, before each is dealt to a side",
    )
    mining_pair_share: float = Field(
        0.4,
        gt=0.0,
        lt=1.0,
        description="share of the sentences that keep their translation; own choice; the others "
        "are left on one side only",
    )
    qa_min_fields: int = Field(
        3,
        ge=2,
        description="descriptions; own choice; forms with fewer make no context",
    )
    qa_max_fields: int = Field(
        4,
        ge=2,
        description="descriptions; own choice; longer forms are cut into contexts of this many",
    )

    @model_validator(mode="after")
    def _fields_in_order(self) -> PrepareSettings:
        if self.qa_max_fields < self.qa_min_fields:
            raise ValueError("qa_max_fields must be at least qa_min_fields")
        return self


class FinetuneSettings(Section):
    """Fine-tuning on English. Defaults fit an encoder of 3 layers of width 128."""

    learning_rate: float = Field(
        5e-4,
        gt=0.0,
        description="peak rate; own choice for a small encoder (ERNIE-M base takes 5e-5 to 4e-4, "
        "XTREME 2e-5); too high forgets what the languages share",
    )
    epochs: int = Field(
        5,
        ge=1,
        description="passes over the training examples; own choice (ERNIE-M takes 2 to 10)",
    )
    batch_size: int = Field(
        32,
        ge=1,
        description="examples per update; XTREME and ERNIE-M on XNLI; windows of long texts count "
        "as examples",
    )
    warmup_share: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="share of all updates; ERNIE-M; the rate climbs that long, then falls "
        "linearly to 0",
    )
    weight_decay: float = Field(
        0.01,
        ge=0.0,
        description="per unit of rate; ERNIE-M takes 0 (XNLI) or 0.01 (CoNLL); biases and "
        "LayerNorm have none",
    )
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="decay of the mean gradient; ERNIE-M")
    beta2: float = Field(
        0.999, ge=0.0, lt=1.0, description="decay of the squared gradient; ERNIE-M"
    )
    eps: float = Field(
        1e-6, gt=0.0, description="added to the root of the squared gradient; ERNIE-M"
    )
    clip_norm: float = Field(
        1.0, gt=0.0, description="global gradient norm; ERNIE-M; longer gradients are shortened"
    )
    dropout: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="share of values; ERNIE-M; dropped in the encoder and before the head's last "
        "layer (tagging has no dropout there)",
    )
    max_tokens: int = Field(
        256,
        ge=16,
        description="tokens with special ones; ERNIE-M on XNLI (384 on MLQA); longer pairs are "
        "cut, longer tagged sentences split, longer contexts read in windows",
    )
    stride: int = Field(
        64,
        ge=1,
        description="tokens; own choice (ERNIE-M has 128 of 384); how far windows of a long "
        "context overlap",
    )
    max_query_tokens: int = Field(
        64, ge=1, description="tokens; ERNIE-M and XTREME; longer questions are cut"
    )
    language_embedding: Literal["own", "none"] = Field(
        "own",
        description="own: each text with its language's embedding, as in pre-training, and without "
        "one in languages that pre-training did not have; none: all without, as the released "
        "ERNIE-M; prediction follows",
    )
    evaluations: int = Field(
        5,
        ge=1,
        description="times; own choice; how often the English development examples are looked at "
        "to choose the best step",
    )


class PredictSettings(Section):
    """Prediction; the retrieval tasks take a pre-trained encoder as it is."""

    layer: int = Field(
        -2,
        description="hidden state; XTREME takes the output of layer 8 of 12; 0 is the embeddings, "
        "negative counts from the last layer (-1)",
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        description="mean of all tokens (XTREME on Tatoeba) or the first token (XTREME on BUCC); "
        "how a sentence becomes a vector",
    )
    skip_specials: bool = Field(
        True,
        description="switch; XTREME has it off; whether <s> and </s> are left out of the mean",
    )
    centre: bool = Field(
        True,
        description="switch; XTREME has none; subtracts the mean vector of a language's "
        "sentences, which removes most of what marks the language; worth some ten points of "
        "retrieval at laptop size",
    )
    scoring: Literal["cosine", "margin"] = Field(
        "cosine",
        description="cosine (XTREME on Tatoeba) or margin, cosine over the mean of both "
        "neighbourhoods; for retrieval, mining always has margin as XTREME has",
    )
    neighbours: int = Field(
        4, ge=1, description="sentences; XTREME on BUCC; size of a neighbourhood in the margin"
    )
    language_embedding: Literal["own", "none"] = Field(
        "own",
        description="own: each sentence with its language's embedding, as in pre-training, and "
        "without one in languages that pre-training did not have; none: all without; for the "
        "retrieval tasks",
    )
    max_answer_tokens: int = Field(
        100, ge=1, description="tokens; ERNIE-M (XTREME 30); longer answers are not considered"
    )


class ScoreSettings(Section):
    """Scoring; the metrics themselves are the tasks' own."""

    min_examples: int = Field(
        50,
        ge=1,
        description="test examples; own choice; a language with fewer is shown, but left out of "
        "the averages: its score is mostly chance",
    )


class XtremeSettings(Section):
    """Which tasks are run, for what, and how."""

    tasks: list[TaskName] = Field(
        list(STANDINS),
        description="names; the default has stand-ins from held-out interface text, never to be "
        "set beside published XTREME scores; `config/xtreme.yaml` has the nine of XTREME; tasks "
        "left out are not made",
    )
    registry: str = Field(
        "config/xtreme_sources.yaml",
        description="file; rows of the sources that published tasks are read from",
    )
    parquet: list[TaskName] = Field(
        [],
        description="tasks; read from the Parquet files of `google/xtreme` instead of what the "
        "tasks' own publishers offer; the examples are the same (exceptions: docs/evaluation.md)",
    )
    local: dict[str, str] = Field(
        {},
        description="folders by id of a source; files that are here already, under the names that "
        "the registry gives them, are copied from there instead of fetched",
    )
    seeds: list[int] = Field(
        [1],
        min_length=1,
        description="numbers; own choice (XTREME 1); each fine-tuning is repeated with each, the "
        "report shows mean and deviation",
    )
    stages: list[Stage] = Field(
        ["initialise", "camlm", "btmlm"],
        min_length=1,
        description="checkpoints; own choice; which stages of pre-training are evaluated "
        "(initialise: the untrained encoder)",
    )
    prepare: PrepareSettings = Field(PrepareSettings(), description="making of examples")
    finetune: FinetuneSettings = Field(FinetuneSettings(), description="fine-tuning on English")
    per_task: dict[TaskName, FinetuneSettings] = Field(
        {}, description="keys of `finetune` that differ for a task; own choice; laid over it"
    )
    predict: PredictSettings = Field(PredictSettings(), description="prediction")
    score: ScoreSettings = Field(ScoreSettings(), description="scoring")

    @field_validator("tasks", "seeds", "stages")
    @classmethod
    def _no_doubles(cls, values: list) -> list:
        if len(set(values)) != len(values):
            raise ValueError(f"{values} names something twice")
        return values

    @cached_property
    def _rows(self) -> dict[str, SourceRow]:
        return load_sources(Path(self.registry))

    @model_validator(mode="after")
    def _sources_known(self) -> XtremeSettings:
        # Defaults are built wherever the package is imported; sources() tells of a missing file.
        if Path(self.registry).is_file():
            rows = self._rows
            if unknown := sorted(self.local.keys() - rows.keys()):
                raise ValueError(
                    f"`local` names the source `{unknown[0]}`, which {self.registry} does not "
                    f"have; it has {', '.join(rows)}"
                )
            for task in self.parquet:
                if not any(task in row.parquet for row in rows.values()):
                    raise ValueError(f"`{task}` cannot be read from Parquet files")
        return self

    def sources(self) -> dict[str, SourceJob]:
        """The sources of the published tasks that are run; raises ``ValueError``."""
        tasks = [task for task in self.tasks if TASKS[task].published]
        names = dict.fromkeys(name for task in tasks for name in self.sources_of(task))
        return {
            name: SourceJob(**self._rows[name].model_dump(), folder=self.local.get(name))
            for name in names
        }

    def sources_of(self, task: TaskName) -> list[str]:
        """Ids of the sources that a task is read from; none for tasks made of held-out rows."""
        if not TASKS[task].published:
            return []
        form = "parquet" if task in self.parquet else "raw"
        return [row.id for row in self._rows.values() if task in getattr(row, form)]

    def prepare_for(self, task: TaskName) -> PrepareSettings:
        """What making a task's examples depends on; published ones are taken as they are."""
        return PrepareSettings() if TASKS[task].published else self.prepare

    def finetune_for(self, task: TaskName) -> FinetuneSettings:
        """``finetune`` with what ``per_task`` changes for ``task``."""
        own = self.per_task.get(task, FinetuneSettings()).model_dump(exclude_unset=True)
        return FinetuneSettings(**{**self.finetune.model_dump(exclude_unset=True), **own})
