"""Encode one corpus into shards, with a manifest of what they hold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ernie_m.config.tokenizer import EncodeJob
from ernie_m.corpora.tables import read_table, table_languages
from ernie_m.job import Job, main
from ernie_m.objectives.lengths import stored
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.account import Account
from ernie_m.tokenizer.shards import Shard, sentence_keys, write_shard
from ernie_m.tokenizer.vocabulary import Tokenizer

logger = logging.getLogger(__name__)


def encode_table(
    path: Path, tokenizer: Tokenizer, settings: EncodeJob, threads: int, account: Account
) -> Shard:
    """All of one file in memory; sentences that no row has room for are cut."""
    languages = table_languages(path)
    max_tokens = stored(len(languages), (settings.camlm.row_length, settings.btmlm.row_length))
    names = ["id", "text"] if len(languages) == 1 else ["id", "source", "target"]
    ids, *columns = read_table(path, names)
    sides = []
    for language, texts in zip(languages, columns, strict=True):
        encoded = tokenizer.encode_ragged(texts, threads)
        account.add(language, texts, encoded, max_tokens)
        sides.append(encoded.cut(max_tokens))
    return Shard(tuple(languages), tokenizer.sha256, sentence_keys(ids), tuple(sides))


def cut_shard(whole: Shard, start: int, end: int) -> Shard:
    """Sentences ``start`` to ``end`` of a shard."""
    sides = []
    for side in whole.sides:
        offsets = side.offsets[start : end + 1]
        tokens = side.tokens[offsets[0] : offsets[-1]]
        sides.append(Ragged(np.ascontiguousarray(tokens), offsets - offsets[0]))
    return Shard(whole.languages, whole.tokenizer, whole.keys[start:end].copy(), tuple(sides))


def _file_facts(name: str, shard: Shard) -> dict[str, Any]:
    tokens = sum(len(side.tokens) for side in shard.sides)
    return {"file": name, "sentences": len(shard), "tokens": tokens}


def run(job: Job[EncodeJob]) -> None:
    """Write the shards, valid.safetensors and manifest.json; instance ``{corpus}``."""
    settings = job.settings
    tokenizer, account = Tokenizer(job.input("tokenizer")), Account()
    train, valid = (
        encode_table(job.input(part), tokenizer, settings, job.threads, account)
        for part in ("train", "valid")
    )
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "valid": []}
    edges = [len(train) * k // settings.shards for k in range(settings.shards + 1)]
    targets = zip(job.output_paths["shards"], job.outputs("shards"), strict=True)
    for (final, path), start, end in zip(targets, edges[:-1], edges[1:], strict=True):
        shard = cut_shard(train, start, end)
        write_shard(path, shard)
        parts["train"].append(_file_facts(final.name, shard))
    write_shard(job.output("valid"), valid)
    parts["valid"].append(_file_facts(job.output_paths["valid"][0].name, valid))
    manifest = {
        "schema": 1,
        "kind": "mono" if len(train.languages) == 1 else "parallel",
        "languages": list(train.languages),
        "tokenizer": tokenizer.sha256,
        "vocabulary": tokenizer.size,
        "parts": parts,
        "statistics": account.facts(),
    }
    job.write_json("manifest", manifest)
    logger.info("%s: %d + %d sentences", job.instance, len(train), len(valid))


if __name__ == "__main__":
    main(run, EncodeJob)
