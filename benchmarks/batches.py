"""What a batch of a million tokens costs each of 1, 8 and 64 processes, in CPU time of one thread.

The text is random: 15 languages or pairs of 20 shards each. Beside it stands a process that makes
the whole batch and chooses tokens by a sort with two keys, which is the plain way to write it.
Writes its section of docs/benchmarks.md and ends with one line of JSON.

    make bench-engine
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks.document import machine, publish, table
from ernie_m.arguments import argument_parser
from ernie_m.objectives import OBJECTIVES, objectives
from ernie_m.objectives.layout import FIRST_PIECE
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.objectives.masking import select
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Chained, Ragged
from ernie_m.training.batches import DataLoader
from ernie_m.training.order import Texts

TOKENS, VOCABULARY, MASKED = 2**20, 250_002, 0.15
CLASSES, SHARDS, SENTENCES = 15, 20, 1000
PROCESSES = (1, 8, 64)
Array = np.ndarray


def two_key_sort(random: Array, sizes: Array, wanted: Array) -> Array:
    """What ``select`` does, by a sort with the sentence and the random bits as keys."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((random, owner))
    rank = np.arange(len(random)) - (np.cumsum(sizes) - sizes)[owner]
    return order[rank < wanted[owner]]


def sequences(longest: int, seed: int) -> Chained:
    """Texts of a quarter of ``longest`` tokens to all of them; all shards have the same ones."""
    random = np.random.default_rng(seed)
    lengths = random.integers(longest // 4, longest + 1, SENTENCES)
    ids = random.integers(FIRST_PIECE, VOCABULARY - 1, lengths.sum()).astype(np.uint32)
    shard = Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))
    return Chained((shard,) * (CLASSES * SHARDS), longest)


def dataloader(objective: str, row_length: int) -> DataLoader:
    """Batches of one objective."""
    ratio = dict.fromkeys(OBJECTIVES, MASKED)
    masking = Masking(VOCABULARY - 1, ratio, 0.1, 0.1, "reset")
    longest = max_text_tokens(objective, row_length, MASKED)
    pairs = objective != "mmlm"
    text = Texts(
        source=sequences(longest, 1),
        target=sequences(longest, 2) if pairs else None,
        languages=np.stack([np.zeros(CLASSES, int), np.arange(CLASSES)], axis=1),
        sizes=np.full(CLASSES, SHARDS * SENTENCES),
        names=tuple(map(str, range(CLASSES))),
        slot_ratio=MASKED if objective == "camlm" else 0.0,
    )
    return DataLoader({objective: text}, {objective: 1.0}, TOKENS, row_length, 0.7, masking, seed=1)


def milliseconds(make: Callable[[int], object], times: int) -> float:
    """Median CPU time of ``make(0)``, ``make(1)``, ... after a first one."""
    make(0)
    found = []
    for number in range(times):
        started = time.process_time()
        make(number)
        found.append(time.process_time() - started)
    return 1000 * statistics.median(found)


def measure(objective: str, row_length: int, times: int) -> dict[str, float]:
    """Milliseconds of a batch: the plain way, and for one of so many processes."""
    loader = dataloader(objective, row_length)
    with mock.patch.object(objectives, "select", two_key_sort):
        found = {"plain": milliseconds(loader.batch, times)}
    for size in PROCESSES:

        def make(number: int, size: int = size) -> object:
            return loader.batch(number, number * 7 % size, size)

        found[str(size)] = milliseconds(make, times if size == 1 else 4 * times)
    return found


def selections(times: int) -> dict[str, float]:
    """Milliseconds of the choice alone, of 15 % of a million tokens in sentences of 100."""
    random = np.random.default_rng(1).integers(0, 2**64, TOKENS // 100 * 100, dtype=np.uint64)
    sizes = np.full(len(random) // 100, 100)
    ways = {"plain": two_key_sort, "select": select}
    return {
        name: milliseconds(lambda _, way=way: way(random, sizes, sizes * 15 // 100), times)
        for name, way in ways.items()
    }


def report(figures: dict[str, dict[str, float]], choice: dict[str, float]) -> str:
    """The section of the document."""
    rows = []
    for name, found in figures.items():
        costs = [found[key] for key in ("plain", *map(str, PROCESSES))]
        rates = [f"{TOKENS / cost / 1000:,.1f} ({cost:.1f} ms)" for cost in costs]
        shares = [f"{found['64'] / found[key]:.1%}" for key in ("plain", "1")]
        rows.append([name, *rates, *shares])
    header = ["", "plain", "1 process", "one of 8", "one of 64", "of plain", "of 1 process"]
    return (
        f"By `python -m benchmarks.batches` on {machine()}, numpy {np.__version__}, one thread: "
        f"millions of tokens of a batch of {TOKENS:,} per second of the CPU time that one process "
        "spends on it (draws all sentences, makes its own rows), and that time; random text in "
        f"{CLASSES * SHARDS} shards. *Plain* makes the whole batch, as every process used to, and "
        "chooses tokens by a sort with two keys; the last columns are what one of 64 processes "
        "pays of it, and of what a single process does now. The choice alone takes "
        f"{choice['select']:.0f} ms by `select`, {choice['plain']:.0f} ms by the two-key sort: "
        f"**{choice['plain'] / choice['select']:.1f} times as fast**.\n\n" + table(header, rows)
    )


def main() -> None:
    """Measure, write the section, print a line of JSON."""
    parser = argument_parser("python -m benchmarks.batches", __doc__)
    parser.add_argument("--times", type=int, default=7, help="batches of each measurement")
    parser.add_argument("--dry", action="store_true", help="leave docs/benchmarks.md as it is")
    args = parser.parse_args()
    figures = {
        f"{objective.upper()}, rows of {row}": measure(objective, row, args.times)
        for objective in ("mmlm", "camlm")
        for row in (128, 512)
    }
    choice = selections(args.times)
    publish("batches", report(figures, choice), {"select": choice} | figures, document=not args.dry)


if __name__ == "__main__":
    main()
