"""Train the SentencePiece model on a sample that gives small languages more than their share.

Where the model starts from a checkpoint of others (input ``source``), its vocabulary is taken
instead, because its weights speak no other.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, cycle, islice
from pathlib import Path

import sentencepiece

from ernie_m.checkpoints import pieces
from ernie_m.config.tokenizer import TrainSettings
from ernie_m.corpora.hashing import hash64
from ernie_m.corpora.languages import units
from ernie_m.corpora.tables import read_table, table_languages
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.tokenizer.vocabulary import UNK, Tokenizer

logger = logging.getLogger(__name__)

# Lines per language for the statistics.
MEASURED_LINES = 5_000


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
    shuffled = sorted(lines, key=lambda line: (hash64(seed, "sample", line), line))
    return islice(cycle(shuffled), count)


def _train(lines: Iterator[str], settings: TrainSettings) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="unigram",
            vocab_size=settings.vocabulary_size,
            character_coverage=settings.character_coverage,
            byte_fallback=settings.byte_fallback,
            normalization_rule_name="nmt_nfkc",
            num_threads=settings.num_threads,
            max_sentence_length=1 << 20,
            minloglevel=2,
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
        "tokens_per_line": tokens / len(lines),
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


def _make(job: Job[TrainSettings]) -> None:
    settings = job.settings
    lines = read_lines(job.inputs("text"))
    sizes = {language: len(own) for language, own in lines.items()}
    path = job.output("model")
    if source := job.input_paths.get("source"):
        # All lines count: a piece that no line uses is a row that nothing would train.
        used = list(chain.from_iterable(lines.values())) if settings.trim else None
        drawn = sizes
        path.write_bytes(pieces.adopted(source[0].parent, used, settings.num_threads))
    else:
        total = min(settings.sample_lines, sum(sizes.values()))
        drawn = quotas(sizes, settings.alpha, total)
        logger.info("training on %d lines: %s", total, drawn)
        text = (line for code, own in lines.items() for line in sample(own, drawn[code], job.seed))
        path.write_bytes(_train(text, settings))
    tokenizer = Tokenizer(path)
    languages = {}
    for code, own in lines.items():
        measured = list(sample(own, min(MEASURED_LINES, len(own)), job.seed))
        counts = {"lines": sizes[code], "lines_sampled": drawn[code]}
        languages[code] = counts | _statistics(tokenizer, measured, code)
    job.write_json("stats", {"size": tokenizer.size, "languages": languages})


if __name__ == "__main__":
    main(run, TrainSettings)
