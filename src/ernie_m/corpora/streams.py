"""Files of the stages that work in shards: written and read in blocks, never whole.

A *row* is a paragraph of a document or a pair. Its *position* is its number in its corpus: in the
file of its dataset, and before that all rows of the datasets that come before. It does not depend
on the number of shards, and everything that has to choose between rows goes by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ernie_m.errors import UserError

# Rows of a block at least; a block ends where a document ends. Two to five megabytes of text.
BLOCK_ROWS = 10_000

MONO = ("id", "group", "text")
PAIR = ("id", "group", "source", "target")


def columns_of(corpus: str) -> tuple[str, ...]:
    """Column names of the rows of ``mono-de`` or ``parallel-en-de``."""
    return MONO if corpus.startswith("mono-") else PAIR


class PartsWriter:
    """Parquet files of equal columns, written block by block, a row group each."""

    def __init__(
        self, targets: Mapping[str, Path], columns: Sequence[str], languages: Sequence[str]
    ) -> None:
        fields = [pa.field(name, pa.large_string(), nullable=False) for name in columns]
        self._schema = pa.schema(fields, metadata={"languages": ",".join(languages)})
        self._writers = {
            part: pq.ParquetWriter(path, self._schema, compression="zstd")
            for part, path in targets.items()
        }

    def __enter__(self) -> PartsWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        for writer in self._writers.values():
            writer.close()

    def write(self, part: str, rows: Sequence[Sequence[str]]) -> None:
        """One block of rows, values by column; none leave no row group."""
        if rows:
            arrays = [pa.array(values, pa.large_string()) for values in zip(*rows, strict=True)]
            table = pa.table(arrays, schema=self._schema)
            self._writers[part].write_table(table, row_group_size=len(rows))


def write_blocks(
    path: Path, rows: Iterable[Sequence[str]], columns: Sequence[str], languages: Sequence[str]
) -> int:
    """Write ``rows`` (values by column, the second of them the document) as Parquet, one row group
    a block; returns their number."""
    count = 0
    with PartsWriter({"": path}, columns, languages) as writer:
        for block in _blocks(rows):
            writer.write("", block)
            count += len(block)
    return count


def _blocks(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    block: list[Sequence[str]] = []
    for row in rows:
        if len(block) >= BLOCK_ROWS and row[1] != block[-1][1]:
            yield block
            block = []
        block.append(row)
    if block:
        yield block


@dataclass(frozen=True)
class Block:
    """One row group of one dataset's rows: where it is, and the position of its first row."""

    path: Path
    index: int
    position: int

    def read(self) -> dict[str, list[str]]:
        """Values by column name."""
        with _opened(self.path) as file:
            return file.read_row_group(self.index).to_pydict()


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a whole Parquet file ({error}).",
            "Delete it and run the stage that makes it again.",
        ) from None


def shard_blocks(paths: Sequence[Path], shard: int, shards: int) -> list[Block]:
    """The blocks of one of ``shards`` equal parts of a corpus, in order."""
    blocks, position = [], 0
    for path in paths:
        with _opened(path) as file:
            for index in range(file.num_row_groups):
                blocks.append(Block(path, index, position))
                position += file.metadata.row_group(index).num_rows
    first, last = (len(blocks) * edge // shards for edge in (shard, shard + 1))
    return blocks[first:last]


class ArrowWriter:
    """An Arrow file of record batches, uncompressed: it can be read at any place through a map."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def __enter__(self) -> ArrowWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        self._writer.close()
        self._sink.close()

    def write(self, columns: Mapping[str, Any]) -> None:
        """One batch."""
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file, one at a time."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            yield file.get_batch(index)
