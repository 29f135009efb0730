"""A small tokenizer on invented text, trained once."""

import json
import random
from pathlib import Path

import pytest

from ernie_m.config.tokenizer import QuotaSettings, SampleSettings, TrainSettings
from ernie_m.tokenizer import quotas, sample, train
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import run_stage, sentence, write_rows

SMALL = TrainSettings(vocabulary_size=150, num_threads=1)


def texts(language: str, count: int) -> list[str]:
    draw = random.Random(language)
    return [
        sentence(language, [draw.randrange(200) for _ in range(draw.randrange(2, 9))])
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mono-en, mono-zh and parallel-en-ru, train and valid, as corpora.select leaves them."""
    folder = tmp_path_factory.mktemp("corpora")
    for corpus in ("mono-en", "mono-zh", "parallel-en-ru"):
        codes = corpus.split("-")[1:]
        made = folder / corpus / "0"
        made.mkdir(parents=True)
        counts = {"train": 400, "valid": 30}
        for part, count in counts.items():
            ids = [f"home:{part}:{number}" for number in range(count)]
            sides = (texts(code, count) for code in codes)
            rows = zip(ids, ["home"] * count, *sides, strict=True)
            write_rows(made / f"{part}.parquet", rows, codes)
        stats = {"languages": codes, "rows": counts}
        (made / "stats.json").write_text(json.dumps(stats))
    return folder


def train_model(
    corpora: Path, folder: Path, settings: TrainSettings = SMALL, seed: int = 1
) -> Path:
    """tokenizer.quotas, tokenizer.sample and tokenizer.train."""
    known = {"quotas": [folder / "quotas.json"]}
    wanted = QuotaSettings(alpha=settings.alpha, sample_lines=settings.sample_lines)
    stats = sorted(corpora.glob("*/*/stats.json"))
    run_stage(quotas.run, wanted, {"stats": stats}, known)
    lines = []
    for path in stats:
        corpus, shard = path.parts[-3:-1]
        lines.append(folder / "sample" / corpus / shard / "lines.parquet")
        given = {"text": [path.with_name("train.parquet")], **known}
        instance = f"{corpus}/{shard}"
        run_stage(sample.run, SampleSettings(), given, {"lines": [lines[-1]]}, instance, seed)
    run_stage(
        train.run,
        settings,
        {"samples": lines, **known},
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
