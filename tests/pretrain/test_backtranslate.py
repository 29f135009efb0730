"""What a sentence gets depends on it, the model and the seed alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ernie_m.config.pretrain import BacktranslateJob, DrawJob, DrawSettings, Shares
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import load
from ernie_m.model.packing import Packed, pack
from ernie_m.objectives.lengths import SINGLE_SPECIALS
from ernie_m.objectives.objectives import placeholders
from ernie_m.objectives.targets import targets_of
from ernie_m.pretrain import backtranslate, draw
from ernie_m.ragged import Ragged
from ernie_m.training.batches import DataLoader
from ernie_m.training.pseudo import Pseudo, check_chunks, read_pseudo, write_pseudo
from ernie_m.training.stage import dataloader_of, texts_of
from ernie_m.training.validation import Validation
from tests.pretrain.conftest import LANGUAGES, TOKENIZER, VOCABULARY, stage_job, write_corpus

PAIRS = ("en-de", "en-el")
SHAPE = Architecture(VOCABULARY, 2, 16, 2, 32, 66, 0.1, 0.0, True, "reset", LANGUAGES, TOKENIZER)


# So few steps that stage 2 draws a part of the sentences.
READS = DrawSettings(
    objectives=Shares(mmlm=1, tlm=0, camlm=0, btmlm=1),
    steps=5,
    batch_tokens=200,
    row_length=32,
    evaluate_sentences=4,
)


def draw_sentences(
    job: Callable[..., Job[Any]], corpus: dict[str, list[Path]], folder: str, reads: DrawSettings
) -> Path:
    """The file of the sentences that stage 2 reads."""
    made = job(
        "ernie_m.pretrain.draw",
        DrawJob(languages=LANGUAGES, pairs=PAIRS, placeholder_ratio=0.5, btmlm=reads),
        {"train": corpus["train"], "valid": corpus["valid"]},
        ["sentences"],
        folder=f"{folder}-drawn",
        instance="ernie_m",
    )
    draw.run(made)
    return made.output("sentences")


def generate(
    job: Callable[..., Job[Any]],
    corpus: dict[str, list[Path]],
    model: Path,
    chunks: int,
    folder: str,
    reads: DrawSettings = READS,
) -> list[Path]:
    """The files of all chunks."""
    drawn = draw_sentences(job, corpus, folder, reads)
    files = []
    for chunk in range(chunks):
        made = job(
            "ernie_m.pretrain.backtranslate",
            BacktranslateJob(chunks=chunks, placeholder_ratio=0.5, pairs=PAIRS),
            {"model": model, "sentences": drawn},
            ["pseudo", "stats"],
            folder=f"{folder}-{chunk}",
            instance=f"ernie_m/{chunk}",
        )
        backtranslate.run(made)
        files.append(made.output("pseudo"))
    return files


def content(files: list[Path]) -> dict[int, tuple[int, int, list[int]]]:
    """Number to (key, target, pseudo tokens), over all files, in their order."""
    found = {}
    for pseudo in (read_pseudo(path, VOCABULARY, LANGUAGES) for path in files):
        for i, number in enumerate(pseudo.numbers.tolist()):
            own = (int(pseudo.keys[i]), int(pseudo.target[i]), pseudo.tokens[i].tolist())
            found[number] = own
    return found


def test_content_does_not_depend_on_chunks_or_shards(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    few, many = write_corpus(tmp_path / "few", 1), write_corpus(tmp_path / "many", 5)
    whole = content(generate(job, few, model_file, 1, "a"))
    assert list(whole) == sorted(whole) and 0 < len(whole) < 3 * 72
    for number, chunks in enumerate((2, 5, 400)):
        files = generate(job, (few, many)[number % 2], model_file, chunks, f"b{number}")
        assert list(content(files).items()) == list(whole.items())


def stage_2(
    corpus: dict[str, list[Path]], files: list[Path], job: Callable[..., Job[Any]]
) -> tuple[DataLoader, Validation]:
    settings = stage_job(**{name: getattr(READS, name) for name in DrawSettings.model_fields})
    training = job("ernie_m.pretrain.btmlm", settings, corpus | {"pseudo": files}, [])
    train, valid = (texts_of(training, SHAPE, part) for part in ("train", "valid"))
    dataloader = dataloader_of(training, SHAPE, train)
    return dataloader, Validation(valid, READS.evaluate_sentences, dataloader.masking, 32, 1)


def test_stage_2_reads_the_same_when_all_sentences_are_generated_for(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    """A part of the work, and every bit of every batch and of the validation the same."""
    corpus = write_corpus(tmp_path / "corpus", 2)
    part = generate(job, corpus, model_file, 3, "part")
    much = READS.model_copy(update={"steps": 400, "evaluate_sentences": 100})
    every = generate(job, corpus, model_file, 2, "all", much)
    assert len(content(part)) < 0.8 * len(content(every)) and len(content(every)) == 3 * 72
    (dataloader, held), (dataloader_of_all, held_of_all) = (
        stage_2(corpus, files, job) for files in (part, every)
    )
    for step in range(READS.steps):
        assert_same(dataloader.batch(step).rows, dataloader_of_all.batch(step).rows)
    for batch, other in zip(held.batches, held_of_all.batches, strict=True):
        assert_same(batch, other)
    with pytest.raises(UserError, match="has no pseudo tokens"):
        for step in range(READS.steps, 100):
            dataloader.batch(step)


def assert_same(one: Packed, other: Packed) -> None:
    assert one.ids.tolist() == other.ids.tolist()
    assert one.labels.tolist() == other.labels.tolist()
    assert one.languages.tolist() == other.languages.tolist()


def test_pseudo_tokens_of_other_text_are_refused(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 2)
    files = generate(job, corpus, model_file, 2, "g")
    fewer = {**corpus, "train": [path for path in corpus["train"] if "de-train-1" not in path.name]}
    with pytest.raises(UserError, match="other sentences"):
        stage_2(fewer, files, job)
    turned = {**corpus, "train": corpus["train"][::-1]}
    with pytest.raises(UserError, match="other sentences"):
        stage_2(turned, files, job)


def test_generation_equals_the_obvious_way(model_file: Path) -> None:
    """One sentence at a time, argmax over pieces at its placeholders."""
    model, rng = load(model_file), np.random.default_rng(0)
    sentences = [rng.integers(4, VOCABULARY - 1, n) for n in (1, 4, 9, 14)]
    source = Ragged(np.concatenate(sentences), np.cumsum([0, 1, 4, 9, 14]))
    language, target = np.array([0, 1, 0, 2]), np.array([1, 0, 2, 0])
    made = backtranslate.generate(model, source, language, target, 0.5)
    for i, sentence in enumerate(sentences):
        one = Ragged(sentence, np.array([0, len(sentence)]))
        count = np.array([max(1, round(0.5 * len(sentence)))])
        docs = placeholders(
            one, count, (language[i : i + 1], target[i : i + 1]), VOCABULARY - 1, "reset"
        )
        batch = pack(docs, int(docs.lengths[0]))
        where = torch.from_numpy(np.flatnonzero(batch.labels.flatten() == VOCABULARY - 1))
        with torch.no_grad():
            best = model(batch, where)[:, 4:-1].argmax(1) + 4
        assert made[i].tolist() == best.tolist()


def test_sentences_longer_than_the_usual_rows_are_generated_for(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(model_file)
    source = Ragged(np.arange(4, 4 + 22) % 20 + 4, np.array([0, 2, 22]))
    rows = np.array([0, 1]), np.array([1, 0])
    expected = backtranslate.generate(model, source, *rows, 0.2)
    monkeypatch.setattr(backtranslate, "ROW_LENGTHS", (4, 6))
    made = backtranslate.generate(model, source, *rows, 0.2)
    assert made.tokens.tolist() == expected.tokens.tolist()
    assert made[1].min() >= 4, "of pieces"


@given(length=st.integers(1, 440), ratio=st.floats(0.01, 2))
def test_a_row_has_room_for_the_placeholders_of_its_sentence(length: int, ratio: float) -> None:
    count = max(1, round(ratio * length))
    total = length + count + SINGLE_SPECIALS
    assume(total <= backtranslate.ROW_LENGTHS[-1])
    row = min(row for row in backtranslate.ROW_LENGTHS if row >= total)
    assert count <= backtranslate.most_placeholders(row, ratio) < row


def test_targets_are_the_directions_seen_in_parallel_text() -> None:
    settings = BacktranslateJob(pairs=PAIRS)
    seen = {"en": ["de", "el"], "de": ["en"], "el": ["en"]}
    assert targets_of(LANGUAGES, settings) == seen
    assert targets_of((*LANGUAGES, "fr"), settings) == seen, "French has no pair"
    every = BacktranslateJob(pairs=PAIRS, directions="all")
    assert targets_of(LANGUAGES, every) == seen | {"de": ["en", "el"], "el": ["en", "de"]}
    only = BacktranslateJob(pairs=PAIRS, target_languages=("en",))
    assert targets_of(LANGUAGES, only) == {"de": ["en"], "el": ["en"]}
    with pytest.raises(UserError, match="xx"):
        targets_of(LANGUAGES, BacktranslateJob(pairs=PAIRS, target_languages=("xx",)))
    with pytest.raises(UserError, match="No language"):
        targets_of(LANGUAGES, BacktranslateJob(pairs=()))


def test_a_target_is_drawn_by_the_key_alone() -> None:
    keys = np.arange(3000, dtype=np.uint64)
    source = np.zeros(3000, dtype=np.int64)
    target = backtranslate.choose_targets(keys, source, [[1, 2], [0], [0]], 1)
    assert len(target) == 3000 and 0.45 < (target == 1).mean() < 0.55
    again = backtranslate.choose_targets(keys[::-1], source, [[1, 2], [0], [0]], 1)
    assert again.tolist() == target[::-1].tolist()


def test_a_damaged_file_of_pseudo_tokens_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pseudo.safetensors"
    tokens = Ragged(np.arange(6, dtype=np.uint16), np.array([0, 2, 6]))
    keys = np.array([1, 2], dtype=np.uint64)
    pseudo = Pseudo(np.array([3, 9]), keys, np.array([0, 1]), tokens, 0.15, ("en", "de"), 8, 3)
    write_pseudo(path, pseudo)
    languages = ["en", "de"]
    read = read_pseudo(path, 6, languages)
    assert read.tokens[1].tolist() == [2, 3, 4, 5] and read.numbers.tolist() == [3, 9]
    assert (read.ratio, read.languages, read.train, read.valid) == (0.15, ("en", "de"), 8, 3)
    whole = path.read_bytes()
    for _ in range(8):  # the library writes several facts in any order
        write_pseudo(path, pseudo)
        assert path.read_bytes() == whole
    for wrong in (
        {"numbers": np.array([9, 3])},
        {"numbers": np.array([3, 11])},
        {"numbers": np.array([3.0, 9.0])},
        {"keys": keys[:1]},
        {"target": np.array([0, 2])},
        {"tokens": Ragged(tokens.tokens, np.array([0, 7, 6]))},
        {"tokens": Ragged(tokens.tokens, np.array([0, 6]))},
        {"tokens": Ragged(tokens.tokens + 1, tokens.offsets)},
        {"tokens": Ragged(tokens.tokens.astype(np.int64) - 1, tokens.offsets)},
        {"ratio": 1e9},
        {"ratio": float("nan")},
        {"train": -1},
        {"languages": ("en", "fr")},
    ):
        write_pseudo(path, replace(pseudo, **wrong))
        with pytest.raises(UserError, match="is not a whole file of pseudo tokens"):
            read_pseudo(path, 6, languages)
    path.write_bytes(whole[:-3])
    with pytest.raises(UserError, match="is not a whole file of pseudo tokens"):
        read_pseudo(path, 6, languages)
    path.write_bytes(whole)
    other = replace(read, numbers=read.numbers + 10, train=90)
    check_chunks([replace(read, train=90), other])
    for chunks in ([read, other], [other, replace(read, train=90)]):
        with pytest.raises(UserError, match="not chunks of one text"):
            check_chunks(chunks)
