"""From packed web text to packed shards through the real rules: memory, faults, shards, a kill.

    make bench-shards                               2 GB, some 30 minutes on two cores
    python -m benchmarks.shards --megabytes 40      the same in small

Makes text in the shape of CC-100 in six languages, and pairs, out of the default run's text, with
faults in known numbers (benchmarks/web.py). Snakemake takes a tenth of it, and all of it, to packed
shards: in one shard a language; and in four, killed with -9 in the middle and started again. Shown
are the peak memory of each stage's jobs against the size of the text, the faults planted and
counted, and whether shards and kill changed what was packed. Writes its section of
docs/benchmarks.md; the last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import web
from benchmarks.document import machine, publish, table
from benchmarks.runs import prepare, start
from ernie_m.tokenizer.shards import read_shard

logger = logging.getLogger("bench-shards")
LANGUAGES = ("en", "de", "ru", "bg", "el", "zh")
PAIR = "en-de"
STAGES = (
    *("corpora_extract", "corpora_filter", "corpora_match", "corpora_select"),
    *("tokenizer_sample", "tokenizer_pack"),
)
LIMIT_MIB = 1536


@dataclass
class Web:
    """The files of one size: registry rows, bytes of text, and what should become of it."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    planted: dict[str, Counter[str]] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    def add(self, corpus: str, path: Path, source: web.Page | web.Pairs, size: int) -> None:
        """Write one corpus."""
        written = web.write(path, source, size)
        languages = corpus.split("-")[1:]
        form = "cc100" if len(languages) == 1 else "bitext"
        self._row(corpus, path, form, languages, text_bytes=written)
        self.size += written
        self.planted[corpus], self.kept[corpus] = source.planted, source.kept

    def add_vocabulary(self, path: Path) -> None:
        """A ready SentencePiece model."""
        self._row("pieces", path, "sentencepiece", LANGUAGES)

    def _row(
        self, name: str, path: Path, form: str, languages: Sequence[str], **sizes: int
    ) -> None:
        facts = {
            # A download is known by its name, and the tenth is not the whole.
            "id": f"{self.name}-{name}",
            "path": str(path),
            "version": "1",
            "filename": path.name,
            "licence": "Apache-2.0",
            "format": form,
            "languages": list(languages),
            "home": "https://www.home-assistant.io",
        }
        self.rows.append(facts | sizes)


