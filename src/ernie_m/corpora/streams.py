"""Files between the text stages: written and read in blocks, never whole.

A *row* is a paragraph of a document, a pair, or one language of an n-way parallel row. Its
*position* is its number in its corpus, counted through the files of its datasets in their order. It
does not depend on the number of shards; of duplicates, the one with the lowest position is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from ernie_m.arrow import pa, pq
from ernie_m.corpus import Corpus
from ernie_m.errors import UserError

# Rows of a block (two to five megabytes of text), or its characters where rows are long. A block
# ends with the document in which it reaches one of these, or at twice as much: a file that does not
# mark where documents end is a single document.
BLOCK_ROWS, BLOCK_CHARACTERS = 10_000, 4_000_000
# Blocks of a row group; shards are made of whole row groups. Parquet keeps seven kilobytes of
# metadata per group in memory: a gigabyte for CC-100's largest languages, were each block a group.
GROUP_BLOCKS = 4
_READ_ROWS = 1_000

MONO = ("id", "group", "text")
PAIR = ("id", "group", "source", "target")


def columns_of(corpus: Corpus) -> tuple[str, ...]:
    """Column names of the rows of ``rows-de``, ``mono-de`` or ``parallel-en-de``."""
    return PAIR if corpus.kind == "parallel" else MONO


class PartsWriter:
    """Parquet files with the same columns, one per part, written row group by row group."""

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

    def table(self, rows: Sequence[Sequence[str]]) -> pa.Table:
        """A table of ``rows`` with the files' schema."""
        arrays = [pa.array(values, pa.large_string()) for values in zip(*rows, strict=True)]
        return pa.table(arrays, schema=self._schema)

    def write(self, part: str, tables: Sequence[pa.Table]) -> None:
        """Write ``tables`` as one row group; nothing if there are none."""
        if tables:
            table = pa.concat_tables(tables)
            self._writers[part].write_table(table, row_group_size=len(table))


def write_blocks(
    path: Path, rows: Iterable[Sequence[str]], columns: Sequence[str], languages: Sequence[str]
) -> int:
    """Write ``rows`` (values by column, the second of them the document) as Parquet, in row groups
    of ``GROUP_BLOCKS`` blocks; returns the number of rows."""
    count = 0
    with PartsWriter({"": path}, columns, languages) as writer:
        blocks = (writer.table(block) for block in _blocks(rows))
        while group := list(islice(blocks, GROUP_BLOCKS)):
            writer.write("", group)
            count += sum(map(len, group))
    return count


def _blocks(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    block: list[Sequence[str]] = []
    characters = 0
    for row in rows:
        fullness = max(len(block) / BLOCK_ROWS, characters / BLOCK_CHARACTERS)
        if fullness >= 2 or (fullness >= 1 and row[1] != block[-1][1]):
            yield block
            block, characters = [], 0
        block.append(row)
        characters += sum(map(len, row))
    if block:
        yield block


@dataclass(frozen=True)
class Block:
    """Rows held in memory together: values by column name, and the position of the first."""

    position: int
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.columns["id"])


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(
            f"{path} is not a whole Parquet file ({error}).",
            "Delete it and run the stage that makes it again.",
        ) from None


def shard_blocks(paths: Sequence[Path], shard: int, shards: int) -> Iterator[Block]:
    """The blocks of shard ``shard`` of a corpus in order. A shard is a run of row groups, each
    divided into the blocks it was written in."""
    groups, position = [], 0
    for path in paths:
        with _open_parquet(path) as file:
            for index in range(file.num_row_groups):
                groups.append((path, index, position))
                position += file.metadata.row_group(index).num_rows
    first, last = (len(groups) * edge // shards for edge in (shard, shard + 1))
    for path, row_groups in groupby(groups[first:last], key=itemgetter(0)):
        with _open_parquet(path) as file:  # once: reading its metadata takes time
            for _, index, start in row_groups:
                for columns in _group_blocks(file, index):
                    block = Block(start, columns)
                    yield block
                    start += len(block)


def _group_blocks(file: pq.ParquetFile, index: int) -> Iterator[dict[str, list[str]]]:
    names = file.schema_arrow.names
    rows = (
        row
        for batch in file.iter_batches(_READ_ROWS, row_groups=[index])
        for row in zip(*batch.to_pydict().values(), strict=True)
    )
    for block in _blocks(rows):
        yield dict(zip(names, map(list, zip(*block, strict=True)), strict=True))


class ArrowWriter:
    """An uncompressed Arrow file of record batches, for random access through a memory map."""

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
        """Write one batch."""
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file, one at a time."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            yield file.get_batch(index)


def languages_in(path: Path) -> list[str]:
    """Languages of a file written by corpora.kept, in the order of their columns."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        return file.schema.metadata[b"languages"].decode().split(",")
