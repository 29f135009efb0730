"""A small corpus of encoded shards and an untrained model, made once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import OptimiserSettings, Shares, StageJob
from ernie_m.job import Job
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import save
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.start import initialise
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import Shard
from tests.tokenizer.shards import write_shard

LANGUAGES = ("en", "de", "el")
VOCABULARY, TOKENIZER = 80, "t" * 64


def _sentences(count: int, rng: np.random.Generator) -> Ragged:
    texts = [rng.integers(4, VOCABULARY - 1, rng.integers(1, 12)).tolist() for _ in range(count)]
    return Ragged.of(texts, VOCABULARY)


def stage_job(**changes: Any) -> StageJob:
    """Settings of a training of seconds, but for ``changes``."""
    values = {
        "objectives": Shares(mmlm=1, tlm=0, camlm=1),
        "steps": 24,
        "batch_tokens": 128,
        "row_length": 32,
        "evaluate_every": 8,
        "evaluate_sentences": 10,
        "optimiser": OptimiserSettings(learning_rate=3e-3, warmup_steps=4),
        "hardware": HardwareSettings(num_threads=1),
    }
    return StageJob(**{**values, **changes})


def write_corpus(folder: Path, shards: int) -> dict[str, list[Path]]:
    """The same sentences in any number of shards: input names to files."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Path]] = {"train": [], "valid": []}
    for number, languages in enumerate([*[(x,) for x in LANGUAGES], ("en", "de"), ("en", "el")]):
        for part, count in (("train", 60), ("valid", 12)):
            rng = np.random.default_rng([number, count])
            sides = [_sentences(count, rng) for _ in languages]
            keys = rng.integers(0, 2**63, count).astype(np.uint64)
            pieces = np.array_split(np.arange(count), shards if part == "train" else 1)
            for k, piece in enumerate(pieces):
                cut = tuple(Ragged.of([s[i].tolist() for i in piece], VOCABULARY) for s in sides)
                path = folder / f"{'-'.join(languages)}-{part}-{k}.safetensors"
                write_shard(path, Shard(languages, TOKENIZER, keys[piece], cut))
                found[part].append(path)
    return found


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    shape = Architecture(
        VOCABULARY, 2, 16, 2, 32, 66, 0.1, 0.0, True, "reset", LANGUAGES, TOKENIZER
    )
    model = LanguageModel(shape)
    settings = ModelSettings(layers=2, width=16, heads=2, ffn=32)
    initialise(model, settings, torch.zeros(VOCABULARY))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, model, shape, {"stage": "initialise"})
    return path


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job[Any]]:
    """A job whose outputs land in the test's folder, with its state under ``work/`` there."""
    monkeypatch.chdir(tmp_path)

    def make(module: str, settings: Any, inputs: dict[str, Any], outputs: list[str], **more: Any):
        named = {n: p if isinstance(p, list) else [p] for n, p in inputs.items()}
        paths = {n: [tmp_path / more.get("folder", "out") / n] for n in outputs}
        for (path,) in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        instance = more.get("instance", "ernie_m")
        return Job(module, instance, settings, 1, more.get("threads", 1), named, paths)

    return make
