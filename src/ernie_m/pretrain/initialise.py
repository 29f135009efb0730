"""Make the untrained model.

A stage of its own, so that the starting point is evaluated like any other checkpoint. Input:
``tokenizer``.
"""

import torch

from ernie_m.config.model import InitialiseSettings
from ernie_m.job import Job, main
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import save
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.start import initialise
from ernie_m.tokenizer.vocabulary import Tokenizer


def run(job: Job[InitialiseSettings]) -> None:
    """Build the model of the settings' shape for the tokenizer's vocabulary and save it."""
    tokenizer = Tokenizer(job.input("tokenizer"))
    values = job.settings.model_dump(include=set(Architecture.__dataclass_fields__))
    shape = Architecture(vocabulary=tokenizer.size, tokenizer=tokenizer.sha256, **values)
    torch.manual_seed(job.seed)
    model = LanguageModel(shape)
    initialise(model, job.settings, torch.tensor(tokenizer.log_probabilities()))
    save(job.output("model"), model, shape, {"stage": "initialise"})


if __name__ == "__main__":
    main(run, InitialiseSettings)
