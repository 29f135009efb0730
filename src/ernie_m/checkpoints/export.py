"""Write a checkpoint for other libraries, with a model card made from its lineage.

Inputs: ``model`` (pre-trained or fine-tuned), ``tokenizer``, and for the card ``records``,
``scores``, ``baselines`` and ``claims``, each possibly empty. Outputs: ``model`` (the weights),
``card`` and ``files`` (the rest), all in one folder and named as the library expects.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ernie_m.audit.chain import chain_of
from ernie_m.audit.checks import check_files, check_links, check_sources
from ernie_m.catalogue.tasks import Task, task_of
from ernie_m.checkpoints import huggingface, onnx, sentences
from ernie_m.checkpoints.card import Subject, card
from ernie_m.checkpoints.forms import CARD
from ernie_m.config.export import ExportSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.model import checkpoint
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import Encoder
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import Reader
from ernie_m.report.evidence import Evidence, normal
from ernie_m.tokenizer.vocabulary import Tokenizer

logger = logging.getLogger(__name__)


def _encoder(weights: dict[str, Tensor], shape: Architecture, path: Path) -> Encoder:
    encoder, prefix = Encoder(shape), "encoder."
    body = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    checkpoint.fill(encoder, body, path)
    return encoder


def _write(
    folder: Path,
    job: Job[ExportSettings],
    weights: dict[str, Tensor],
    shape: Architecture,
    task: Task | None,
) -> None:
    """Write the folder as the library expects it, except for the card."""
    settings, vocabulary = job.settings, job.input("tokenizer")
    if Tokenizer(vocabulary).sha256 != shape.tokenizer:
        raise UserError(
            f"{job.input('model')} was made with another tokenizer than {vocabulary}.",
            "Give the tokenizer of the same run as the checkpoint.",
        )
    if settings.format == "onnx":
        onnx.write_model(folder, _encoder(weights, shape, job.input("model")), settings.language)
        return
    if task is not None and settings.format == "sentence-transformers":
        raise UserError(
            f"{job.input('model')} is fine-tuned on {task.name}, not an encoder of sentences.",
            "Export a pre-trained checkpoint as sentence-transformers, this one as hf.",
        )
    proto = huggingface.write_tokenizer(folder, vocabulary.read_bytes(), vocabulary, shape)
    if settings.format == "hf":
        huggingface.write_model(folder, weights, shape, settings.language, task)
    else:
        sentences.write_model(folder, weights, shape, settings, proto)


def _verdict(record: str, path: str) -> str:
    """Whether the files and records behind a checkpoint agree, back to the downloads.

    Code and settings are left to `ernie-m audit`: their state today is no part of an export.
    """
    graph = Reader(Path.cwd()).graph([record])
    chain = chain_of(graph, graph.behind(record), path)
    for check in (check_files, check_links, check_sources):
        check(chain)
    return chain.verdict.name


def _subject(
    job: Job[ExportSettings],
    weights: dict[str, Tensor],
    shape: Architecture,
    facts: Mapping[str, str],
    task: Task | None,
) -> tuple[Subject, Evidence]:
    names = ("scores", "baselines", "claims")
    files = [path for name in names for path in job.input_paths.get(name, [])]
    evidence = Evidence.read(job.input_paths.get("records", []), files)
    path = job.input("model")
    maker = evidence.makers.get(normal(path))
    subject = Subject(
        origin=normal(path),
        sha256=file_sha256(path),
        stage=maker.record.stage if maker else "",
        instance=maker.record.instance if maker else "",
        shape=shape,
        parameters=sum(tensor.numel() for tensor in weights.values()),
        task=task,
        settings=job.settings,
        verdict=_verdict(maker.record.path, normal(path)) if maker else "not recorded",
        fresh_head=facts.get("head") == "fresh",
    )
    return subject, evidence


def run(job: Job[ExportSettings]) -> None:
    """Write the folder; raises :class:`UserError` for a checkpoint that the format cannot hold."""
    path = job.input("model")
    weights, shape, facts = checkpoint.read(path)
    task = task_of(facts["task"]) if "task" in facts else None
    final = job.output_paths["model"][0].parent
    with tempfile.TemporaryDirectory(dir=final, prefix=".partial-") as temporary:
        folder = Path(temporary)
        _write(folder, job, weights, shape, task)
        (folder / CARD).write_text(
            card(*_subject(job, weights, shape, facts, task)), encoding="utf-8"
        )
        for name in ("model", "card", "files"):
            for target, partial in zip(
                job.output_paths.get(name, []), job.outputs(name), strict=True
            ):
                os.replace(folder / target.relative_to(final), partial)
    logger.info("%s written from %s", final, path)


if __name__ == "__main__":
    main(run, ExportSettings)
