"""What a sentence gets depends on it, the model and the seed alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ernie_m.config.pretrain import BacktranslateJob
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.model.checkpoint import load
from ernie_m.model.packing import pack
from ernie_m.objectives.lengths import SINGLE_SPECIALS, longest
from ernie_m.objectives.objectives import placeholders
from ernie_m.pretrain import backtranslate
from ernie_m.ragged import Ragged
from ernie_m.training import corpora
from ernie_m.training.pseudo import Pseudo, read_pseudo
from tests.pretrain.conftest import LANGUAGES, TOKENIZER, VOCABULARY, write_corpus

PAIRS = ("en-de", "en-el")


def generate(
    job: Callable[..., Job[Any]], shards: list[Path], model: Path, chunks: int, folder: str
) -> dict[int, tuple[int, list[int]]]:
    """Key to (language, pseudo tokens), over all chunks."""
    found: dict[int, tuple[int, list[int]]] = {}
    for chunk in range(chunks):
        made = job(
            "ernie_m.pretrain.backtranslate",
            BacktranslateJob(chunks=chunks, placeholder_ratio=0.5, pairs=PAIRS, row_length=34),
            {"model": model, "shards": shards},
            ["pseudo", "stats"],
            folder=f"{folder}-{chunk}",
            instance=f"ernie_m/{chunk}",
        )
        backtranslate.run(made)
        pseudo = read_pseudo(made.output("pseudo"))
        for i, key in enumerate(pseudo.keys.tolist()):
            found[key] = (int(pseudo.language[i]), pseudo.tokens[i].tolist())
    return found


def test_content_does_not_depend_on_chunks_or_shards(
    job: Callable[..., Job[Any]], model_file: Path, tmp_path: Path
) -> None:
    few = write_corpus(tmp_path / "few", 1)["mono"]
    many = write_corpus(tmp_path / "many", 5)["mono"]
    whole = generate(job, few, model_file, 1, "a")
    assert len(whole) == 3 * 72
    assert generate(job, few, model_file, 4, "b") == whole
    assert generate(job, many[::-1], model_file, 3, "c") == whole


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


@given(length=st.integers(1, 440), ratio=st.floats(0.01, 2))
def test_a_row_has_room_for_the_placeholders_of_its_sentence(length: int, ratio: float) -> None:
    count = max(1, round(ratio * length))
    total = length + count + SINGLE_SPECIALS
    assume(total <= backtranslate.ROW_LENGTHS[-1])
    row = min(row for row in backtranslate.ROW_LENGTHS if row >= total)
    assert count <= backtranslate.most_placeholders(row, ratio) < row


def test_targets_are_the_directions_seen_in_parallel_text() -> None:
    settings = BacktranslateJob(pairs=PAIRS)
    assert backtranslate.targets_of(LANGUAGES, settings) == [[1, 2], [0], [0]]
    every = BacktranslateJob(pairs=PAIRS, directions="all")
    assert backtranslate.targets_of(LANGUAGES, every) == [[1, 2], [0, 2], [0, 1]]
    only = BacktranslateJob(pairs=PAIRS, target_languages=("en",))
    assert backtranslate.targets_of(LANGUAGES, only) == [[], [0], [0]]
    with pytest.raises(UserError, match="xx"):
        backtranslate.targets_of(LANGUAGES, BacktranslateJob(pairs=PAIRS, target_languages=("xx",)))


def test_a_target_is_drawn_by_the_key_alone() -> None:
    keys = np.arange(3000, dtype=np.uint64)
    language = np.zeros(3000, dtype=np.int64)
    index, target = backtranslate.choose_targets(keys, language, [[1, 2], [0], [0]], 1)
    assert len(index) == 3000 and 0.45 < (target == 1).mean() < 0.55
    _, again = backtranslate.choose_targets(keys[::-1], language, [[1, 2], [0], [0]], 1)
    assert again.tolist() == target[::-1].tolist()


def test_pseudo_tokens_find_their_sentences(model_file: Path, tmp_path: Path, job: Any) -> None:
    mono = write_corpus(tmp_path / "corpus", 2)["mono"]
    shards = corpora.read_shards(mono, 1, TOKENIZER)
    text = corpora.monolingual(shards, LANGUAGES, longest("btmlm", 34, 0.5))
    made = generate(job, mono, model_file, 2, "g")
    files = sorted(tmp_path.glob("g-*/.partial-pseudo"))
    paired = corpora.pseudo_texts(shards, files, LANGUAGES, 34)
    assert paired.sizes.tolist() == text.sizes.tolist()
    for i, key in enumerate(np.concatenate(text.keys).tolist()):
        assert (int(paired.spoken[i]), paired.target[i].tolist()) == made[key]


def test_a_damaged_file_of_pseudo_tokens_is_refused(tmp_path: Path) -> None:
    from ernie_m.training.pseudo import write_pseudo

    path = tmp_path / "pseudo.safetensors"
    tokens = Ragged(np.arange(6), np.array([0, 2, 6]))
    write_pseudo(path, Pseudo(np.array([1, 2], dtype=np.uint64), np.array([0, 1]), tokens, 0.15))
    assert read_pseudo(path).tokens[1].tolist() == [2, 3, 4, 5]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="pseudo tokens"):
        read_pseudo(path)
