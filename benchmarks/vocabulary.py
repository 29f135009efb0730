"""A vocabulary of the paper's size, trained by the real rules on real text in many languages.

    make bench-vocabulary           some three minutes on two free cores

Takes the interface text of Home Assistant in every language that has some, not only the default
run's six, as files in the shape of CC-100: a document an integration, without the rows that only
repeat their English. Snakemake filters, dedups and selects them, trains SentencePiece, packs the
text with it, and trains a narrow model on the shards for a few steps, to see that ids
above 65,535 arrive there. Writes its section of docs/benchmarks.md; the last line is JSON.
"""

from __future__ import annotations

import json
import logging
import lzma
import os
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.document import machine, publish, table
from benchmarks.runs import finish, prepare, registry_row, start
from ernie_m.arguments import argument_parser
from ernie_m.corpora.readers import homeassistant
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.tokenizer.shards import read_shard

logger = logging.getLogger("bench-vocabulary")
WHEEL = Path("results/corpora_download/homeassistant/original")
# Upstream's languages with more than a few dozen translated rows that the pipeline knows.
LANGUAGES = [
    *("en", "ar", "bg", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "fy"),
    *("ga", "gl", "he", "hr", "hu", "hy", "id", "is", "it", "ja", "ko", "lt", "lv", "mk", "nl"),
    *("no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "tr", "uk", "vi", "zh", "zh_hant"),
]
PAIR = ("en", "de")
SHOWN = ("en", "de", "ru", "el", "zh", "ja", "hu", "vi")
UINT16 = 65_535
STEPS = 20

Rows = dict[tuple[str, str], str]


def read(wheel: Path, language: str) -> Rows:
    """(integration, key) -> text on one line."""
    found = homeassistant.read(wheel, language, Leftovers(wheel, 0))
    return {(group, key): " ".join(text.split()) for group, key, text in found}


def document_lines(rows: Rows, english: Rows) -> Iterator[str]:
    """Lines of a CC-100 file: the translated rows of each integration, then an empty line."""
    own = (place for place in rows if rows[place] and rows[place] != english.get(place))
    for _, places in groupby(own, key=lambda place: place[0]):
        yield from (rows[place] for place in places)
        yield ""


def write(path: Path, lines: Iterator[str]) -> int:
    """Write packed lines; returns the bytes of text."""
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")
    path.write_bytes(lzma.compress(text, preset=1))
    return len(text)


def make_text(folder: Path, wheel: Path) -> list[dict[str, Any]]:
    """A file for each language and one of pairs; returns their registry rows."""
    english, rows = read(wheel, "en"), []
    for code in LANGUAGES:
        path = folder / f"{code}.txt.xz"
        own = english if code == "en" else read(wheel, code)
        size = write(path, document_lines(own, {} if code == "en" else english))
        rows.append(registry_row(f"mono-{code}", path, "cc100", [code], size))
        logger.info("%s: %.2f MB", code, size / 1e6)
        if code == PAIR[1]:
            pairs = (f"{english[place]}\t{own[place]}" for place in own if place in english)
            path = folder / f"{'-'.join(PAIR)}.tsv.xz"
            rows.append(registry_row("pairs", path, "bitext", PAIR, write(path, pairs)))
    return rows


def configuration(rows: list[dict[str, Any]], pieces: int) -> dict[str, Any]:
    """The defaults but for the text, the vocabulary, and a model as narrow as can be."""
    return {
        "run": "vocabulary",
        "corpora": {
            "registry": "registry.yaml",
            "datasets": [row["id"] for row in rows],
            "languages": LANGUAGES,
            "pairs": ["-".join(PAIR)],
            "filter": {"language_identifier": "fasttext"},  # as for text of the web
        },
        "tokenizer": {"train": {"vocabulary_size": pieces, "sample_lines": 10_000_000}},
        "model": {"layers": 2, "width": 64, "heads": 2, "ffn": 128},
        "pretrain": {
            "camlm": {
                "steps": STEPS,
                "optimiser": {"warmup_steps": 5},
                "evaluate_every": STEPS,
                "evaluate_sentences": 20,
            }
        },
        "tracking": {"uri": ""},
        "xtreme": {"tasks": []},
    }


def packed(results: Path) -> dict[str, Any]:
    """What the packed training shards hold: types of ids, how many, and how large."""
    types, tokens, large, most = set(), 0, 0, 0
    used = np.zeros(0, dtype=bool)
    for path in results.glob("tokenizer_pack/*/*/train.safetensors"):
        for side in read_shard(path).sides:
            ids = np.asarray(side.tokens)
            types.add(str(ids.dtype))
            tokens, large = tokens + len(ids), large + int((ids > UINT16).sum())
            most = max(most, int(ids.max(initial=0)))
            counts = np.bincount(ids, minlength=len(used)) > 0
            used = counts | np.pad(used, (0, len(counts) - len(used)))
    return {
        "types": sorted(types),
        "tokens": tokens,
        "above_uint16": large,
        "largest_id": most,
        "distinct_ids": int(used.sum()),
    }


def outcome(results: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All that the section tells, from the records and statistics of the run."""
    trained = results / "tokenizer_train"
    stats = json.loads((trained / "stats.json").read_text())
    record = json.loads((trained / "record.json").read_text())
    metrics = json.loads((results / "pretrain_camlm/ernie_m/metrics.json").read_text())
    curves = (results / "pretrain_camlm/ernie_m/curves.jsonl").read_text().splitlines()
    return {
        "text_bytes": sum(row["text_bytes"] for row in rows if row["format"] == "cc100"),
        "ids": stats["size"],
        "languages": stats["languages"],
        "train": {name: record["run"][name] for name in ("seconds", "cpu_seconds", "memory_mb")},
        "threads": record["run"]["threads"],
        "model_bytes": (trained / "spm.model").stat().st_size,
        "packed": packed(results),
        "steps": metrics["steps"],
        "parameters": metrics["parameters"],
        "curve": json.loads(curves[-1]),
    }


def section(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md."""
    languages, train, ids = found["languages"], found["train"], found["packed"]
    sampled = sum(own["lines_sampled"] for own in languages.values())
    unknown = [own["unknown_share"] for own in languages.values()]
    worst = max(languages, key=lambda code: languages[code]["unknown_share"])
    rows = [
        [
            code,
            f"{own['lines']:,}",
            f"{own['lines_sampled']:,}",
            f"{own['unknown_share']:.4%}",
            f"{own['tokens_per_unit']:.2f}",
        ]
        for code, own in ((code, languages[code]) for code in SHOWN)
    ]
    header = [
        "language",
        "lines",
        "lines sampled",
        "unknown pieces",
        "pieces a word (zh, ja: character)",
    ]
    return "\n\n".join(
        [
            f"By `make bench-vocabulary` on {machine()}: {found['text_bytes'] / 1e6:.1f} MB of "
            f"interface text of Home Assistant in {len(languages)} languages, as `.txt.xz` in the "
            "shape of CC-100, through `corpora.filter`, `dedup` and `select` to "
            f"`tokenizer_train`. It makes **{found['ids']:,} ids** of {sampled:,} lines (those of "
            f"small languages are drawn again) in {train['seconds']:,.0f} s with "
            f"{found['threads']} threads ({train['cpu_seconds']:,.0f} s of CPU time), at a peak of "
            f"{train['memory_mb']:,.0f} MB. The model file has {found['model_bytes'] / 1e6:.1f} "
            f"MB. Unknown pieces: none in {unknown.count(0)} languages, at most "
            f"{100 * max(unknown):.2f} % ({worst}). Eight of the languages:",
            table(header, rows),
            f"`tokenizer_pack` wrote {ids['tokens']:,} tokens as {', '.join(ids['types'])}; "
            f"{ids['above_uint16']:,} of them are above 65,535, the largest is "
            f"{ids['largest_id']:,}, and {ids['distinct_ids']:,} different ones occur. A model of "
            f"2 layers and width 64 ({found['parameters'] / 1e6:.1f} million parameters, nearly "
            f"all of them embeddings) reads these shards: after {found['steps']} steps of "
            f"`pretrain_camlm`, none of them skipped, its loss in MMLM is "
            f"{found['curve']['train/mmlm']:.2f} on the batches it was trained on. A uniform guess "
            f"has {np.log(found['ids']):.2f}; the output layer starts from the pieces' "
            "frequencies.",
        ]
    )


def main() -> None:
    """Make the text, run, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.vocabulary", __doc__)
    parser.add_argument("--wheel", type=Path, default=WHEEL, help=f"the text ({WHEEL})")
    parser.add_argument("--pieces", type=int, default=250_000, help="pieces (250,000)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores (all)")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if not given.wheel.is_file():
        raise SystemExit(f"{given.wheel} is not here: run `snakemake --cores 1 {WHEEL}` first.")
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-vocabulary-", dir=given.folder) as name:
        folder = Path(name)
        prepare(folder)
        rows = make_text(folder, given.wheel.resolve())
        settings = configuration(rows, given.pieces)
        (folder / "registry.yaml").write_text(yaml.safe_dump(rows))
        (folder / "config/vocabulary.yaml").write_text(yaml.safe_dump(settings))
        words = ["snakemake", "--cores", str(given.cores), "tokenizer", "camlm"]
        words += ["--configfile", "config/vocabulary.yaml"]
        log = folder / "snakemake.log"
        finish(start(folder, log, *words), log)
        found = outcome(folder / "results/vocabulary", rows)
    publish("vocabulary", section(found), found, document=not given.no_section)


if __name__ == "__main__":
    main()
