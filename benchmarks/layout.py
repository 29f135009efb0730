"""The paper's number of jobs and files, at a few kilobytes a file: does the whole graph run?

    make bench-layout                                all datasets and languages, some 30 minutes
    python -m benchmarks.layout --languages 8        the first eight, some minutes

Takes config/paper_base.yaml with its datasets, languages, shards and chunks, writes every file of
the registry in upstream's format with invented words in the script of its language, starts from a
checkpoint in XLM-R's form as the paper does, makes model and steps tiny, leaves the evaluation
tasks out, and runs it from the downloads to report and export.
What grows with the number of files shows itself: command lines, open files, report, tracking, and
the commands that look at all of a run. Writes its section of docs/benchmarks.md; the last line is
JSON.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import logging
import lzma
import os
import random
import re
import tarfile
import tempfile
import time
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import sentencepiece
import yaml
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from benchmarks.document import machine, publish, table
from benchmarks.runs import finish, prepare, start
from ernie_m.arguments import argument_parser
from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.config.base import deep_merge
from ernie_m.config.corpora import DatasetRow, load_registry
from ernie_m.config.load import read_yaml
from ernie_m.corpora.text import script
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.tracking.store import batches

logger = logging.getLogger("bench-layout")
PAPER = Path("config/paper_base.yaml")
NAME = "layout"
ALL = 96  # languages
SNAKEMAKE = ("snakemake", "--configfile", f"config/{NAME}.yaml")
# What tells of upstream's file. Downloads are known by their ids, so these get ids of their own.
UPSTREAM = ("url", "mirrors", "bytes", "about_bytes", "sha256")
DOCUMENTS, PARAGRAPHS, PAIRS, WORDS = 24, 4, 60, 12
LETTERS = 20  # of each script; enough for words that do not repeat
INIT = "xlm-r"
MODEL = {"layers": 1, "width": 16, "heads": 2, "ffn": 32}
STAGE = {
    "steps": 2,
    "batch_tokens": 2048,
    "optimiser": {"warmup_steps": 1},
    "evaluate_every": 1,
    "evaluate_sentences": 2,
    "checkpoint_every": 1,
}
SMALL: dict[str, Any] = {
    "run": NAME,
    # Invented words are in no language.
    "corpora": {"filter": {"language_identifier": "none"}, "select": {"valid_share": 0.1}},
    "init": f"made/{INIT}",
    "model": MODEL,
    "pretrain": {"camlm": STAGE, "btmlm": STAGE},
    "hardware": {"num_threads": 1, "nodes": 1, "processes_per_node": 1, "require_gpu": False},
    "xtreme": {"tasks": []},
}


def alphabet(language: str) -> list[str]:
    """Letters of the language's scripts, the same number of each."""
    found: list[str] = []
    for name in sorted(LANGUAGES[language].scripts):
        letters = (
            chr(code)
            for code in range(0x30000)
            if unicodedata.name(chr(code), "").startswith(f"{name} ")
            and unicodedata.category(chr(code)) in ("Ll", "Lo")
            and script(chr(code)) == name
            and unicodedata.is_normalized("NFKC", chr(code))
        )
        found += itertools.islice(letters, LETTERS)
    return found


class Words:
    """Invented sentences of one language."""

    def __init__(self, language: str) -> None:
        self.draw = random.Random(language)
        self.letters = alphabet(language)
        # Where a character says a word, words are short: the sides of a pair are alike in weight.
        self.length = 2 if {"CJK", "HANGUL"} & LANGUAGES[language].scripts else 5

    def sentence(self) -> str:
        """Words of random letters."""
        words = ("".join(self.draw.choices(self.letters, k=self.length)) for _ in range(WORDS))
        return " ".join(words) + "."


def write(path: Path, row: DatasetRow, words: dict[str, Words]) -> None:
    """The file of a registry row, in upstream's format."""
    if row.format == "cc100":
        (code,) = row.languages
        paragraphs = (words[code].sentence() + "\n" for _ in range(DOCUMENTS * PARAGRAPHS))
        documents = ("".join(lines) for lines in batches(paragraphs, PARAGRAPHS))
        path.write_bytes(lzma.compress("\n".join(documents).encode()))
        return
    sides = [[words[code].sentence() for _ in range(PAIRS)] for code in row.languages]
    if row.format == "wikimatrix":
        rows = (f"1.2\t{one}\t{other}\n" for one, other in zip(*sides, strict=True))
        path.write_bytes(gzip.compress("".join(rows).encode()))
        return
    members = {
        f"{row.id}.{code}": "".join(line + "\n" for line in lines).encode()
        for code, lines in zip(row.languages, sides, strict=True)
    }
    if row.filename.endswith(".tgz"):
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)


