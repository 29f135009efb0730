"""The part shared by both pre-training stages: inputs, training, outputs."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from ernie_m.config.pretrain import MaskingSettings, StageJob
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.locks import waited_for
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import load, save_weights
from ernie_m.model.encoder import LanguageModel
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Chained
from ernie_m.training import corpora
from ernie_m.training.batches import DataLoader
from ernie_m.training.by_step import value_at
from ernie_m.training.callbacks import Callback
from ernie_m.training.engine import Engine
from ernie_m.training.loop import Trainer
from ernie_m.training.order import Texts
from ernie_m.training.processes import Processes, process_group
from ernie_m.training.state import State, end_of, state_folder
from ernie_m.training.validation import Validation

logger = logging.getLogger(__name__)


def masking_for(shape: Architecture, settings: MaskingSettings) -> Masking:
    """The masking settings of the first step, completed by ids and positions from the
    checkpoint."""
    return Masking(
        mask_id=shape.vocabulary - 1,
        ratio={name: value_at(ratio, 0) for name, ratio in settings.ratio},
        random_share=settings.random_share,
        keep_share=settings.keep_share,
        pair_positions=shape.pair_positions,
    )


def texts_of(
    job: Job[StageJob],
    shape: Architecture,
    name: str,
    objectives: Sequence[str] = (),
    checked: bool = True,
) -> dict[str, Texts]:
    """The dataset of each objective, by default of those with a weight, from the shards of input
    ``name``, truncated to the length that fits a row. All are read for ids to be ``checked``."""
    settings, languages = job.settings, shape.languages
    vocabulary = shape.vocabulary if checked else None
    paths, ids = job.inputs(name), (shape.tokenizer, vocabulary)
    mono, pairs = (corpora.read_shards(paths, sides, *ids) for sides in (1, 2))
    row, slot_ratio = settings.row_length, settings.masking.ratio.camlm
    make: dict[str, Callable[[], Texts]] = {
        "mmlm": lambda: corpora.mono_texts(
            corpora.monolingual(mono, languages, max_text_tokens("mmlm", row)), languages
        ),
        "tlm": lambda: corpora.parallel_texts(pairs, languages, max_text_tokens("tlm", row)),
        "camlm": lambda: corpora.parallel_texts(
            pairs, languages, max_text_tokens("camlm", row, slot_ratio), slot_ratio
        ),
        "btmlm": lambda: corpora.pseudo_texts(
            mono, job.inputs("pseudo"), name, languages, row, vocabulary
        ),
    }
    weighted = (name for name, share in settings.objectives.model_dump().items() if share)
    return {objective: make[objective]() for objective in objectives or weighted}


def dataloader_of(job: Job[StageJob], shape: Architecture, texts: dict[str, Texts]) -> DataLoader:
    """The dataloader of a training."""
    settings = job.settings
    return DataLoader(
        texts=texts,
        shares=settings.objectives.model_dump(),
        batch_tokens=settings.batch_tokens,
        row_length=settings.row_length,
        alpha=settings.alpha,
        masking=masking_for(shape, settings.masking),
        seed=job.seed,
        ratios=dict(settings.masking.ratio),
        stage=2 if job.stage == "pretrain_btmlm" else 1,
    )


def _trainer(
    job: Job[StageJob], engine: Engine, callbacks: Sequence[Callback]
) -> tuple[Trainer, dict[str, Texts]]:
    settings, shape, first = job.settings, engine.model.shape, engine.processes.first
    train, valid = (texts_of(job, shape, part, checked=first) for part in ("train", "valid"))
    dataloader = dataloader_of(job, shape, train)
    validation = Validation(
        valid, settings.evaluate_sentences, dataloader.masking, settings.row_length, job.seed
    )
    state = State(Path(engine.processes.told(lambda: str(state_folder(job)))), engine)
    name = job.stage.removeprefix("pretrain_") + f" {job.instance}"
    trainer = Trainer(name, engine, dataloader, validation, settings, state, callbacks, end_of(job))
    return trainer, train


def _real_texts(
    job: Job[StageJob], shape: Architecture, train: dict[str, Texts]
) -> Iterator[Texts]:
    """All monolingual text and all pairs, whatever the objectives are, for a level that variants
    can be compared by."""
    for objective, sides in (("mmlm", 1), ("tlm", 2)):
        if objective in train:
            yield train[objective]
        elif corpora.read_shards(job.inputs("train"), sides, shape.tokenizer):
            yield from texts_of(job, shape, "train", [objective], checked=False).values()


def _model(job: Job[StageJob]) -> LanguageModel:
    model = load(job.input("init"))
    if job.settings.row_length > model.shape.max_positions - 2:
        raise UserError(
            f"Rows of {job.settings.row_length} tokens need more positions than the model's "
            f"{model.shape.max_positions}.",
            "Lower `row_length` or raise `model.max_positions`.",
        )
    if job.settings.hardware.attention == "flex" and model.shape.attention_dropout:
        raise UserError(
            "FlexAttention has no attention dropout.",
            "Set `model.attention_dropout: 0` or `hardware.attention: sdpa`.",
        )
    return model


def facts_of(job: Job[StageJob], step: int) -> dict[str, str]:
    """What a checkpoint says of itself."""
    return {"stage": job.stage.removeprefix("pretrain_"), "steps": str(step)}


def train_stage(job: Job[StageJob], callbacks: Sequence[Callback] = ()) -> None:
    """Train from the model ``init`` on the shards ``train`` (and ``pseudo``), validate on
    ``valid``, and write ``model``, ``curves`` and ``metrics``; resumes from the newest state. Of a
    checkpoint that a training keeps (:func:`ernie_m.training.state.end_of`), ``model`` alone."""
    torch.set_num_threads(job.settings.hardware.num_threads)
    with process_group(job.settings.hardware) as processes:
        _train(job, processes, callbacks)


def _train(job: Job[StageJob], processes: Processes, callbacks: Sequence[Callback]) -> None:
    settings = job.settings
    engine = Engine(_model(job), settings.optimiser, settings.hardware, processes)
    if processes.first:
        with ExitStack() as held:
            _train_and_write(job, engine, callbacks, held)
            job.after(held.pop_all().close)
    else:
        _trainer(job, engine, [c for c in callbacks if c.every_rank])[0].run()
        engine.weights()


def _train_and_write(
    job: Job[StageJob], engine: Engine, callbacks: Sequence[Callback], held: ExitStack
) -> None:
    trainer, train = _trainer(job, engine, callbacks)
    shape = engine.model.shape
    # A run of another name may have the same training, and with it the same state.
    held.enter_context(waited_for(trainer.state.folder.with_suffix(".lock")))
    resumed = trainer.run()
    done = trainer.progress
    job.note(
        resumed_from=resumed,
        training_seconds=done.seconds,
        device=str(engine.processes.device),
        **{key: value for callback in callbacks for key, value in callback.facts().items()},
    )
    weights = engine.weights()
    save_weights(job.output("model"), weights, shape, facts_of(job, done.step))
    if trainer.end == job.settings.steps:
        _write_measures(job, trainer, train, sum(weight.numel() for weight in weights.values()))
    # Last: what cannot be written is written from the state by the next call.
    held.callback(shutil.rmtree, trainer.state.folder, ignore_errors=True)


def _write_measures(
    job: Job[StageJob], trainer: Trainer, train: dict[str, Texts], parameters: int
) -> None:
    done, shape = trainer.progress, trainer.engine.model.shape
    _write_curve(job.output("curves"), done.curve)
    metrics = {
        "steps": done.step,
        "tokens": done.tokens,
        "skipped": done.skipped,
        "parameters": parameters,
        "valid": trainer.final,
        # After all collectives: counting large text takes long, and other ranks would wait.
        "unigram": trainer.validation.unigram(
            corpora.unigram_counts(
                _real_texts(job, shape, train), len(shape.languages), shape.vocabulary
            )
        ),
        "cut": {name: count_cut(texts) for name, texts in train.items()},
    }
    job.write_json("metrics", metrics)


def count_cut(texts: Texts) -> dict[str, int]:
    """Counts of an objective's text that is truncated because it does not fit a row."""
    sides = [side.cut() for side in (texts.source, texts.target) if isinstance(side, Chained)]
    return {name: sum(side[name] for side in sides) for name in sides[0]}


def _write_curve(path: Path, curve: list[dict]) -> None:
    path.write_text("".join(json.dumps(point, sort_keys=True) + "\n" for point in curve))
