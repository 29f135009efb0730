"""Configuration key ``xtreme``: evaluation tasks, their examples, fine-tuning and scoring."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, field_validator, model_serializer, model_validator

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.base import Section
from ernie_m.config.recipes import RecipeName, finetune_keys, predict_keys
from ernie_m.config.sources import SourceJob, SourceRow, load_sources

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
    "standin_tagging",
)


class PrepareSettings(Section):
    """How examples are built from held-out rows."""

    train_examples: int = Field(
        4000,
        ge=6,
        le=10_000_000,
        description="examples (ours), XNLI has 392,702; most English training examples of a "
        "stand-in",
    )
    dev_examples: int = Field(
        500,
        ge=6,
        le=10_000_000,
        description="examples (ours), XNLI has 2,490; most English development examples",
    )
    test_examples: int = Field(
        500,
        ge=6,
        le=10_000_000,
        description="examples per language (ours), Tatoeba has 1,000; a score of 50 % from "
        "500 has a standard error of 2.2 points",
    )
    retrieval_min_words: int = Field(
        6,
        ge=1,
        le=1_000,
        description="English words (ours); shorter sentences have too many doubles to be looked up",
    )
    mining_sentences: int = Field(
        1000,
        ge=6,
        le=10_000_000,
        description="sentences (ours), BUCC has 10^5; most sentences of both sides "
        "together, before each is dealt to a side",
    )
    mining_pair_share: float = Field(
        0.4,
        gt=0.0,
        lt=1.0,
        description="share of the sentences that keep their translation (ours); the others "
        "are left on one side only",
    )
    qa_min_fields: int = Field(
        3,
        ge=2,
        le=1_000,
        description="sentences (ours); forms and groups with fewer make no context",
    )
    qa_max_fields: int = Field(
        4,
        ge=2,
        le=1_000,
        description="sentences (ours); longer forms and groups are cut into contexts of this many",
    )

    @model_validator(mode="after")
    def _fields_in_order(self) -> PrepareSettings:
        if self.qa_max_fields < self.qa_min_fields:
            raise ValueError("qa_max_fields must be at least qa_min_fields")
        return self


class FinetuneSettings(Section):
    """Fine-tuning on a task. Defaults fit an encoder of 2 layers of width 128."""

    learning_rate: float = Field(
        1e-3,
        gt=0.0,
        description="peak rate (ours), for a small encoder; base 5e-5 to 4e-4 (authors), 2e-5 "
        "(sibling: XTREME); too high forgets what the languages share",
    )
    epochs: int = Field(
        5,
        ge=1,
        le=10_000,
        description="passes over the training examples (ours); 2 to 10 (authors)",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=1_000_000,
        description="examples per update; 32 on XNLI (authors), 32 (sibling: XTREME); windows of "
        "long texts count as examples",
    )
    warmup_share: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="share of all updates; 0.1 (authors); the rate climbs that long, then falls "
        "linearly to 0",
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="updates; 500 on questions (sibling: XTREME); warm-up by number instead, where "
        "not 0",
    )
    decay_from: Literal["warmup", "start"] = Field(
        "warmup",
        description="warmup: the rate falls from the peak after warm-up; start: from the first "
        "update on (authors), so that it jumps from the peak to 90 % of it after a warm-up of 10 %",
    )
    layer_decay: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="factor (ours); 0.8 or 0.9 (authors); each layer's update is smaller by it "
        "than that of the layer above, the embeddings' smallest, which keeps what the languages "
        "share; 1: all alike",
    )
    weight_decay: float = Field(
        0.01,
        ge=0.0,
        description="per unit of rate; 0 on XNLI, 0.01 on CoNLL (authors); biases and LayerNorm "
        "have none",
    )
    beta1: float = Field(
        0.9, ge=0.0, lt=1.0, description="decay of the mean gradient; 0.9 (authors)"
    )
    beta2: float = Field(
        0.999, ge=0.0, lt=1.0, description="decay of the squared gradient; 0.999 (authors)"
    )
    eps: float = Field(
        1e-6, gt=0.0, description="added to the root of the squared gradient; 1e-6 (authors)"
    )
    clip_norm: float = Field(
        1.0,
        gt=0.0,
        description="global gradient norm; 1.0 (authors); longer gradients are shortened",
    )
    dropout: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="share of values; 0.1 (authors); dropped in the encoder and before the head's "
        "last layer (tagging has no dropout there)",
    )
    max_tokens: int = Field(
        256,
        ge=16,
        le=1_000_000,
        description="tokens with special ones; 256 on XNLI, 384 on MLQA (authors); longer pairs "
        "are cut, longer tagged sentences split, longer contexts read in windows",
    )
    stride: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="tokens (ours); how far windows of a long context overlap",
    )
    window_step: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="tokens; 128 of 384, there called stride (authors), (sibling: XTREME); how "
        "far behind one window the next begins, where not 0, instead of `stride`",
    )
    max_query_tokens: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="tokens; 64 (authors), (sibling: XTREME); longer questions are cut",
    )
    language_embedding: Literal["own", "none"] = Field(
        "own",
        description="own: each text with its language's embedding, as in pre-training, and without "
        "one in languages that pre-training did not have; none: all without, as the released model "
        "(authors); prediction follows",
    )
    evaluations: int = Field(
        5,
        ge=1,
        le=10_000,
        description="times (ours); evaluations on the English development examples, by which "
        "the best step is chosen",
    )
    evaluate_every: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="updates; 100 or 1,000 (authors), 100 to 1,000 (sibling: XTREME); steps "
        "between evaluations, where not 0, instead of `evaluations`",
    )
    patience: int = Field(
        0,
        ge=0,
        le=10_000,
        description="evaluations (ours); 5 on XNLI (sibling: XLM-R); early stopping after so many "
        "without a better score; 0: all updates are run",
    )
    selection: Literal["english_dev", "last"] = Field(
        "english_dev",
        description="english_dev: the step that is best on English development examples; last: the "
        "last step, on questions only (sibling: XTREME); the authors' rule is not known",
    )


class TaskFinetuneSettings(FinetuneSettings):
    """Keys of `finetune` that differ for a task; serialised without defaults."""

    @model_serializer(mode="wrap")
    def _given(self, serialise: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {k: v for k, v in serialise(self).items() if k in self.model_fields_set}


class AlignSettings(Section):
    """Fine-tuning of sentence vectors on the parallel text: each sentence must be nearer to its
    translation than to the most similar other sentence of the batch."""

    learning_rate: float = Field(
        5e-4, gt=0.0, description="peak rate (ours), the paper's is not known"
    )
    steps: int = Field(
        600, ge=1, le=1_000_000_000, description="updates (ours), the paper's are not known"
    )
    batch_pairs: int = Field(
        128,
        ge=2,
        le=1_000_000,
        description="sentence pairs of a batch (ours); the hardest negative is sought in it",
    )
    warmup_share: float = Field(0.1, ge=0.0, lt=1.0, description="share of all updates (ours)")
    weight_decay: float = Field(
        0.01, ge=0.0, description="per unit of rate (ours); not on biases and LayerNorm"
    )
    clip_norm: float = Field(1.0, gt=0.0, description="global gradient norm (ours)")
    layer_decay: float = Field(1.0, gt=0.0, le=1.0, description="factor (ours); as in `finetune`")
    max_tokens: int = Field(
        64,
        ge=4,
        le=1_000_000,
        description="tokens of a sentence with special ones (ours); longer are cut",
    )
    evaluations: int = Field(
        5, ge=1, le=10_000, description="times (ours); evaluations on validation pairs"
    )
    validation_pairs: int = Field(
        500, ge=2, le=1_000_000, description="pairs of each language pair, at most (ours)"
    )


class PredictSettings(Section):
    """Prediction; retrieval tasks use the pre-trained encoder without fine-tuning."""

    layer: int = Field(
        -2,
        ge=-1000,
        le=1000,
        description="hidden state (ours); 8 of 12 (sibling: XTREME); 0 is the embeddings, negative "
        "counts from the last layer (-1)",
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        description="how a sentence becomes a vector: mean of all tokens, on Tatoeba, or the first "
        "token, on BUCC (sibling: XTREME)",
    )
    skip_specials: bool = Field(
        True,
        description="switch (ours); off (sibling: XTREME); whether <s> and </s> are left out of "
        "the mean",
    )
    centre: bool = Field(
        True,
        description="switch (ours); none (sibling: XTREME); subtracts the mean vector of a "
        "language's sentences, which removes most of what marks the language; worth some ten "
        "points of retrieval at laptop size",
    )
    scoring: Literal["cosine", "margin"] = Field(
        "cosine",
        description="cosine, on Tatoeba (sibling: XTREME), or margin, cosine over the mean of both "
        "neighbourhoods; for retrieval, mining always has margin (sibling: XTREME)",
    )
    neighbours: int = Field(
        4,
        ge=1,
        le=10_000,
        description="sentences; 4 on BUCC (sibling: XTREME); size of a neighbourhood in the margin",
    )
    language_embedding: Literal["own", "none"] = Field(
        "own",
        description="own: each sentence with its language's embedding, as in pre-training, and "
        "without one in languages that pre-training did not have; none: all without; for the "
        "retrieval tasks, but after fine-tuning that of `finetune`",
    )
    max_answer_tokens: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="tokens; 100 (authors), 30 (sibling: XTREME); longer ones are not considered",
    )
    n_best: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="tokens; 20 (authors), (sibling: XTREME); how many of a window's best starts "
        "and ends are considered; 0: all",
    )
    max_context: bool = Field(
        False,
        description="switch; on (authors), (sibling: XTREME); whether an answer must begin in that "
        "window which has most text around its first token",
    )


class AlignJob(AlignSettings):
    """Settings of the stage `xtreme.align`: sentence vectors are trained as they are used."""

    layer: int = Field(description="As `predict.layer`.")
    pooling: Literal["mean", "cls"] = Field(description="As `predict.pooling`.")
    skip_specials: bool = Field(description="As `predict.skip_specials`.")
    language_embedding: Literal["own", "none"] = Field(description="As there.")


class ScoreSettings(Section):
    """Scoring, with each task's own metric."""

    min_examples: int = Field(
        50,
        ge=1,
        le=10_000_000,
        description="test examples (ours); a language with fewer is shown, but left out of "
        "the averages: its score is mostly chance",
    )


