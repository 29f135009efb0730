"""What the two pre-training stages have in common: inputs, training, outputs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch

from ernie_m.config.pretrain import MaskingSettings, StageSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, exclusive
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import load, save
from ernie_m.model.device import best_device, device_of
from ernie_m.model.encoder import LanguageModel
from ernie_m.objectives.layout import PAIR_SPECIALS
from ernie_m.objectives.objectives import Masking
from ernie_m.tracking import live
from ernie_m.training import corpora
from ernie_m.training.batches import Sampler, Texts
from ernie_m.training.loop import Trainer
from ernie_m.training.schedule import adamw
from ernie_m.training.state import State, state_folder
from ernie_m.training.validation import Validation

logger = logging.getLogger(__name__)


def masking_for(shape: Architecture, settings: MaskingSettings) -> Masking:
    """The settings with what the checkpoint fixes: ids and positions."""
    return Masking(
        mask_id=shape.vocabulary - 1,
        ratio=settings.ratio.model_dump(),
        random_share=settings.random_share,
        keep_share=settings.keep_share,
        camlm_words=settings.camlm_words,
        camlm_sides=settings.camlm_sides,
        camlm_visible_rows=settings.camlm_visible_rows,
        pair_positions=shape.pair_positions,
    )


def _texts(
    job: Job[StageSettings], shape: Architecture, name: str, on: set[str]
) -> dict[str, Texts]:
    """Texts of the objectives that are on, from the shards given as input ``name``."""
    longest = (job.settings.row_length - PAIR_SPECIALS) // 2
    paths, languages = job.inputs(name), shape.languages
    found: dict[str, Texts] = {}
    mono = corpora.read_shards(paths, 1, shape.tokenizer)
    if on & {"mmlm", "btmlm"}:
        whole = corpora.monolingual(mono, languages, longest)
        found["mmlm"] = corpora.mono_texts(whole, languages)
    if "btmlm" in on:
        found["btmlm"] = corpora.pseudo_texts(whole, job.inputs("pseudo"), languages, longest)
    if on & {"tlm", "camlm"}:
        pairs = corpora.read_shards(paths, 2, shape.tokenizer)
        found["tlm"] = found["camlm"] = corpora.parallel_texts(pairs, languages, longest)
    return {name: text for name, text in found.items() if name in on}


def _trainer(
    job: Job[StageSettings], model: LanguageModel, tracked: live.Live
) -> tuple[Trainer, Validation, dict[str, Texts]]:
    settings, shape = job.settings, model.shape
    shares = settings.objectives.model_dump()
    on = {name for name, share in shares.items() if share}
    train, valid = _texts(job, shape, "train", on), _texts(job, shape, "valid", on)
    masking = masking_for(shape, settings.masking)
    row = settings.row_length
    sampler = Sampler(train, shares, settings.batch_tokens, row, settings.alpha, masking, job.seed)
    validation = Validation(valid, settings.evaluate_sentences, masking, row, job.seed)
    state = State(state_folder(job), model, adamw(model, settings.optimiser))
    name = job.stage.removeprefix("pretrain_") + f" {job.instance}"
    trainer = Trainer(name, model, sampler, validation, settings, state, tracked.log)
    return trainer, validation, train


def _unigram(validation: Validation, train: dict[str, Texts], shape: Architecture) -> dict:
    # TLM and CAMLM draw from the same pairs, which count once.
    pairs = train.get("camlm") or train.get("tlm")
    real = [text for text in (train.get("mmlm"), pairs) if text is not None]
    counts = corpora.unigram_counts(real, len(shape.languages), shape.vocabulary)
    return validation.unigram(counts)


def train_stage(job: Job[StageSettings]) -> None:
    """Train from the model ``init`` on the shards ``train`` (and ``pseudo``), validate on
    ``valid``, write ``model``, ``curves`` and ``metrics``; resumes from its newest state."""
    torch.set_num_threads(job.settings.num_threads)
    model = load(job.input("init")).to(best_device())
    if job.settings.row_length > model.shape.max_positions - 2:
        raise UserError(
            f"Rows of {job.settings.row_length} tokens need more positions than the model's "
            f"{model.shape.max_positions}.",
            "Lower `row_length` or raise `model.max_positions`.",
        )
    job.note(device=str(device_of(model)))
    tracked = live.attach(job.stage, job.instance)
    trainer, validation, train = _trainer(job, model, tracked)
    unigram = _unigram(validation, train, model.shape)
    with exclusive(trainer.state.folder.with_suffix(".lock")):
        resumed = trainer.run()
    tracked.close()
    done = trainer.progress
    job.note(resumed_from=resumed, mlflow_run=tracked.run_id, training_seconds=done.seconds)
    stage = job.stage.removeprefix("pretrain_")
    save(job.output("model"), model, model.shape, {"stage": stage, "steps": str(done.step)})
    _write_curve(job.output("curves"), done.curve)
    metrics = {
        "steps": done.step,
        "tokens": done.tokens,
        "parameters": sum(p.numel() for p in model.parameters()),
        "valid": validation.losses(model),
        "unigram": unigram,
    }
    job.write_json("metrics", metrics)
    job.after(trainer.state.clear)


def _write_curve(path: Path, curve: list[dict]) -> None:
    path.write_text("".join(json.dumps(point, sort_keys=True) + "\n" for point in curve))
