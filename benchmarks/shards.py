"""From packed web text to packed shards through the real rules: memory, faults, shards, a kill.

    make bench-shards                               2 GB, some 30 minutes on two cores
    python -m benchmarks.shards --megabytes 40      the same in small

Makes text in the shape of CC-100 in six languages, and pairs, out of the default run's text, with
faults in known numbers (benchmarks/web.py). Snakemake takes a tenth of it, and all of it, to packed
shards, by a vocabulary that it trains on the way: in one shard a language; and in four, killed with
-9 in the middle and started again. Shown are the peak memory of each stage's jobs against the size
of the text, the faults planted and counted, and whether shards and kill changed what was packed.
Writes its section of docs/benchmarks.md; the last line is JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import web
from benchmarks.document import machine, publish, table
from benchmarks.runs import finish, finished, prepare, registry_row, start
from ernie_m.arguments import argument_parser
from ernie_m.tokenizer.shards import read_shard

logger = logging.getLogger("bench-shards")
LANGUAGES = ("en", "de", "ru", "bg", "el", "zh")
PAIR = "en-de"
STAGES = (
    *("corpora_extract", "corpora_filter", "corpora_dedup", "corpora_select"),
    *("tokenizer_sample", "tokenizer_pack"),
)
MEGABYTES = 2000.0
SHARDS = {1: "one shard", 4: "four shards"}


@dataclass
class Web:
    """The files of one size: registry rows, bytes of text, and what should become of it."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    planted: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, corpus: str, path: Path, source: web.Page | web.Pairs, size: int) -> None:
        """Write one corpus."""
        written = web.write(path, source, size)
        languages = corpus.split("-")[1:]
        form = "cc100" if len(languages) == 1 else "bitext"
        # A download is known by its name, and the tenth is not the whole.
        name = f"{self.name}-{corpus}"
        self.rows.append(registry_row(name, path, form, languages, written))
        self.planted[corpus] = source.planted

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(row["text_bytes"] for row in self.rows)


