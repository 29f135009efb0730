"""Train the SentencePiece model on a sample that gives small languages more than their share.

Text in shards (input ``shards``) is read as a stream, and only the sample is kept. Where the model
starts from a checkpoint of others (input ``source``), its vocabulary is taken instead, because its
weights speak no other.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import sentencepiece

from ernie_m.checkpoints import pieces
from ernie_m.config.tokenizer import TrainSettings
from ernie_m.corpora.languages import units
from ernie_m.corpora.tables import read_table, table_languages
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.tokenizer.sample import draw, place, row_counts
from ernie_m.tokenizer.vocabulary import UNK, Tokenizer

logger = logging.getLogger(__name__)

# Lines per language for the statistics.
MEASURED_LINES = 5_000
# SentencePiece counts characters in 32 bits unless it is told that there are more.
_INT32 = 2**31 - 1


def read_lines(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Distinct lines of each language, sorted; languages sorted."""
    lines: dict[str, set[str]] = {}
    for path in paths:
        languages = table_languages(path)
        columns = ["text"] if len(languages) == 1 else ["source", "target"]
        for language, texts in zip(languages, read_table(path, columns), strict=True):
            lines.setdefault(language, set()).update(texts)
    return {language: sorted(lines[language]) for language in sorted(lines)}


def quotas(sizes: Mapping[str, int], alpha: float, total: int) -> dict[str, int]:
    """Lines of each language, in proportion to ``n ** alpha`` and ``total`` together; rounding
    leftovers go to the largest remainders."""
    weights = {language: size**alpha for language, size in sizes.items()}
    scale = total / sum(weights.values())
    exact = {language: weight * scale for language, weight in weights.items()}
    rounded = {language: int(value) for language, value in exact.items()}
    by_remainder = sorted(
        exact, key=lambda language: (rounded[language] - exact[language], language)
    )
    for language in by_remainder[: total - sum(rounded.values())]:
        rounded[language] += 1
    return rounded


def sample(lines: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """``count`` lines in the order of their hashes, from the start again when there are fewer."""
    shuffled = sorted(lines, key=lambda line: (place(seed, line), line))
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


def _take(job: Job[TrainSettings]) -> None:
    """A ready model, such as XLM-R's, stays as it is; no setting of the training is used."""
    tokenizer = Tokenizer(job.input("ready"))
    job.output("model").write_bytes(tokenizer.path.read_bytes())
    job.write_json("stats", {"size": tokenizer.size, "languages": {}})
    logger.info("%d ids of a ready model", tokenizer.size)


def run(job: Job[TrainSettings]) -> None:
    """Write spm.model and stats.json, of a ready model where one is given."""
    if job.input_paths.get("ready"):
        _take(job)
    else:
        _make(job)


def _adopt(job: Job[TrainSettings], source: Path) -> dict[str, list[str]]:
    """Write the vocabulary of a checkpoint; returns the lines of each language."""
    lines = read_lines([*job.inputs("text"), *job.input_paths.get("shards", [])])
    # All lines count: a piece that no line uses is a row that nothing would train.
    used = list(chain.from_iterable(lines.values())) if job.settings.trim else None
    path = job.output("model")
    path.write_bytes(pieces.adopted(source.parent, used, job.settings.num_threads))
    return lines


def _draw(
    job: Job[TrainSettings],
) -> tuple[dict[str, list[str]], dict[str, int], dict[str, int]]:
    """Lines of each language, how many there are in all, and how many are to be drawn."""
    shards = job.input_paths.get("shards")
    lines = {} if shards else read_lines(job.inputs("text"))
    sizes = row_counts(shards) if shards else {code: len(own) for code, own in lines.items()}
    total = min(job.settings.sample_lines, sum(sizes.values()))
    drawn = quotas(sizes, job.settings.alpha, total)
    logger.info("training on %d lines: %s", total, drawn)
    return draw(shards, drawn, job.seed) if shards else lines, sizes, drawn


def _make(job: Job[TrainSettings]) -> None:
    path = job.output("model")
    if source := job.input_paths.get("source"):
        lines = _adopt(job, source[0])
        sizes = drawn = {code: len(own) for code, own in lines.items()}
    else:
        lines, sizes, drawn = _draw(job)
        text = [line for code, own in lines.items() for line in sample(own, drawn[code], job.seed)]
        path.write_bytes(_train(text, job.settings))
    tokenizer = Tokenizer(path)
    languages = {}
    for code, own in lines.items():
        measured = list(sample(own, min(MEASURED_LINES, len(own)), job.seed))
        counts = {"lines": sizes[code], "lines_sampled": drawn[code]}
        languages[code] = counts | _statistics(tokenizer, measured, code)
    job.write_json("stats", {"size": tokenizer.size, "languages": languages})


if __name__ == "__main__":
    main(run, TrainSettings)
