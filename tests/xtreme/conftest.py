"""A small made-up platform in three made-up languages, a tokenizer and an encoder for it.

German and Chinese here are English with every word spelt otherwise, so that a row and its
translations mean the same by construction, as in the real source.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch

from ernie_m.atomic import partial as temporary
from ernie_m.catalogue.tasks import TASKS, Training
from ernie_m.config.xtreme import PrepareSettings
from ernie_m.corpora.streams import MONO, write_blocks
from ernie_m.job import Job
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import save
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.xtreme import prepare

LANGUAGES = ("en", "de", "zh")
# Tasks made of held-out rows, as these are.
MADE = [name for name, task in TASKS.items() if not task.published]
SETTINGS = PrepareSettings(
    train_examples=60, dev_examples=24, test_examples=24, mining_sentences=40
)
WORDS = [
    start + end
    for start in ("bal", "kor", "min", "tes", "vur", "dop")
    for end in ("an", "el", "ist", "or", "u")
]
WORD = re.compile(r"[a-z]+")


def translate(text: str, language: str) -> str:
    """Lower-case words spelt backwards (de) or as one Han character each (zh); names stay."""
    if language == "en":
        return text

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if word not in WORDS:
            return word
        return word[::-1] if language == "de" else chr(0x4E00 + WORDS.index(word))

    return WORD.sub(other, text)


def _integration(number: int, rng: random.Random) -> dict[str, str]:
    """English rows of one integration by key."""
    name = f"Brand{chr(97 + number // 26)}{chr(97 + number % 26)}"

    def said(least: int) -> str:
        return " ".join(rng.sample(WORDS, rng.randint(least, least + 3)))

    rows = {"config.step.user.title": said(2), "title": name}
    rows["config.step.user.description"] = said(5)
    for field in ("host", "port", "token", "user"):
        rows[f"config.step.user.data.{field}"] = f"{said(1)} {field}"
        rows[f"config.step.user.data_description.{field}"] = f"{said(6)} {field} {name}."
    rows["services.reset.name"] = said(2)
    rows["services.reset.description"] = f"{said(5)} `{rng.choice(WORDS)}_id` {said(2)}."
    rows["config.error.bad"] = f"{said(4)} **{said(1)}** {said(2)}"
    rows["config.abort.gone"] = said(7)
    return rows


def write_rows(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> list[Path]:
    """The rows that the split would leave: 40 integrations to train on, 15 for dev, 20 for test."""
    rng = random.Random(1)
    numbers = iter(range(1000))
    paths = []
    for split, count in (("train", 40), ("valid", 15), ("test", 20)):
        rows: dict[str, str] = {}
        for number in itertools.islice(numbers, count):
            domain = f"brand{chr(97 + number // 26)}{chr(97 + number % 26)}"
            for key, text in _integration(number, rng).items():
                rows[f"made:{domain}:{key}"] = text
        for language in languages:
            # Some rows have no Chinese.
            ids = [id for i, id in enumerate(sorted(rows)) if language != "zh" or i % 17]
            path = folder / f"rows-{split}-{language}.parquet"
            texts = [translate(rows[id], language) for id in ids]
            groups = [id.rsplit(":", 1)[0] for id in ids]
            write_blocks(path, zip(ids, groups, texts, strict=True), MONO, [language])
            paths.append(path)
    return paths


Run = Callable[..., dict[str, list[Path]]]


def run_stage(
    stage: Any,
    instance: str,
    settings: Any,
    inputs: dict[str, list[Path]],
    outputs: dict[str, list[Path]],
    seed: int = 1,
) -> dict[str, list[Path]]:
    """Run one stage in this process as its command would, and put its outputs in place."""
    for paths in outputs.values():
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
    stage.run(Job(stage.__name__, instance, settings, seed, 1, inputs, outputs))
    for paths in outputs.values():
        for path in paths:
            temporary(path).replace(path)
    return outputs


def trained_files(folder: Path) -> dict[str, list[Path]]:
    """What a fine-tuning writes."""
    names = {"model": "model.safetensors", "curves": "curves.jsonl", "metrics": "metrics.json"}
    return {name: [folder / file] for name, file in names.items()}


def make_examples(
    rows: list[Path],
    folder: Path,
    task: str,
    seed: int = 1,
    settings: PrepareSettings = SETTINGS,
    languages: tuple[str, ...] = LANGUAGES,
    training: Training = "english",
) -> dict[str, Path]:
    """Example files of a task by stem (``test-de``), made in ``folder``."""
    names = [name for part in TASKS[task].files(languages, training).values() for name in part]
    outputs = {"examples": [folder / name for name in names], "stats": [folder / "stats.json"]}
    run_stage(prepare, task, settings, {"rows": rows}, outputs, seed)
    return {path.stem: path for path in outputs["examples"]}


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def examples(
    rows: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Path]]:
    """Example files by task, then stem."""
    folder = tmp_path_factory.mktemp("examples")
    return {task: make_examples(rows, folder / task, task) for task in MADE}


@pytest.fixture(scope="session")
def spm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [translate(" ".join(WORDS[i:] + WORDS[:i]), x) for i in range(30) for x in LANGUAGES]
    names = [
        f"Brand{a}{b} host port token user _id . : [ ] {{ }}" for a in "abc" for b in "abcdefgh"
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts + names),
        model_prefix=str(folder / "spm"),
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder / "spm.model"


@pytest.fixture(scope="session")
def tokenizer(spm: Path) -> Tokenizer:
    return Tokenizer(spm)


@pytest.fixture(scope="session")
def shape(tokenizer: Tokenizer) -> Architecture:
    return Architecture(
        vocabulary=tokenizer.size,
        layers=2,
        width=32,
        heads=2,
        ffn=64,
        max_positions=130,
        dropout=0.0,
        attention_dropout=0.0,
        language_embeddings=True,
        pair_positions="continuous",
        languages=LANGUAGES,
        tokenizer=tokenizer.sha256,
    )


@pytest.fixture(scope="session")
def pretrained(shape: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, LanguageModel(shape), shape, {"stage": "initialise"})
    return path


class Server:
    """A web server on this machine that offers the files of a folder."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address


@pytest.fixture
def httpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("published")
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Server(folder, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass
