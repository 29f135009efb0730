"""Draw the sentences that stage 2 reads with pseudo tokens, of all monolingual text.

They follow from stage 2's seed and settings and from the lengths of the sentences, so they are
known before there is a model. What is generated for them does not depend on how text is divided
into shards, nor generation into chunks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ernie_m.config.pretrain import DrawJob
from ernie_m.job import Job, main
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.objectives.targets import targets_of
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import read_shard
from ernie_m.training import corpora
from ernie_m.training.drawn import DrawnWriter, Numbered
from ernie_m.training.order import BLOCK, DataOrder, budget_of, class_of, evenly_spaced
from ernie_m.training.pseudo import PseudoTokens

logger = logging.getLogger(__name__)
Array = np.ndarray


def sentences_read(
    train: corpora.Sentences,
    valid: corpora.Sentences,
    names: Sequence[str],
    settings: DrawJob,
    seed: int,
) -> Array:
    """Numbers of the sentences that stage 2 reads, sorted, int64: those of ``train`` that its steps
    draw, and those of ``valid``, numbered on, for its validation losses."""
    stage2 = settings.btmlm
    texts = corpora.btmlm_texts(
        train, PseudoTokens(train.tokens, settings.placeholder_ratio), names, names
    )
    budget = budget_of("btmlm", stage2.objectives.model_dump(), stage2.batch_tokens)
    order = DataOrder("btmlm", texts, budget, stage2.alpha, seed, stage=2)
    return np.concatenate(
        [
            order.read_by(stage2.steps),
            len(train.tokens) + evenly_spaced(valid.sizes, stage2.evaluate_sentences),
        ]
    )


def tokenizer_of(paths: Sequence[Path]) -> str:
    """SHA-256 of the tokenizer of some shards, of the first of them; none of none."""
    return read_shard(paths[0]).tokenizer if paths else ""


def run(job: Job[DrawJob]) -> None:
    """Write sentences.safetensors; ``instance`` is the variant."""
    settings = job.settings
    names = tuple(targets_of(settings.languages, settings))
    tokenizer = tokenizer_of(job.inputs("train"))
    # Truncated as in stage 2, where the pseudo tokens share the row.
    most = max_text_tokens("btmlm", settings.btmlm.row_length, settings.placeholder_ratio)
    train, valid = (
        corpora.monolingual(corpora.read_shards(job.inputs(part), 1, tokenizer), names, most)
        for part in ("train", "valid")
    )
    numbers = sentences_read(train, valid, names, settings, job.seed)
    text = train.followed_by(valid)
    logger.info("%d of %d sentences are drawn", len(numbers), len(text.tokens))
    of = Numbered(names, len(train.tokens), len(valid.tokens), tokenizer)
    kind = text.tokens.parts[0].tokens.dtype
    with DrawnWriter(job.output("sentences"), of) as writer:
        for first in range(0, max(1, len(numbers)), BLOCK):
            block = numbers[first : first + BLOCK]
            language = class_of(text.sizes, block) % len(names)
            own = text.tokens.take(block)
            tokens = Ragged(own.tokens.astype(kind), own.offsets)
            writer.add(block, text.keys_of(block), language, tokens)


if __name__ == "__main__":
    main(run, DrawJob)
