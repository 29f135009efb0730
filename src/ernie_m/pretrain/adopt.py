"""Fill the model that was made with the weights of a checkpoint from elsewhere.

A stage of its own: reading the formats of others changes often, and must not make anew what starts
from nothing. Inputs: ``model``, as made; ``tokenizer``; ``source``, the checkpoint's files.
"""

from ernie_m.config.base import Section
from ernie_m.foreign.adopt import adopt
from ernie_m.job import Job, main
from ernie_m.model.checkpoint import load, save
from ernie_m.tokenizer.vocabulary import Tokenizer


def run(job: Job[Section]) -> None:
    """Save ``model`` with the weights of ``source``; raises :class:`UserError` when they do not
    fit. A head that the source lacks stays as it was made."""
    model = load(job.input("model"))
    tokenizer = Tokenizer(job.input("tokenizer"))
    facts = adopt(model, tokenizer, job.inputs("source")[0].parent)
    save(job.output("model"), model, model.shape, {"stage": "adopt", **facts})


if __name__ == "__main__":
    main(run, Section)
