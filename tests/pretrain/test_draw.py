"""What is drawn is what stage 2 reads, and no more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.objectives.lengths import max_text_tokens
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.shards import read_shard
from ernie_m.training import order
from ernie_m.training.drawn import DrawnText, DrawnWriter, Numbered, check_ids, read_drawn
from tests.pretrain.conftest import LANGUAGES, TOKENIZER, VOCABULARY, write_corpus
from tests.pretrain.test_backtranslate import READS, draw_sentences

OF = Numbered(("en", "de"), 8, 3, "t" * 64)


def read(path: Path) -> DrawnText:
    return read_drawn(path, LANGUAGES, TOKENIZER)


@pytest.mark.parametrize("block", [7, 2**14])
def test_it_has_the_sentences_of_every_step_and_of_the_validation(
    job: Callable[..., Job[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("ernie_m.pretrain.draw.BLOCK", block)
    corpus = write_corpus(tmp_path / "corpus", 3)
    found = read(draw_sentences(job, corpus, "a", READS))
    sentences = [  # as they are numbered: by part, then by language
        (language, int(shard.keys[i]), shard.sides[0][i].tolist())
        for part in ("train", "valid")
        for number, language in enumerate(LANGUAGES)
        for path in corpus[part]
        for shard in [read_shard(path)]
        if shard.languages == (language,)
        for i in range(len(shard))
    ]
    assert (found.of.train, found.of.valid) == (180, 36) and len(sentences) == 216
    longest = max_text_tokens("btmlm", READS.row_length, 0.5)
    sizes = Ragged.of([tokens[:longest] for _, _, tokens in sentences[:180]], VOCABULARY)
    rows, counts = np.zeros((3, 2), dtype=np.int64), np.full(3, 60)
    texts = order.Texts(sizes, Halves(sizes), rows, counts, LANGUAGES)
    drawn = order.DataOrder("btmlm", texts, 100, READS.alpha, 1, stage=2)
    steps = {int(n) for step in range(READS.steps) for n in drawn.at(step).index}
    held = {180 + 12 * number + n for number in range(3) for n in np.linspace(0, 11, 4).astype(int)}
    assert found.numbers.tolist() == sorted(steps | held)
    for i, number in enumerate(found.numbers):
        own = LANGUAGES[found.language[i]], int(found.keys[i]), found.tokens[i].tolist()
        language, key, tokens = sentences[number]
        assert own == (language, key, tokens[:longest])


class Halves:
    """A pseudo token for two of a sentence's tokens, at least one: lengths only."""

    def __init__(self, sentences: Ragged) -> None:
        self.sentences = sentences

    def lengths_of(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([max(1, round(0.5 * n)) for n in self.sentences.lengths_of(numbers)])


def test_shards_of_two_tokenizers_are_refused(job: Callable[..., Job[Any]], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 1)
    other = corpus["valid"][0]
    other.write_bytes(other.read_bytes().replace(b"tttt", b"uuuu"))
    with pytest.raises(UserError, match=f"{other.name} was encoded with tokenizer uuuu"):
        draw_sentences(job, corpus, "a", READS)


def test_text_of_another_model_is_refused(job: Callable[..., Job[Any]], tmp_path: Path) -> None:
    path = draw_sentences(job, write_corpus(tmp_path / "corpus", 1), "a", READS)
    for languages, tokenizer in ((LANGUAGES[::-1], TOKENIZER), (LANGUAGES, "u" * 64)):
        with pytest.raises(UserError, match="other languages or of another tokenizer"):
            read_drawn(path, languages, tokenizer)
    with pytest.raises(UserError, match="it has the id"):
        check_ids(path, read(path), 40)


def write(path: Path, **changes: Any) -> None:
    arrays = {
        "numbers": np.array([3, 9]),
        "keys": np.array([1, 2], dtype=np.uint64),
        "language": np.array([0, 1]),
        "tokens": Ragged(np.arange(6, dtype=np.uint16), np.array([0, 2, 6])),
    }
    with DrawnWriter(path, changes.pop("of", OF)) as writer:
        writer.add(**arrays | changes)


def test_a_part_is_as_the_whole(tmp_path: Path) -> None:
    write(tmp_path / "file")
    whole = read_drawn(tmp_path / "file", OF.languages, OF.tokenizer)
    assert [whole.tokens[i].tolist() for i in range(2)] == [[0, 1], [2, 3, 4, 5]]
    last = whole.part(1, 2)
    assert (last.numbers.tolist(), last.keys.tolist(), last.language.tolist()) == ([9], [2], [1])
    assert last.tokens[0].tolist() == [2, 3, 4, 5] and len(last.tokens.tokens) == 4
    assert len(whole.part(2, 2)) == len(whole.part(2, 2).tokens) == 0


WRONG: dict[str, dict[str, Any]] = {
    "numbers that fall": {"numbers": np.array([9, 3])},
    "numbers of no sentences": {"numbers": np.array([3, 11])},
    "numbers of another type": {"numbers": np.array([3, 9], dtype=np.uint64)},
    "a key too few": {"keys": np.array([1], dtype=np.uint64)},
    "a language without a name": {"language": np.array([0, 2])},
    "offsets that fall": {"tokens": Ragged(np.arange(6, dtype=np.uint16), np.array([0, 7, 6]))},
    "an offset too few": {"tokens": Ragged(np.arange(6, dtype=np.uint16), np.array([0, 6]))},
    "counts below 0": {"of": replace(OF, train=-9)},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    write(path, **WRONG[name])
    with pytest.raises(UserError, match="is not a whole file of drawn sentences"):
        read_drawn(path, OF.languages, OF.tokenizer)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not a whole file of drawn sentences"):
        read_drawn(path, OF.languages, OF.tokenizer)