def make_web(folder: Path, name: str, results: Path, size: int) -> Web:
    """Text of about ``size`` bytes, an equal part in each language and half a part of pairs."""
    made, part = Web(name), round(size / (len(LANGUAGES) + 0.5))
    folder = folder / name
    folder.mkdir()
    for code, page in web.pages(results / "corpora_split", LANGUAGES).items():
        made.add(f"mono-{code}", folder / f"{code}.txt.xz", page, part)
    pairs = web.pairs(results / "corpora_split", *PAIR.split("-"))
    made.add(f"parallel-{PAIR}", folder / f"{PAIR}.tsv.xz", pairs, part // 2)
    made.add_vocabulary(results / "tokenizer_train/spm.model")
    return made


class Run:
    """One run of the rules, in a folder that has the repository's."""

    def __init__(self, folder: Path, name: str, text: Web, shards: int) -> None:
        self.folder, self.name, self.text = folder, name, text
        self.results = folder / "results" / name
        largest = max(row.get("text_bytes", 0) for row in text.rows)
        config = {
            "run": name,
            "corpora": {
                "registry": f"{text.name}.yaml",
                "datasets": [row["id"] for row in text.rows],
                "languages": list(LANGUAGES),
                "pairs": [PAIR],
                "clean": {"min_chars": 10, "min_script_share": 0.5},
                "shards": {"shard_bytes": -(-largest // shards)},
            },
            "pretrain": {stage: {"row_length": 512} for stage in ("camlm", "btmlm")},
            "xtreme": {"tasks": []},
        }
        (folder / f"{text.name}.yaml").write_text(yaml.safe_dump(text.rows))
        self._write(name, config)
        # The same run without its ready vocabulary: what would be drawn to train one.
        datasets = [row["id"] for row in text.rows if row["format"] != "sentencepiece"]
        config["corpora"]["datasets"] = datasets
        self._write(f"{name}_sample", config)

    def _write(self, name: str, config: dict[str, Any]) -> None:
        (self.folder / "config" / f"{name}.yaml").write_text(yaml.safe_dump(config))

    def start(self, config: str = "", targets: Sequence[str] = ("tokenizer",)) -> subprocess.Popen:
        """Snakemake, in a process group of its own."""
        words = ["snakemake", "--cores", str(os.cpu_count()), *targets]
        words += ["--configfile", f"config/{config or self.name}.yaml"]
        return start(self.folder, self.folder / f"{self.name}.log", *words)

    def finish(self) -> float:
        """Run to the end; returns seconds."""
        started = time.monotonic()
        self._wait(self.start())
        paths = sorted(self.results.glob("corpora_select/*/*/train.parquet"))
        jobs = ["/".join(path.parts[-3:-1]) for path in paths]
        samples = [f"results/{self.name}/tokenizer_sample/{job}/lines.parquet" for job in jobs]
        self._wait(self.start(f"{self.name}_sample", samples))
        return time.monotonic() - started

    def _wait(self, process: subprocess.Popen) -> None:
        if process.wait():
            raise SystemExit((self.folder / f"{self.name}.log").read_text()[-3000:])

    def kill(self) -> int:
        """Start, and kill the whole group with -9 once half of the shards are filtered; returns how
        many jobs had ended."""
        process = self.start()
        half = 2 * len(self.text.planted)
        while len(list(self.results.glob("corpora_filter/*/*/record.json"))) < half:
            if process.poll() is not None:
                raise SystemExit("the run ended before it could be killed")
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return len(self.records())

    def records(self) -> list[dict[str, Any]]:
        """The records of all jobs."""
        return [json.loads(path.read_text()) for path in self.results.rglob("record.json")]

    def costs(self) -> dict[str, dict[str, float]]:
        """By stage: CPU seconds, peak memory in MiB of a job, bytes written."""
        found: dict[str, dict[str, float]] = {}
        for record in self.records():
            own = found.setdefault(
                record["stage"], {"cpu_seconds": 0, "peak_mib": 0, "bytes_written": 0}
            )
            own["cpu_seconds"] += record["run"]["cpu_seconds"]
            own["peak_mib"] = max(own["peak_mib"], record["run"]["memory_mb"] * 1e6 / 2**20)
            files = [file for files in record["facts"]["outputs"].values() for file in files]
            own["bytes_written"] += sum(file["bytes"] for file in files)
        return {stage: found[stage] for stage in STAGES}

    def dropped(self, corpus: str) -> Counter[str]:
        """Rows that were dropped, by reason."""
        return self._stats(corpus, lambda stats: stats["dropped"])

    def kept(self, corpus: str) -> int:
        """Rows that were selected."""
        return sum(self._stats(corpus, lambda stats: stats.get("rows", {})).values())

    def _stats(self, corpus: str, part: Callable[[dict], dict[str, int]]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for stage in ("corpora_filter", "corpora_select"):
            for path in self.results.glob(f"{stage}/{corpus}/*/stats.json"):
                counts.update(part(json.loads(path.read_text())))
        return counts

    def digests(self) -> dict[str, str]:
        """SHA-256 of what the packed files of each corpus hold, its shards in order."""
        return {
            f"{corpus}/{part}": self._digest(corpus, part)
            for corpus in self.text.planted
            for part in ("train", "valid")
        }

    def _digest(self, corpus: str, part: str) -> str:
        paths = (self.results / "tokenizer_pack" / corpus).glob(f"*/{part}.safetensors")
        sums = [hashlib.sha256() for _ in range(5)]
        for path in sorted(paths, key=lambda path: int(path.parent.name)):
            shard = read_shard(path)
            arrays = [shard.keys]
            for side in shard.sides:
                arrays += [side.lengths, side.tokens]
            for own, values in zip(sums, arrays, strict=False):
                own.update(np.ascontiguousarray(values).data)
        return hashlib.sha256(b"".join(own.digest() for own in sums)).hexdigest()


def check(run: Run) -> dict[str, dict[str, list[int]]]:
    """Planted and counted, by corpus and reason; ``kept`` is what is left."""
    found = {}
    for corpus, planted in run.text.planted.items():
        dropped = run.dropped(corpus)
        reasons = sorted(planted | dropped)
        found[corpus] = {reason: [planted[reason], dropped[reason]] for reason in reasons}
        found[corpus]["kept"] = [run.text.kept[corpus], run.kept(corpus)]
    return found


def measure(folder: Path, results: Path, size: int) -> dict[str, Any]:
    """All runs."""
    prepare(folder)
    tenth, whole = (
        make_web(folder, *given)
        for given in (("tenth", results, size // 10), ("whole", results, size))
    )
    runs = [Run(folder, "tenth", tenth, 1), Run(folder, "tenth_four", tenth, 4)]
    runs += [Run(folder, "whole", whole, 1), Run(folder, "whole_four", whole, 4)]
    killed = {}
    for run in runs:
        killed[run.name] = run.kill() if run.name.endswith("_four") else None
        logger.info("%s: %.0f s", run.name, run.finish())
    return summary(runs, killed)


def summary(runs: Sequence[Run], killed: Mapping[str, int | None]) -> dict[str, Any]:
    """What was seen in finished runs, by run."""
    return {
        run.name: {
            "bytes": run.text.size,
            "costs": run.costs(),
            "faults": check(run),
            "jobs": len(run.records()),
            "jobs_before_kill": killed[run.name],
            "digests": run.digests(),
        }
        for run in runs
    }


def section(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md."""
    large = found["whole_four"]
    rows = [
        [
            stage.replace("_", ".", 1),
            f"{large['bytes'] / large['costs'][stage]['cpu_seconds'] / 1e6:.1f}",
            f"{large['costs'][stage]['bytes_written'] / large['bytes']:.2g}",
            *(f"{run['costs'][stage]['peak_mib']:,.0f}" for run in found.values()),
        ]
        for stage in STAGES
    ]
    shards = {name: "four shards" if name.endswith("_four") else "one shard" for name in found}
    sizes = [f"{_size(found, name)}, {shards[name]}" for name in found]
    header = ["stage", "MB of text per CPU second", "bytes written a byte", *sizes]
    peak = max(cost["peak_mib"] for run in found.values() for cost in run["costs"].values())
    return "\n\n".join(
        [
            f"By `make bench-shards` on {machine()}: {large['bytes'] / 1e9:.2f} GB of text in the "
            f"shape of CC-100, in {len(LANGUAGES)} languages and a corpus of pairs, from `.txt.xz` "
            "to packed shards by Snakemake. The right-hand columns are the peak memory in MiB of "
            "the largest job of a stage.",
            table(header, rows),
            f"The largest peak is {peak:,.0f} MiB. {_kills(found)} {_same(found)}",
            f"Faults in the {large['bytes'] / 1e9:.2f} GB, in all corpora together; planted and "
            f"counted are {'equal' if exact(found) else 'NOT equal'} in each corpus of each run:",
            _faults(large),
        ]
    )


def exact(found: dict[str, Any]) -> bool:
    """Whether everything planted was counted, and nothing else."""
    return all(
        planted == counted
        for run in found.values()
        for corpus in run["faults"].values()
        for planted, counted in corpus.values()
    )


def _size(found: dict[str, Any], name: str) -> str:
    return f"{found[name]['bytes'] / 1e9:.1f} GB"


def _kills(found: dict[str, Any]) -> str:
    killed = [
        f"{run['jobs_before_kill']} of {run['jobs']} jobs ({_size(found, name)})"
        for name, run in found.items()
        if run["jobs_before_kill"] is not None
    ]
    return (
        f"Runs in four shards were killed with -9 after {' and '.join(killed)}, and started again."
    )


def _same(found: dict[str, Any]) -> str:
    said = []
    for name in ("tenth", "whole"):
        same = found[name]["digests"] == found[f"{name}_four"]["digests"]
        said.append(
            f"What was packed of the {_size(found, name)} in four shards with a kill is "
            f"{'the same as' if same else 'NOT the same as'} in one shard without, by SHA-256 of "
            "keys, lengths and tokens."
        )
    return " ".join(said)


def _faults(run: dict[str, Any]) -> str:
    planted: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for corpus in run["faults"].values():
        for reason, (one, other) in corpus.items():
            planted[reason] += one
            counted[reason] += other
    lines = [[reason, f"{planted[reason]:,}", f"{counted[reason]:,}"] for reason in sorted(planted)]
    return table(["reason", "planted", "counted"], lines)


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=2000, help="size of the text (2000)")
    parser.add_argument("--results", type=Path, default=Path("results/default"), help="a run")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    results = given.results.resolve()
    if not (results / "tokenizer_train/spm.model").is_file():
        raise SystemExit(f"{results} has no text: run `snakemake --cores all tokenizer` first.")
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-shards-", dir=given.folder) as name:
        found = measure(Path(name), results, round(given.megabytes * 1e6))
    publish("shards", section(found), found, document=not given.no_section)


if __name__ == "__main__":
    main()
