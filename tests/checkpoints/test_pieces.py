"""Vocabularies keep their meaning when they are trimmed or change form."""

import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.checkpoints.tokenizer_json import tokenizer_json
from ernie_m.foreign.adopt import adopt
from ernie_m.foreign.weights import read_foreign
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer import pieces
from ernie_m.tokenizer.vocabulary import UNK, Tokenizer

from .conftest import LANGUAGES, shape_for, states, text

CHOSEN = ("de", "ru", "ja")


def lines_of(languages, seed=0):
    return [line for language in languages for line in text(language, 30, seed)]


def trimmed(source, tmp_path) -> Tokenizer:
    path = tmp_path / "trimmed.model"
    path.write_bytes(pieces.vocabulary_of(source, [lines_of([code]) for code in CHOSEN], 1))
    return Tokenizer(path)


def cut(tokenizer: Tokenizer, lines: list[str]) -> list[list[str]]:
    return [[tokenizer.piece(i) for i in ids] for ids in tokenizer.encode(lines)]


def test_text_of_kept_pieces_is_cut_as_before(source, tokenizer, tmp_path) -> None:
    small = trimmed(source, tmp_path)
    assert small.size < 0.7 * tokenizer.size
    kept = {small.piece(index) for index in range(small.size)}
    unseen = lines_of(LANGUAGES, seed=11)
    whole = cut(tokenizer, unseen)
    told = [(line, own) for line, own in zip(unseen, whole, strict=True) if set(own) <= kept]
    assert 30 < len(told) < len(unseen), "of both kinds there is something"
    assert cut(small, [line for line, _ in told]) == [own for _, own in told]
    assert cut(small, lines_of(CHOSEN)) == cut(tokenizer, lines_of(CHOSEN))


@settings(max_examples=40, deadline=None)
@given(used=st.sets(st.integers(3, 899), min_size=1), data=st.data())
def test_whatever_is_kept_is_cut_as_before(used, data, tokenizer, source) -> None:
    proto = pieces.read_proto(source / "sentencepiece.bpe.model")
    small = sentencepiece.SentencePieceProcessor(
        model_proto=pieces.trim(proto, used).SerializeToString()
    )
    whole = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    kept = data.draw(st.lists(st.sampled_from(sorted(used)), min_size=1, max_size=8))
    line = whole.decode(kept)
    found = whole.encode(line, out_type=str)
    known = {small.id_to_piece(index) for index in range(len(small))}
    if set(found) <= known:
        assert small.encode(line, out_type=str) == found


def test_a_trimmed_model_computes_what_the_whole_one_does(source, tokenizer, tmp_path) -> None:
    small = trimmed(source, tmp_path)
    lines = lines_of(CHOSEN)[::9]
    found = []
    for own in (tokenizer, small):
        model = LanguageModel(shape_for(own)).eval()
        torch.nn.init.zeros_(model.encoder.embeddings.language.weight)
        adopt(model, own, source)
        documents = [[0, *ids[:50], 2] for ids in own.encode(lines)]
        found.append(states(model, documents, [0] * len(lines), alone=True))
    rows = torch.tensor(
        [
            pieces.row_indices([small.piece(i)], read_foreign(source).vocabulary, source)[0]
            for i in range(small.size)
        ]
    )
    for number in range(len(lines)):
        assert torch.equal(found[0][0][-1][number], found[1][0][-1][number])
        torch.testing.assert_close(
            found[0][1][number][:, rows], found[1][1][number], rtol=0.0, atol=1e-5
        )


def test_unknown_characters_cost_the_same_after_trimming(source, tokenizer, tmp_path) -> None:
    small = trimmed(source, tmp_path)
    lines = [line.replace(" ", " ᚠᚢ ") for line in lines_of(CHOSEN)]
    assert sum(ids.count(UNK) for ids in small.encode(lines)) > 50
    assert cut(small, lines) == cut(tokenizer, lines)


def test_the_vocabulary_of_a_tokenizer_json_cuts_alike(source, tokenizer, tmp_path) -> None:
    import json

    content = tokenizer_json(pieces.read_proto(source / "sentencepiece.bpe.model"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    proto = pieces.read_proto(tmp_path / "tokenizer.json")
    (tmp_path / "spm.model").write_bytes(proto.SerializeToString())
    again = Tokenizer(tmp_path / "spm.model")
    lines = lines_of(LANGUAGES, seed=4)
    assert again.encode(lines) == tokenizer.encode(lines)