class XtremeSettings(Section):
    """Evaluation tasks, fine-tuning, prediction and scoring."""

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
    seeds: list[Annotated[int, Field(ge=0, le=2**32 - 1)]] = Field(
        [1],
        min_length=1,
        max_length=1000,
        description="numbers (ours); five runs (paper: tables), one (sibling: XTREME); each "
        "fine-tuning is repeated with each, the report shows mean and deviation",
    )
    stages: list[Stage] = Field(
        ["initialise", "camlm", "btmlm"],
        min_length=1,
        description="checkpoints (ours); which stages of pre-training are evaluated "
        "(initialise: the untrained encoder, or what `init` names); none is run after the last of "
        "these",
    )
    prepare: PrepareSettings = Field(PrepareSettings(), description="how examples are built")
    recipe: RecipeName = Field(
        "own",
        description="published settings (docs/evaluation.md) that are laid over `finetune` and "
        "`predict` for each kind of task; own: none",
    )
    training: Literal["english", "all"] = Field(
        "english",
        description="english: zero-shot transfer; all: fine-tuning on the training text of all "
        "languages, translations (translate-train-all) or a task's own, where a task has it",
    )
    finetune: FinetuneSettings = Field(FinetuneSettings(), description="fine-tuning on a task")
    per_task: dict[TaskName, TaskFinetuneSettings] = Field(
        {},
        description="keys of `finetune` that differ for a task (ours); laid over it and over the "
        "recipe",
    )
    retrieval: Literal["pretrained", "finetuned", "aligned"] = Field(
        "pretrained",
        description="encoder for retrieval and mining; as pre-training left it, or fine-tuned on "
        "`xnli` (stand-ins: `standin_classification`), as for 87.9 on Tatoeba (memory), or on the "
        "parallel text with hardest negatives (`align`), as for 93.3 (memory)",
    )
    align: AlignSettings = Field(AlignSettings(), description="fine-tuning for retrieval")
    predict: PredictSettings = Field(PredictSettings(), description="prediction with it")
    score: ScoreSettings = Field(ScoreSettings(), description="scoring of predictions")

    @field_validator("tasks", "seeds", "stages")
    @classmethod
    def _no_doubles(cls, values: list) -> list:
        if len(set(values)) != len(values):
            raise ValueError(f"{values} names something twice")
        return values

    @model_validator(mode="after")
    def _finetuned_on_what_is_run(self) -> XtremeSettings:
        for task in self.tasks:
            if (tuned := self.finetuned_on(task)) and tuned not in self.tasks:
                raise ValueError(f"`retrieval: finetuned` of `{task}` needs `{tuned}` in `tasks`")
        return self

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
        """Settings of a task's examples; defaults for published tasks, which do not use them."""
        return PrepareSettings() if TASKS[task].published else self.prepare

    def training_for(self, task: TaskName) -> Literal["english", "all"]:
        """``training``, but English for a task without training text in other languages."""
        return self.training if TASKS[task].trains_in_all else "english"

    def finetune_for(self, task: TaskName) -> FinetuneSettings:
        """``finetune`` with what the recipe and ``per_task`` change for ``task``."""
        in_all = self.training_for(task) == "all"
        keys = finetune_keys(self.recipe, TASKS[task].kind, task, in_all)
        own = self.per_task.get(task, TaskFinetuneSettings()).model_dump()
        return FinetuneSettings(**{**self.finetune.model_dump(), **keys, **own})

    def predict_for(self, task: TaskName, layers: int) -> PredictSettings:
        """``predict`` with what the recipe changes for ``task`` and an encoder of ``layers``."""
        keys = predict_keys(self.recipe, TASKS[task].kind, task, layers)
        tuned = self.finetuned_on(task)
        if tuned and not TASKS[task].trained:
            keys["language_embedding"] = self.finetune_for(tuned).language_embedding
        return PredictSettings(**{**self.predict.model_dump(), **keys})

    def vectors(self, layers: int) -> PredictSettings:
        """``predict`` as in retrieval, whatever the task."""
        keys = predict_keys(self.recipe, "retrieval", "", layers)
        return PredictSettings(**{**self.predict.model_dump(), **keys})

    def align_job(self, layers: int) -> AlignJob:
        """Settings of the stage ``xtreme.align``, pooled as in retrieval."""
        keys = self.vectors(layers).model_dump()
        as_used = {key: keys[key] for key in AlignJob.model_fields if key in keys}
        return AlignJob(**self.align.model_dump(), **as_used)

    def finetuned_on(self, task: TaskName) -> TaskName | None:
        """The task on which the encoder for ``task`` is fine-tuned; None if it is only
        pre-trained, or aligned."""
        if TASKS[task].trained:
            return task
        return cast(TaskName, TASKS[task].after) if self.retrieval == "finetuned" else None

    def aligned(self, task: TaskName) -> bool:
        """Whether ``task`` uses an encoder that was fine-tuned for retrieval."""
        return self.retrieval == "aligned" and not TASKS[task].trained
