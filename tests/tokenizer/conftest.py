"""A small tokenizer on invented text, trained once."""

import random
from pathlib import Path

import pytest

from ernie_m.config.tokenizer import TrainSettings
from ernie_m.corpora.tables import write_table
from ernie_m.tokenizer import train
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import run_stage, sentence

SMALL = TrainSettings(vocabulary_size=150, num_threads=1)


def texts(language: str, count: int) -> list[str]:
    draw = random.Random(language)
    return [
        sentence(language, [draw.randrange(200) for _ in range(draw.randrange(2, 9))])
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mono-en, mono-zh and parallel-en-ru, train and valid."""
    folder = tmp_path_factory.mktemp("corpora")
    for part, count in (("train", 400), ("valid", 30)):
        ids = [f"home:{part}:{number}" for number in range(count)]
        for code in ("en", "zh"):
            columns = {"id": ids, "text": texts(code, count)}
            write_table(folder / f"mono-{code}-{part}.parquet", columns, [code])
        sides = {"id": ids, "source": texts("en", count), "target": texts("ru", count)}
        write_table(folder / f"parallel-en-ru-{part}.parquet", sides, ["en", "ru"])
    return folder


def train_model(
    corpora: Path, folder: Path, settings: TrainSettings = SMALL, seed: int = 1
) -> Path:
    run_stage(
        train.run,
        settings,
        {"text": sorted(corpora.glob("*-train.parquet"))},
        {"model": [folder / "spm.model"], "stats": [folder / "stats.json"]},
        seed=seed,
    )
    return folder / "spm.model"


@pytest.fixture(scope="session")
def model(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_model(corpora, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer(model: Path) -> Tokenizer:
    return Tokenizer(model)
