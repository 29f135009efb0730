"""Predict one task's test examples in every language.

Inputs: ``model`` (fine-tuned; for retrieval and mining any), ``tokenizer``, ``test`` (one file per
language), for mining ``dev`` (one file per language, to tune the threshold). Output:
``predictions`` (one file per language).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ernie_m.catalogue.tasks import ENGLISH, Task, task_of
from ernie_m.config.xtreme import FinetuneSettings, PredictSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.model import checkpoint
from ernie_m.model.device import best_device
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.xtreme.files import (
    EXAMPLE,
    Found,
    Line,
    Mined,
    MiningSentence,
    SentencePair,
    by_language,
    read_lines,
    write_lines,
)
from ernie_m.xtreme.model.heads import TaskModel
from ernie_m.xtreme.model.inference import predict_logits
from ernie_m.xtreme.model.kinds import kind_of
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.questions import Choice
from ernie_m.xtreme.vectors.mining import Candidates, Comparison, candidates, mine
from ernie_m.xtreme.vectors.retrieval import embed, load
from ernie_m.xtreme.vectors.search import margins, nearest

logger = logging.getLogger(__name__)
Predictor = Callable[[str], Sequence[Line]]


def _retrieval(job: Job[PredictSettings]) -> Predictor:
    """The nearest foreign sentence of each English one, as in XTREME's Tatoeba."""
    encoder, reader = load(job.input("model"), job.input("tokenizer"), job.settings)
    settings, test = job.settings, by_language(job.inputs("test"))

    def predict(language: str) -> list[Found]:
        examples = read_lines(test[language], SentencePair)
        ours = embed(encoder, reader, [e.english for e in examples], ENGLISH, settings)
        theirs = embed(encoder, reader, [e.text for e in examples], language, settings)
        neighbours = nearest(ours, theirs, settings).tolist()
        return [
            Found(id=e.id, target=examples[i].id) for e, i in zip(examples, neighbours, strict=True)
        ]

    return predict


def _mining(job: Job[PredictSettings]) -> Predictor:
    """Pairs whose ratio margin reaches the threshold tuned on the language's dev file."""
    encoder, reader = load(job.input("model"), job.input("tokenizer"), job.settings)
    settings = job.settings
    test, dev = by_language(job.inputs("test")), by_language(job.inputs("dev"))

    def comparison(language: str) -> Comparison:
        def compare(english: Sequence[str], foreign: Sequence[str]) -> Candidates:
            ours = embed(encoder, reader, english, ENGLISH, settings)
            theirs = embed(encoder, reader, foreign, language, settings)
            return candidates(margins(ours, theirs, settings.neighbours))

        return compare

    def predict(language: str) -> list[Mined]:
        if language not in dev:
            raise UserError(
                f"There is no dev file of `{language}` to tune the threshold on.",
                "Give the stage the dev-*.jsonl files of the task as `dev`.",
            )
        dev_sentences, test_sentences = (
            read_lines(path[language], MiningSentence) for path in (dev, test)
        )
        return mine(dev_sentences, test_sentences, comparison(language))

    return predict


def _trained(job: Job[PredictSettings], task: Task) -> Predictor:
    """Predictions of a fine-tuned model, with the lengths and languages of its fine-tuning."""
    path = job.input("model")
    weights, shape, facts = checkpoint.read(path)
    if facts.get("task") != task.name:
        raise UserError(
            f"{path} is fine-tuned on {facts.get('task', 'no task')}, not on {task.name}.",
            "Give the model of the stage xtreme.finetune of the same task.",
        )
    settings = FinetuneSettings.model_validate_json(facts["finetune"])
    model = TaskModel(shape, task, settings.dropout)
    checkpoint.fill(model.to(best_device()), weights, path)
    reader = Reader(
        Tokenizer(job.input("tokenizer")), shape, settings.max_tokens, settings.language_embedding
    )
    wanted = job.settings
    choice = Choice(wanted.max_answer_tokens, wanted.n_best, wanted.max_context)
    kind = kind_of(task, reader, settings, choice)
    test = by_language(job.inputs("test"))

    def predict(language: str) -> Sequence[Line]:
        examples = read_lines(test[language], EXAMPLE[task.kind])
        features = kind.featurise(examples, language)
        return kind.decode(examples, features, predict_logits(task, model, features)[0])

    return predict


def _predictor(job: Job[PredictSettings], task: Task) -> Predictor:
    if task.kind == "retrieval":
        return _retrieval(job)
    return _mining(job) if task.kind == "mining" else _trained(job, task)


def _languages(paths: Sequence[Path], task: Task) -> list[str]:
    """Languages of the test files, each once."""
    found = by_language(paths)
    if len(found) != len(paths):
        raise UserError(
            f"Two test files of {task.name} are of the same language.",
            "Give one file a language.",
        )
    return list(found)


def run(job: Job[PredictSettings]) -> None:
    """Write the predictions of every language that has an output."""
    torch.set_num_threads(1)
    task = task_of(job.instance)
    outputs = by_language(job.outputs("predictions"))
    if missing := set(outputs) - set(_languages(job.inputs("test"), task)):
        raise UserError(
            f"There is no test file of {task.name} in {', '.join(sorted(missing))}.",
            "Prepare the task's examples for every language that is to be predicted.",
        )
    predict = _predictor(job, task)
    for language, path in outputs.items():
        lines = predict(language)
        write_lines(path, lines)
        logger.info("%s: %d predictions", language, len(lines))


if __name__ == "__main__":
    main(run, PredictSettings)
