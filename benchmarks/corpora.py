"""Rates and memory of the stages that work in shards, on text in the shape of CC-100.

    python benchmarks/corpora.py --megabytes 20 --shards 2

Sentences of a finished run are put together to documents by a seeded generator, with repeated
paragraphs, wrong-language lines and broken UTF-8 in known numbers, packed as `.txt.xz`, and taken
through every stage as its command line does. Each stage is a process of its own, whose CPU time and
peak memory the kernel counts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

RULES = {"min_chars": 10, "min_script_share": 0.5}
# ruff: noqa: RUF001 - a line in another script is what this is
WRONG = "Это предложение написано на другом языке, и его здесь не должно быть вовсе."
FILTERED = {"rows": "rows.arrow", "lines": "lines.arrow", "documents": "documents.arrow"}


def paragraphs(file: Path, draw: random.Random) -> Iterator[str]:
    """Endless paragraphs of two to six sentences."""
    texts = sorted(set(parquet.read_table(file)["text"].to_pylist()))
    while True:
        yield " ".join(draw.choice(texts) for _ in range(draw.randrange(2, 7)))


def write_corpus(path: Path, file: Path, size: int) -> tuple[int, Counter[str]]:
    """A `.txt.xz` of about ``size`` bytes of text; its size, and the planted faults."""
    draw = random.Random(1)
    source = paragraphs(file, draw)
    planted: Counter[str] = Counter()
    kept: list[str] = []
    written = 0
    with lzma.open(path, "wb", preset=1) as sink:
        while written < size:
            lines = []
            for _ in range(draw.randrange(1, 12)):
                fate, text = draw.random(), next(source)
                if fate < 0.02 and kept:
                    text = draw.choice(kept)
                    planted["repeated"] += 1
                elif fate < 0.03:
                    text = f"{WRONG} {written}"
                    planted["another script"] += 1
                elif fate >= 0.04 and len(kept) < 1000:
                    kept.append(text)
                line = text.encode()
                if 0.03 <= fate < 0.04:
                    line = line[:20] + b"\xff" + line[20:]
                    planted["broken encoding"] += 1
                lines.append(line)
            block = b"\n".join(lines) + b"\n\n"
            sink.write(block)
            written += len(block)
    return written, planted


class Bench:
    """Runs stages in a folder of their own and adds up what they cost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.costs: dict[str, dict[str, float]] = {}

    def path(self, module: str, shard: int, name: str) -> list[Path]:
        """Where a stage's file lies."""
        return [self.folder / module / str(shard) / name]

    def run(self, module: str, instance: str, settings: dict, inputs: dict, outputs: dict) -> None:
        """One job; CPU seconds add up over shards, of memory the peak counts."""
        command = [sys.executable, "-m", f"ernie_m.{module}", "--instance", instance]
        command += ["--settings", json.dumps(settings), "--record", f"{module}/{instance}.json"]
        for flag, named in (("--input", inputs), ("--output", outputs)):
            for name, paths in named.items():
                command += [flag, name, *map(str, paths)]
        process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{module} failed: {' '.join(command)}")
        total = self.costs.setdefault(module, {"seconds": 0, "peak_mib": 0, "bytes_written": 0})
        total["seconds"] += usage.ru_utime + usage.ru_stime
        total["peak_mib"] = max(total["peak_mib"], usage.ru_maxrss / 1024)
        files = [path for paths in outputs.values() for path in paths]
        total["bytes_written"] += sum(file.stat().st_size for file in files)

    def stages(self, corpus: Path, shards: int, tokenizer: Path) -> None:
        """Extraction, filters, comparison, selection and packing."""
        rows = self.path("corpora.extract", 0, "rows.parquet")
        self.run(
            "corpora.extract", "web/en", {"format": "cc100"}, {"file": [corpus]}, {"rows": rows}
        )
        for shard in range(shards):
            outputs = {
                key: self.path("corpora.filter", shard, name) for key, name in FILTERED.items()
            }
            outputs["stats"] = self.path("corpora.filter", shard, "stats.json")
            inputs: dict[str, list[Path]] = {"corpus": rows, "held_out": []}
            self.run(
                "corpora.filter", f"mono-en/{shard}", RULES | {"shards": shards}, inputs, outputs
            )
        kept = {
            key: [self.path("corpora.filter", shard, name)[0] for shard in range(shards)]
            for key, name in FILTERED.items()
        }
        drops = {
            "repeated": self.path("corpora.match", 0, "rows.arrow"),
            "alike": self.path("corpora.match", 0, "documents.arrow"),
        }
        self.run("corpora.match", "mono-en", {}, kept, drops)
        for shard in range(shards):
            texts = {
                part: self.path("corpora.select", shard, f"{part}.parquet")
                for part in ("train", "valid")
            }
            stats = {"stats": self.path("corpora.select", shard, "stats.json")}
            inputs = {"kept": [kept["rows"][shard]], **drops}
            self.run("corpora.select", f"mono-en/{shard}", {}, inputs, texts | stats)
            packed = {
                part: self.path("tokenizer.pack", shard, f"{part}.safetensors") for part in texts
            }
            packed["manifest"] = self.path("tokenizer.pack", shard, "manifest.json")
            inputs = {"tokenizer": [tokenizer], **texts}
            self.run("tokenizer.pack", f"mono-en/{shard}", {"max_tokens": 510}, inputs, packed)

    def dropped(self) -> Counter[str]:
        """Dropped rows by reason, of all shards."""
        counts: Counter[str] = Counter()
        for stats in self.folder.glob("corpora.*/*/stats.json"):
            counts.update(json.loads(stats.read_text())["dropped"])
        return counts


def table(costs: dict[str, dict[str, float]], size: int) -> str:
    """The costs for people."""
    lines = [f"{'stage':<18}{'CPU s':>9}{'MB/s':>9}{'peak MiB':>10}{'written / text':>16}"]
    for name, own in costs.items():
        lines.append(
            f"{name:<18}{own['seconds']:>9.1f}{size / own['seconds'] / 1e6:>9.2f}"
            f"{own['peak_mib']:>10.0f}{own['bytes_written'] / size:>16.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=20, help="size of the text (20)")
    parser.add_argument("--shards", type=int, default=2, help="shards it is processed in (2)")
    parser.add_argument("--results", type=Path, default=Path("results/default"), help="a run")
    given = parser.parse_args()
    results = given.results.resolve()
    text = results / "corpora_split/mono-en-train.parquet"
    tokenizer = results / "tokenizer_train/spm.model"
    if not (text.is_file() and tokenizer.is_file()):
        raise SystemExit(f"{results} has no text: run `snakemake --cores all tokenizer` first.")
    with tempfile.TemporaryDirectory(prefix="bench-corpora-") as name:
        bench = Bench(Path(name))
        corpus = bench.folder / "en.txt.xz"
        size, planted = write_corpus(corpus, text, round(given.megabytes * 1e6))
        bench.stages(corpus, given.shards, tokenizer)
        dropped: dict[str, Any] = dict(sorted(bench.dropped().items()))
    print(f"{size / 1e6:.1f} MB of text in {given.shards} shards")
    print(table(bench.costs, size))
    print(f"planted {dict(sorted(planted.items()))}\ndropped {dropped}")
    found = {"bytes": size, "stages": bench.costs, "planted": planted, "dropped": dropped}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
