"""Generate pseudo tokens in another language for monolingual sentences.

The generation step of BTMLM: the unmasked sentence, then placeholders with a position and the
target language, all predicted in one pass. Only for the sentences that stage 2 reads, in
independent chunks, so that a failed chunk costs one chunk. The pseudo tokens of a sentence depend
on the sentence, the model and the seed alone: not on chunks, shards, or the rest of the batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ernie_m.config.pretrain import BacktranslateJob
from ernie_m.job import Job, main
from ernie_m.model.checkpoint import load
from ernie_m.model.device import autocast, best_device, device_of
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import IGNORE_INDEX, pack
from ernie_m.objectives.draws import GOLDEN, mixed
from ernie_m.objectives.layout import FIRST_PIECE
from ernie_m.objectives.lengths import SINGLE_SPECIALS, slots
from ernie_m.objectives.objectives import placeholders
from ernie_m.objectives.targets import targets_of
from ernie_m.ragged import Ragged, Sequences
from ernie_m.training.drawn import check_ids, read_drawn
from ernie_m.training.pseudo import Pseudo, write_pseudo

logger = logging.getLogger(__name__)
Array = np.ndarray

# Approximate tokens of a forward pass. For a given row length every pass has the same shape, and a
# sentence has a row of its own, so that its result does not depend on its neighbours, bit for bit.
# On a CPU, more would only add padding rows to the last pass of each length.
PASS_TOKENS = {"cpu": 384, "cuda": 4096}
# Fine steps at common lengths: on interface text they halve the padding of powers of two.
ROW_LENGTHS = (*range(4, 24), *range(24, 64, 4), *range(64, 128, 16), *range(128, 2049, 64))


def choose_targets(keys: Array, source: Array, targets: list[list[int]], seed: int) -> Array:
    """Row of each sentence's target language, int64 ``[n]``: one of the ``targets`` of its language
    (number in ``source``), chosen by its key."""
    counts = np.array([len(options) for options in targets], dtype=np.uint64)
    salt = np.uint64(seed * int(GOLDEN) % 2**64)
    draw = mixed(keys.astype(np.uint64) + salt) % counts[source]
    table = np.zeros((len(targets), int(counts.max())), dtype=np.int64)
    for row, options in enumerate(targets):
        table[row, : len(options)] = options
    return table[source, draw.astype(np.int64)]


@torch.inference_mode()
def generate(
    model: LanguageModel, source: Sequences, language: Array, target: Array, ratio: float
) -> Ragged:
    """Pseudo tokens of each sentence: the argmax over all pieces but special tokens at each of its
    placeholders. ``language`` and ``target`` are language rows, int64 ``[n]``.
    """
    lengths = source.lengths_of(np.arange(len(source)))
    counts = slots(lengths, ratio)
    total = lengths + counts + SINGLE_SPECIALS
    offsets = np.concatenate([[0], np.cumsum(counts)])
    tokens = np.zeros(offsets[-1], dtype=np.int64)
    longer = range(ROW_LENGTHS[-1] + 64, int(total.max(initial=0)) + 64, 64)
    row_lengths = (*ROW_LENGTHS, *longer)
    bucket = np.searchsorted(row_lengths, total)
    done, logged = 0, time.monotonic()
    pass_tokens = PASS_TOKENS[device_of(model).type]
    for number, row_length in enumerate(row_lengths):
        shape = PassShape(
            rows=max(1, pass_tokens // row_length),
            tokens=row_length,
            asked=most_placeholders(row_length, ratio),
        )
        members = np.flatnonzero(bucket == number)
        for start in range(0, len(members), shape.rows):
            index = members[start : start + shape.rows]
            pieces = _fill(model, source, counts, (language, target), index, shape)
            where = np.repeat(offsets[index], counts[index])
            within = np.arange(len(pieces)) - np.repeat(
                np.cumsum(counts[index]) - counts[index], counts[index]
            )
            tokens[where + within] = pieces
            done += len(index)
            if time.monotonic() - logged > 10:
                logger.info("backtranslate %.0f %%", 100 * done / len(source))
                logged = time.monotonic()
    return Ragged(tokens, offsets)


def most_placeholders(row_length: int, ratio: float) -> int:
    """Most placeholders of a row, into which n tokens and round(ratio * n) placeholders fit."""
    return max(1, int(ratio * (row_length - SINGLE_SPECIALS + 0.5) / (1 + ratio) + 0.5))


@dataclass(frozen=True)
class PassShape:
    """Shape of a pass: rows, tokens of a row, and how many of these go through the LM head."""

    rows: int
    tokens: int
    asked: int


def _fill(
    model: LanguageModel,
    source: Sequences,
    counts: Array,
    languages: tuple[Array, Array],
    index: Array,
    shape: PassShape,
) -> Array:
    """The argmax pieces of the sentences ``index``, laid end to end."""
    padded = np.concatenate([index, np.repeat(index[-1:], shape.rows - len(index))])
    documents = placeholders(
        source.take(padded),
        counts[padded],
        (languages[0][padded], languages[1][padded]),
        model.shape.vocabulary - 1,
        model.shape.pair_positions,
    )
    batch = pack(documents, shape.tokens, one_per_row=True)
    asked = batch.labels != IGNORE_INDEX
    # Placeholders first, then arbitrary positions: the LM head's product has a fixed size.
    where = asked.int().argsort(dim=1, descending=True, stable=True)[:, : shape.asked]
    with autocast(device_of(model), "auto"):
        hidden = model.encoder.at(batch, where).flatten(0, 1)
        logits = model.head(hidden, model.encoder.embeddings.word.weight)
    best = logits[:, FIRST_PIECE:-1].argmax(dim=1).cpu().view(where.shape) + FIRST_PIECE
    return best[: len(index)][asked.gather(1, where)[: len(index)]].numpy()


def run(job: Job[BacktranslateJob]) -> None:
    """Generate for the sentences of this chunk, ``instance`` = ``<variant>/<chunk>``."""
    torch.set_num_threads(1)  # chunks run in parallel instead
    model = load(job.input("model")).to(best_device())
    settings, languages = job.settings, model.shape.languages
    names, options = zip(*targets_of(languages, settings).items(), strict=True)
    path = job.input("sentences")
    whole = read_drawn(path, names, model.shape.tokenizer)
    first, last = (len(whole) * (chunk_of(job) + k) // settings.chunks for k in (0, 1))
    text = whole.part(first, last)
    check_ids(path, text, model.shape.vocabulary)
    rows = [[languages.index(name) for name in own] for own in options]
    target = choose_targets(text.keys, text.language, rows, job.seed)
    language = np.array([languages.index(name) for name in names])[text.language]
    ratio = settings.placeholder_ratio
    tokens = generate(model, text.tokens, language, target, ratio)
    of = text.of
    pseudo = Pseudo(text.numbers, text.keys, target, tokens, ratio, names, of.train, of.valid)
    write_pseudo(job.output("pseudo"), pseudo)
    job.write_json(
        "stats",
        {
            "sentences": len(text),
            "sentences_there": of.train + of.valid,
            "source_tokens": len(text.tokens.tokens),
            "pseudo_tokens": len(tokens.tokens),
            "directions": directions(languages, language, target),
        },
    )


def directions(languages: Sequence[str], language: Array, target: Array) -> dict[str, int]:
    """Number of sentences by direction, ``source-target``."""
    pairs, counts = np.unique(np.stack([language, target], axis=1), axis=0, return_counts=True)
    names = [f"{languages[a]}-{languages[b]}" for a, b in pairs]
    return dict(zip(names, counts.tolist(), strict=True))


def chunk_of(job: Job[BacktranslateJob]) -> int:
    """Number of a job's chunk."""
    return int(job.instance.rsplit("/", 1)[-1])


if __name__ == "__main__":
    main(run, BacktranslateJob, own_step=True)
