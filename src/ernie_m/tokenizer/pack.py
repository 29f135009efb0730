"""Encode one shard of a corpus block by block.

Paragraphs of a document are concatenated to sequences that fit a row and consist of whole
paragraphs, as with fairseq's ``--sample-break-mode complete`` in InfoXLM's code; a sequence never
crosses a document boundary. A longer paragraph is split, so no text is lost. The sides of a pair,
and rows that are not documents, are encoded one by one and truncated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ernie_m.config.tokenizer import PackSettings
from ernie_m.corpora.streams import columns_of, shard_blocks
from ernie_m.corpus import Corpus
from ernie_m.job import Job, main
from ernie_m.objectives.lengths import max_stored_tokens
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import sentence_keys
from ernie_m.tokenizer.stats import EncodingStats
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.tokenizer.writer import ShardWriter

logger = logging.getLogger(__name__)


def join(paragraphs: Iterable[int], longest: int) -> Iterator[tuple[int, int]]:
    """Sequences made of a document with ``paragraphs`` of these lengths in tokens: (number of the
    first paragraph, length)."""
    first = held = 0
    for number, length in enumerate(paragraphs):
        if held and held + length > longest:
            yield first, held
            held = 0
        if not held:
            first = number
        held += length
        while held > longest:
            yield first, longest
            held -= longest
    if held:
        yield first, held


def _documents(
    content: dict[str, list[str]], encoded: Ragged, longest: int
) -> tuple[list[str], Ragged]:
    """Names and sequences; a name is the first paragraph's id, numbered where that is split."""
    names: list[str] = []
    lengths = encoded.lengths.tolist()
    ends = [0]
    for _, rows in groupby(range(len(encoded)), key=content["group"].__getitem__):
        numbers = list(rows)
        last, piece = -1, 0
        for first, tokens in join((lengths[row] for row in numbers), longest):
            piece = piece + 1 if first == last else 0
            last = first
            names.append(content["id"][numbers[first]] + (f"#{piece}" if piece else ""))
            ends.append(ends[-1] + tokens)
    # The tokens are laid end to end already; only the offsets change.
    return names, Ragged(encoded.tokens, np.array(ends, dtype=np.int64))


def _corpus(job: Job[PackSettings]) -> Corpus:
    return Corpus.parse(job.instance.partition("/")[0])


def _encode_file(
    job: Job[PackSettings], rows: Path, target: Path, tokenizer: Tokenizer, stats: EncodingStats
) -> dict[str, int]:
    """Encode one Parquet file; returns the shard's numbers of sentences and tokens."""
    corpus, settings = _corpus(job), job.settings
    languages = corpus.languages
    longest = max_stored_tokens(
        len(languages), (settings.camlm.row_length, settings.btmlm.row_length)
    )
    with ShardWriter(target, languages, tokenizer.sha256) as writer:
        # So that an empty file has its arrays too.
        writer.add(sentence_keys([]), [Ragged.of([], tokenizer.size) for _ in languages])
        for block in shard_blocks([rows], 0, 1):
            content = block.columns
            columns = [content[name] for name in columns_of(corpus)[2:]]
            sides = [tokenizer.encode_ragged(texts, job.threads) for texts in columns]
            for language, texts, encoded in zip(languages, columns, sides, strict=True):
                stats.add(language, texts, encoded, None if settings.join else longest)
            if settings.join:
                names, sequences = _documents(content, sides[0], longest)
                writer.add(sentence_keys(names), [sequences])
            else:
                writer.add(sentence_keys(content["id"]), [side.cut(longest) for side in sides])
        return {"sentences": writer.sentences, "tokens": writer.tokens}


def run(job: Job[PackSettings]) -> None:
    """Write train.safetensors, valid.safetensors and manifest.json; instance
    ``{corpus}/{shard}``."""
    tokenizer, stats = Tokenizer(job.input("tokenizer")), EncodingStats()
    parts = {
        part: [
            {"file": job.output_paths[part][0].name}
            | _encode_file(job, job.input(part), job.output(part), tokenizer, stats)
        ]
        for part in ("train", "valid")
    }
    corpus = _corpus(job)
    manifest = {
        "schema": 1,
        "kind": corpus.kind,
        "languages": corpus.languages,
        "tokenizer": tokenizer.sha256,
        "vocabulary": tokenizer.size,
        "parts": parts,
        "statistics": stats.facts(),
    }
    job.write_json("manifest", manifest)
    logger.info("%s: %s", job.instance, parts["train"])


if __name__ == "__main__":
    main(run, PackSettings)