def write_checkpoint(folder: Path, words: dict[str, Words]) -> None:
    """A narrow XLM-R as transformers keeps it, whose vocabulary knows all letters."""
    folder.mkdir()
    lines = (own.sentence() for own in words.values() for _ in range(50))
    with (folder / "sentencepiece.bpe.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            vocab_size=3000,
            character_coverage=1.0,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    shape = XLMRobertaConfig(
        vocab_size=Tokenizer(Path(model.name)).size,
        num_hidden_layers=MODEL["layers"],
        hidden_size=MODEL["width"],
        num_attention_heads=MODEL["heads"],
        intermediate_size=MODEL["ffn"],
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    XLMRobertaForMaskedLM(shape).save_pretrained(folder)


def make(folder: Path, languages: int) -> None:
    """The files, their registry and the configuration."""
    paper = read_yaml(PAPER)
    corpora = paper["corpora"]
    codes = corpora["languages"][:languages]
    words = {code: Words(code) for code in codes}
    registry = load_registry(Path(corpora["registry"]))
    (folder / "made").mkdir()
    rows = []
    for row in map(registry.__getitem__, corpora["datasets"]):
        path = (folder / "made" / row.id).resolve()
        if words.keys() >= {*row.languages}:
            write(path, row, words)
            facts = row.model_dump(mode="json", exclude={*UPSTREAM}, exclude_none=True)
            rows.append(facts | {"id": f"made-{row.id}", "path": str(path)})
    write_checkpoint(folder / "made" / INIT, words)
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(rows))
    chosen = {
        "registry": f"{NAME}.yaml",
        "datasets": [row["id"] for row in rows],
        "languages": codes,
        "pairs": [pair for pair in corpora["pairs"] if words.keys() >= {*pair.split("-")}],
    }
    config = deep_merge(deep_merge(paper, SMALL), {"corpora": chosen})
    (folder / "config" / f"{NAME}.yaml").write_text(yaml.safe_dump(config))


class Run:
    """The run, in a folder that has the repository's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results" / NAME
        self.log = folder / "log.txt"

    def call(self, *words: str) -> dict[str, float]:
        """Seconds that a command took, and its own peak memory in MB (not that of its jobs)."""
        began, peak = time.monotonic(), 0
        process = start(self.folder, self.log, *words)
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peak = max([peak, *map(int, re.findall(r"VmHWM:\s*(\d+)", status))])
            time.sleep(0.1)
        finish(process, self.log)
        return {"seconds": time.monotonic() - began, "mb": peak * 1024 / 1e6}

    def longest_commands(self) -> dict[str, int]:
        """Bytes of the longest shell command of each rule."""
        self.call(*SNAKEMAKE, "--dry-run", "--printshellcmds")
        found: dict[str, int] = {}
        for block in re.split(
            r"^(?:local)?rule ", self.log.read_text(encoding="utf-8"), flags=re.M
        ):
            for command in re.findall(r"^Shell command: (.+)$", block, flags=re.M):
                rule = block.partition(":")[0]
                found[rule] = max(found.get(rule, 0), len(command.encode()))
        return found

    def record(self, job: str) -> dict[str, Any]:
        """The record of a job."""
        return json.loads((self.results / job / "record.json").read_text(encoding="utf-8"))


def measure(folder: Path, languages: int) -> dict[str, Any]:
    """The run, and every command that looks at the whole of it."""
    prepare(folder)
    make(folder, languages)
    run = Run(folder)
    commands = run.longest_commands()
    logger.info("longest command: %d bytes", max(commands.values()))
    model = f"results/{NAME}/pretrain_btmlm/ernie_m/model.safetensors"
    calls = {
        "`snakemake`, everything": (*SNAKEMAKE, "--cores", str(os.cpu_count())),
        "`snakemake` again": (*SNAKEMAKE, "--cores", "1"),
        "`ernie-m status`": ("ernie-m", "status", "--run", NAME),
        "`ernie-m audit` of the model": ("ernie-m", "audit", model, "--run", NAME),
        "`ernie-m impact`": ("ernie-m", "impact", "pretrain.camlm.steps", "--run", NAME),
    }
    timed = {}
    for name, words in calls.items():
        timed[name] = run.call(*words)
        logger.info("%s: %.0f s", name, timed[name]["seconds"])
    return facts(run, commands, timed, languages)


def facts(
    run: Run, commands: dict[str, int], calls: dict[str, dict[str, float]], languages: int
) -> dict[str, Any]:
    """What was measured, and what the finished run left."""
    results = run.folder / "results"
    inputs = run.record("pretrain_btmlm/ernie_m")["facts"]["inputs"]
    report = run.record("report_build")["run"]
    return {
        "languages": languages,
        "jobs": len(list(results.rglob("record.json"))),
        "files": sum(path.is_file() for path in results.rglob("*")),
        "inputs_of_btmlm": sum(map(len, inputs.values())),
        "commands": commands,
        "calls": calls
        | {"`report_build`": {"seconds": report["seconds"], "mb": report["memory_mb"]}},
        "report_bytes": (run.results / "report_build/report.html").stat().st_size,
    }


def section(found: dict[str, Any], command: str) -> str:
    """The section of docs/benchmarks.md."""
    rows = [
        [name, f"{cost['seconds']:,.0f}", f"{cost['mb']:,.0f}"]
        for name, cost in found["calls"].items()
    ]
    rule, longest = max(found["commands"].items(), key=lambda item: item[1])
    return "\n\n".join(
        [
            f"By `{command}` on {machine()}: `{PAPER}` with {found['languages']} "
            "languages, all its shards and chunks, files of a few kilobytes, a tiny model and no "
            f"evaluation tasks: **{found['jobs']:,} jobs**, from the downloads to report and "
            f"export, leave {found['files']:,} files.",
            table(["command", "seconds", "its own memory, MB"], rows),
            f"The longest command is that of `{rule}` with {longest:,} bytes; Linux takes 131,072. "
            f"`pretrain_btmlm` reads {found['inputs_of_btmlm']} files. The report has "
            f"{found['report_bytes'] / 1e6:.1f} MB.",
        ]
    )


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.layout", __doc__)
    parser.add_argument("--languages", type=int, default=ALL, help="the first so many (96)")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-layout-", dir=given.folder) as name:
        found = measure(Path(name), given.languages)
    asked = f"python -m benchmarks.layout --languages {given.languages}"
    command = "make bench-layout" if given.languages == ALL else asked
    publish("layout", section(found, command), found, document=not given.no_section)


if __name__ == "__main__":
    main()
