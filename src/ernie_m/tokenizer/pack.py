"""Encode one shard of a corpus block by block.

Paragraphs of a document are joined to sequences of up to ``max_tokens`` that begin and end with a
paragraph, as fairseq's ``--sample-break-mode complete`` does in the sibling code; a sequence never
reaches into the next document. A longer paragraph is divided, so that no text is lost. Sides of a
pair stand alone and are cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ernie_m.config.tokenizer import EncodeSettings
from ernie_m.corpora.streams import columns_of, shard_blocks
from ernie_m.job import Job, main
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.account import Account
from ernie_m.tokenizer.shards import sentence_keys
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.tokenizer.writer import ShardWriter

logger = logging.getLogger(__name__)

Ids = list[int]


def join(paragraphs: Sequence[Ids], longest: int) -> Iterator[tuple[int, Ids]]:
    """Sequences of one document: (number of its first paragraph, ids)."""
    first, ids = 0, list[int]()
    for number, paragraph in enumerate(paragraphs):
        if ids and len(ids) + len(paragraph) > longest:
            yield first, ids
            ids = []
        if not ids:
            first = number
        ids = ids + paragraph
        while len(ids) > longest:
            yield first, ids[:longest]
            ids = ids[longest:]
    if ids:
        yield first, ids


def _documents(
    content: dict[str, list[str]], encoded: Sequence[Ids], longest: int
) -> tuple[list[str], list[Ids]]:
    """Names (the first paragraph's id, and for further pieces of it their number) and sequences."""
    names: list[str] = []
    sequences: list[Ids] = []
    for _, rows in groupby(range(len(encoded)), key=lambda row: content["group"][row]):
        numbers = list(rows)
        last, piece = -1, 0
        for first, ids in join([encoded[row] for row in numbers], longest):
            piece = piece + 1 if first == last else 0
            last = first
            names.append(content["id"][numbers[first]] + (f"#{piece}" if piece else ""))
            sequences.append(ids)
    return names, sequences


def _pack(
    job: Job[EncodeSettings], rows: Path, target: Path, tokenizer: Tokenizer, account: Account
) -> dict[str, int]:
    """Encode one Parquet file; returns what the shard holds."""
    corpus = job.instance.rsplit("/", 1)[0]
    languages, longest = corpus.split("-")[1:], job.settings.max_tokens
    with ShardWriter(target, languages, tokenizer.sha256) as writer:
        # An empty file has its arrays too.
        writer.add(sentence_keys([]), [Ragged.of([], tokenizer.size) for _ in languages])
        for block in shard_blocks([rows], 0, 1):
            content = block.read()
            columns = [content[name] for name in columns_of(corpus)[2:]]
            sides = []
            for language, texts in zip(languages, columns, strict=True):
                encoded = tokenizer.encode(texts, job.threads)
                account.add(language, texts, encoded, sum(len(ids) > longest for ids in encoded))
                sides.append(encoded)
            names = content["id"]
            if len(languages) == 1:
                names, sequences = _documents(content, sides[0], longest)
                sides = [sequences]
            cut = [[ids[:longest] for ids in side] for side in sides]
            writer.add(sentence_keys(names), [Ragged.of(side, tokenizer.size) for side in cut])
        return {"sentences": writer.sentences, "tokens": writer.tokens}


def run(job: Job[EncodeSettings]) -> None:
    """Write train.safetensors, valid.safetensors and manifest.json; instance
    ``{corpus}/{shard}``."""
    tokenizer, account = Tokenizer(job.input("tokenizer")), Account()
    parts = {
        part: [
            {"file": job.output_paths[part][0].name}
            | _pack(job, job.input(part), job.output(part), tokenizer, account)
        ]
        for part in ("train", "valid")
    }
    corpus = job.instance.rsplit("/", 1)[0]
    manifest = {
        "schema": 1,
        "kind": corpus.split("-")[0],
        "languages": corpus.split("-")[1:],
        "tokenizer": tokenizer.sha256,
        "vocabulary": tokenizer.size,
        "parts": parts,
        "statistics": account.facts(),
    }
    job.write_json("manifest", manifest)
    logger.info("%s: %s", job.instance, parts["train"])


if __name__ == "__main__":
    main(run, EncodeSettings)
