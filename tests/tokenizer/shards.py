"""Shards of encoded text, written at once."""

from pathlib import Path

from ernie_m.tokenizer.shards import Shard
from ernie_m.tokenizer.writer import ShardWriter


def write_shard(path: Path, shard: Shard) -> None:
    """Write ``shard``; the same content gives the same bytes."""
    with ShardWriter(path, shard.languages, shard.tokenizer) as writer:
        writer.add(shard.keys, shard.sides)
