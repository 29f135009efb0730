"""Train the SentencePiece model on a sample that over-weights small languages.

The training lines are drawn from the samples of all shards (input ``samples``) by the ``quotas``.
With ``source``, a third-party checkpoint, its vocabulary is taken instead, because its weights are
indexed by it; given ``shards`` of text, it is trimmed to the pieces that occur in them, one block
in memory at a time.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece

from ernie_m.arrow import pa
from ernie_m.catalogue.languages import units
from ernie_m.config.tokenizer import TrainSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.tokenizer import pieces
from ernie_m.tokenizer.bottom_k import (
    BottomKSample,
    draw,
    row_counts,
    sample_key,
    sample_lines,
    shard_lines,
)
from ernie_m.tokenizer.vocabulary import UNK, Tokenizer

logger = logging.getLogger(__name__)

# Lines per language on which the statistics are measured.
MEASURED_LINES = 5_000
# SentencePiece counts characters in 32 bits unless `train_extremely_large_corpus` is set.
_INT32 = 2**31 - 1


def sample(lines: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """``count`` lines shuffled by sample key, repeated from the start when there are fewer."""
    shuffled = sorted(lines, key=lambda line: (sample_key(seed, line), line))
    return islice(cycle(shuffled), count)


def _train(lines: Sequence[str], settings: TrainSettings) -> bytes:
    model = io.BytesIO()
    huge = sum(map(len, lines)) > _INT32
    more: dict[str, Any] = {"train_extremely_large_corpus": True} if huge else {}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=settings.vocabulary_size,
            character_coverage=settings.character_coverage,
            byte_fallback=settings.byte_fallback,
            normalization_rule_name="nmt_nfkc",
            num_threads=settings.num_threads,
            max_sentence_length=1 << 20,
            minloglevel=2,
            **more,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            "SentencePiece cannot make a vocabulary of "
            f"{settings.vocabulary_size:,} pieces from this text: {error}.",
            "Lower `tokenizer.train.vocabulary_size`, or give it more text.",
        ) from None
    return model.getvalue()


def _statistics(tokenizer: Tokenizer, lines: Sequence[str], language: str) -> dict[str, float]:
    encoded = tokenizer.encode(lines)
    tokens = sum(len(ids) for ids in encoded)
    unknown = sum(ids.count(UNK) for ids in encoded)
    return {
        "unknown_share": unknown / max(tokens, 1),
        "tokens_per_unit": tokens / max(sum(units(language, line) for line in lines), 1),
        "tokens_per_line": tokens / max(len(lines), 1),
    }


def _copy_ready_model(job: Job[TrainSettings]) -> None:
    """Copy a ready model, such as XLM-R's; the training settings are not used."""
    tokenizer = Tokenizer(job.input("ready"))
    job.output("model").write_bytes(tokenizer.path.read_bytes())
    job.write_json("stats", {"size": tokenizer.size, "languages": {}})
    logger.info("%d ids of a ready model", tokenizer.size)


def run(job: Job[TrainSettings]) -> None:
    """Write spm.model and stats.json; a ``ready`` model is copied where given."""
    if job.input_paths.get("ready"):
        _copy_ready_model(job)
    else:
        _make_model(job)


class Text(NamedTuple):
    """By language: lines to train or measure on, the number of all lines, and of those drawn."""

    lines: dict[str, list[str]]
    sizes: dict[str, int]
    drawn: dict[str, int]


def _drawn(job: Job[TrainSettings]) -> Text:
    """The training lines, drawn from the samples of all shards."""
    counts = json.loads(job.input("quotas").read_text(encoding="utf-8"))
    quotas = counts["lines_sampled"]
    return Text(
        draw(sample_lines(job.inputs("samples")), quotas, job.seed), counts["lines"], quotas
    )


def _sampled_on_the_way(
    blocks: Iterable[tuple[str, pa.Array]], samples: Mapping[str, BottomKSample]
) -> Iterator[list[str]]:
    """The lines of each block, which also go into the samples."""
    for language, lines in blocks:
        samples[language].add(lines)
        yield lines.to_pylist()


def _adopt(job: Job[TrainSettings], folder: Path) -> Text:
    """Write the vocabulary of a checkpoint; returns lines to measure it on."""
    shards = job.input_paths.get("shards", [])
    sizes = row_counts(shards)
    samples = {code: BottomKSample(MEASURED_LINES, job.seed) for code in sizes}
    # All lines are read: an embedding row for a piece that occurs nowhere would never be trained.
    blocks = _sampled_on_the_way(shard_lines(shards), samples) if shards else None
    model = pieces.vocabulary_of(folder, blocks, job.settings.num_threads)
    job.output("model").write_bytes(model)
    # Without shards there are no lines to measure on.
    return Text({code: sample.lines() for code, sample in samples.items()}, sizes, sizes)


def _make_model(job: Job[TrainSettings]) -> None:
    if source := job.input_paths.get("source"):
        text = _adopt(job, source[0].parent)
    else:
        text = _drawn(job)
        logger.info("training on %d lines: %s", sum(text.drawn.values()), text.drawn)
        drawn = [
            line
            for code, lines in text.lines.items()
            for line in sample(lines, text.drawn[code], job.seed)
        ]
        job.output("model").write_bytes(_train(drawn, job.settings))
    tokenizer = Tokenizer(job.output("model"))
    languages = {}
    for code, lines in text.lines.items():
        measured = list(sample(lines, min(MEASURED_LINES, len(lines)), job.seed))
        counts = {"lines": text.sizes[code], "lines_sampled": text.drawn[code]}
        languages[code] = counts | _statistics(tokenizer, measured, code)
    job.write_json("stats", {"size": tokenizer.size, "languages": languages})


if __name__ == "__main__":
    main(run, TrainSettings)
