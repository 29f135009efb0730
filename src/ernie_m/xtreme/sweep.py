"""Retrieval accuracy of every layer of an encoder.

Inputs: ``model`` (as for prediction), ``tokenizer``, ``test`` (one file per language). Output:
``layers``: accuracy in percent of each hidden state, by language.
"""

from __future__ import annotations

import logging

import torch

from ernie_m.catalogue.tasks import ENGLISH, task_of
from ernie_m.config.xtreme import PredictSettings
from ernie_m.job import Job, main
from ernie_m.xtreme.files import SentencePair, by_language, read_lines
from ernie_m.xtreme.vectors.retrieval import embed_layers, layer_index, load
from ernie_m.xtreme.vectors.search import nearest

logger = logging.getLogger(__name__)
DIGITS = 4


def run(job: Job[PredictSettings]) -> None:
    """Score each language's sentences with the vectors of each layer."""
    torch.set_num_threads(1)
    settings = job.settings
    encoder, reader = load(job.input("model"), job.input("tokenizer"), settings)
    layers = range(len(encoder.layers) + 1)
    accuracies = {}
    for language, path in by_language(job.inputs("test")).items():
        pairs = read_lines(path, SentencePair)
        sides = [(ENGLISH, [p.english for p in pairs]), (language, [p.text for p in pairs])]
        ours, theirs = (
            embed_layers(encoder, reader, texts, code, settings, layers) for code, texts in sides
        )
        right = (
            sum(nearest(a, b, settings) == range(len(pairs)))
            for a, b in zip(ours, theirs, strict=True)
        )
        accuracies[language] = [round(100 * float(count) / len(pairs), DIGITS) for count in right]
        logger.info("%s: %s", language, accuracies[language])
    task = task_of(job.instance)
    chosen = layer_index(settings.layer, len(encoder.layers))
    about = {"task": task.name, "standin": task.standin, "layer": chosen}
    job.write_json("layers", {**about, "languages": accuracies})


if __name__ == "__main__":
    main(run, PredictSettings)