def make_web(folder: Path, name: str, results: Path, size: int) -> Web:
    """Text of about ``size`` bytes, an equal part in each language and half a part of pairs."""
    made, part = Web(name), round(size / (len(LANGUAGES) + 0.5))
    own = folder / name
    own.mkdir()
    for code, page in web.pages(results, LANGUAGES).items():
        made.add(f"mono-{code}", own / f"{code}.txt.xz", page, part)
    pairs = web.pairs(results, *PAIR.split("-"))
    made.add(f"parallel-{PAIR}", own / f"{PAIR}.tsv.xz", pairs, part // 2)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(made.rows))
    return made


class Run:
    """One run of the rules, in a folder that has the repository's."""

    def __init__(self, folder: Path, text: Web, shards: int) -> None:
        self.folder, self.text, self.shards = folder, text, shards
        self.name = f"{text.name}_{shards}"
        self.results, self.log = folder / "results" / self.name, folder / f"{self.name}.log"
        config = {
            "run": self.name,
            "corpora": {
                "registry": f"{text.name}.yaml",
                "datasets": [row["id"] for row in text.rows],
                "languages": list(LANGUAGES),
                "pairs": [PAIR],
                "filter": {
                    "min_chars": 10,
                    "min_script_share": 0.5,
                    "language_identifier": "fasttext",
                    "shard_bytes": -(-max(row["text_bytes"] for row in text.rows) // shards),
                },
            },
            "tokenizer": {"train": {"sample_lines": 20_000}},
            "pretrain": {stage: {"row_length": 512} for stage in ("camlm", "btmlm")},
            "tracking": {"uri": ""},
            "xtreme": {"tasks": []},
        }
        (folder / "config" / f"{self.name}.yaml").write_text(yaml.safe_dump(config))

    def _start(self) -> subprocess.Popen:
        words = ["snakemake", "--cores", str(os.cpu_count()), "tokenizer"]
        return start(self.folder, self.log, *words, "--configfile", f"config/{self.name}.yaml")

    def kill(self) -> int:
        """Start, and kill the whole group with -9 once half of the shards are filtered; returns how
        many jobs had ended."""
        process = self._start()
        half = self.shards * len(self.text.planted) // 2
        while len(list(self.results.glob("corpora_filter/*/*/record.json"))) < half:
            if process.poll() is not None:
                raise SystemExit("the run ended before it could be killed")
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return len(self.records())

    def measure(self) -> dict[str, Any]:
        """Run to the end, after a kill where there are several shards; returns what was seen."""
        killed = self.kill() if self.shards > 1 else None
        started = time.monotonic()
        finish(self._start(), self.log)
        logger.info("%s: %.0f s", self.name, time.monotonic() - started)
        return {
            "bytes": self.text.size,
            "shards": self.shards,
            "costs": self.costs(),
            "faults": self.faults(),
            "jobs": len(self.records()),
            "jobs_before_kill": killed,
            "digests": self.digests(),
        }

    def records(self) -> list[dict[str, Any]]:
        """The records of all jobs."""
        return [json.loads(path.read_text()) for path in self.results.rglob("record.json")]

    def costs(self) -> dict[str, dict[str, float]]:
        """By stage: CPU seconds, peak memory in MiB of a job, bytes written."""
        found = {
            stage: {"cpu_seconds": 0.0, "peak_mib": 0.0, "bytes_written": 0} for stage in STAGES
        }
        for record in self.records():
            if own := found.get(record["stage"]):
                own["cpu_seconds"] += record["run"]["cpu_seconds"]
                own["peak_mib"] = max(own["peak_mib"], record["run"]["memory_mb"] * 1e6 / 2**20)
                files = [file for files in record["facts"]["outputs"].values() for file in files]
                own["bytes_written"] += sum(file["bytes"] for file in files)
        return found

    def faults(self) -> dict[str, dict[str, list[int]]]:
        """Planted and counted, by corpus and reason; ``kept`` is what is left."""
        found = {}
        for corpus, planted in self.text.planted.items():
            counted: Counter[str] = Counter()
            for stage in ("corpora_filter", "corpora_select"):
                for path in self.results.glob(f"{stage}/{corpus}/*/stats.json"):
                    stats = json.loads(path.read_text())
                    counted.update(stats["dropped"])
                    counted["kept"] += sum(stats.get("rows", {}).values())
            reasons = sorted(planted | counted)
            found[corpus] = {reason: [planted[reason], counted[reason]] for reason in reasons}
        return found

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array that is packed of a corpus for a part, its shards in order."""
        sums: dict[str, Any] = {}
        paths = self.results.glob("tokenizer_pack/*/*/*.safetensors")
        for path in sorted(paths, key=lambda path: int(path.parent.name)):
            shard = read_shard(path)
            sides = (array for side in shard.sides for array in (side.lengths, side.tokens))
            for number, array in enumerate((shard.keys, *sides)):
                name = f"{path.parts[-3]}/{path.stem}/{number}"
                own = sums.setdefault(name, hashlib.sha256())
                own.update(np.ascontiguousarray(array).data)
        return {name: own.hexdigest() for name, own in sorted(sums.items())}


def measure(folder: Path, results: Path, size: int) -> list[dict[str, Any]]:
    """All runs: both sizes, each in one shard and in four."""
    prepare(folder)
    texts = [make_web(folder, "tenth", results, size // 10)]
    texts += [make_web(folder, "whole", results, size)]
    return [Run(folder, text, shards).measure() for text in texts for shards in SHARDS]


def section(found: list[dict[str, Any]], command: str) -> str:
    """The section of docs/benchmarks.md."""
    large = found[-1]
    rows = [
        [
            stage.replace("_", ".", 1),
            f"{large['bytes'] / large['costs'][stage]['cpu_seconds'] / 1e6:.1f}",
            f"{large['costs'][stage]['bytes_written'] / large['bytes']:.2g}",
            *(f"{run['costs'][stage]['peak_mib']:,.0f}" for run in found),
        ]
        for stage in STAGES
    ]
    sizes = [f"{_size(run)}, {SHARDS[run['shards']]}" for run in found]
    header = ["stage", "MB of text per CPU second", "bytes written a byte", *sizes]
    peak = max(cost["peak_mib"] for run in found for cost in run["costs"].values())
    return "\n\n".join(
        [
            f"By `{command}` on {machine()}: {_size(large)} of text in the shape of "
            f"CC-100, in {len(LANGUAGES)} languages and a corpus of pairs, from `.txt.xz` to "
            "packed shards by Snakemake. The right-hand columns are the peak memory in MiB of the "
            "largest job of a stage.",
            table(header, rows),
            f"The largest peak is {peak:,.0f} MiB. {' '.join(_same(found))}",
            f"Faults in the {_size(large)}, in all corpora together; planted and counted are "
            f"{'equal' if exact(found) else 'NOT equal'} in each corpus of each run:",
            _faults(large["faults"].values()),
        ]
    )


def exact(found: Iterable[dict[str, Any]]) -> bool:
    """Whether everything planted was counted, and nothing else."""
    return all(
        planted == counted
        for run in found
        for corpus in run["faults"].values()
        for planted, counted in corpus.values()
    )


def _size(run: dict[str, Any]) -> str:
    return f"{run['bytes'] / 1e6:,.0f} MB"


def _same(found: list[dict[str, Any]]) -> Iterable[str]:
    for one, four in zip(found[::2], found[1::2], strict=True):
        same = "the same as" if one["digests"] == four["digests"] else "NOT the same as"
        yield (
            f"The run of {_size(four)} in four shards was killed with -9 after "
            f"{four['jobs_before_kill']} of {four['jobs']} jobs, and started again; what it packed "
            f"is {same} in one shard without, by SHA-256 of keys, lengths and tokens."
        )


def _faults(corpora: Iterable[dict[str, list[int]]]) -> str:
    totals: dict[str, list[int]] = {}
    for corpus in corpora:
        for reason, counts in corpus.items():
            totals[reason] = [
                sum(pair) for pair in zip(totals.get(reason, [0, 0]), counts, strict=True)
            ]
    lines = [[reason, *(f"{count:,}" for count in totals[reason])] for reason in sorted(totals)]
    return table(["reason", "planted", "counted"], lines)


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.shards", __doc__)
    parser.add_argument(
        "--megabytes", type=float, default=MEGABYTES, help="size of the text (2000)"
    )
    parser.add_argument("--results", type=Path, default=Path("results/default"), help="a run")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    results = finished(given.results)
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-shards-", dir=given.folder) as name:
        found = measure(Path(name), results, round(given.megabytes * 1e6))
    asked = f"python -m benchmarks.shards --megabytes {given.megabytes:g}"
    command = "make bench-shards" if given.megabytes == MEGABYTES else asked
    publish("shards", section(found, command), found, document=not given.no_section)


if __name__ == "__main__":
    main()
