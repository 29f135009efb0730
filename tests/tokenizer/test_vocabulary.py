"""XLM-R's id layout, and offsets into the text as it was written."""

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.errors import UserError
from ernie_m.tokenizer.vocabulary import Tokenizer


def test_ids_are_laid_out_as_in_xlm_r(tokenizer, model):
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert (own.unk_id(), own.bos_id(), own.eos_id()) == (0, 1, 2)
    assert tokenizer.size == len(own) + 2
    assert tokenizer.mask_id == tokenizer.size - 1
    assert [tokenizer.piece(i) for i in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert tokenizer.piece(tokenizer.mask_id) == "<mask>"
    assert [tokenizer.piece(i) for i in range(4, tokenizer.mask_id)] == [
        own.id_to_piece(i) for i in range(3, len(own))
    ]


def test_no_text_gives_a_special_id_but_unknown(tokenizer):
    (ids,) = tokenizer.encode(["<s> <pad> </s> <mask> ☃"])
    assert not {0, 1, 2, tokenizer.mask_id} & set(ids)
    assert tokenizer.unk_id in ids


def test_decoding_undoes_encoding(tokenizer):
    text = "Bakelimo nukeba"
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode([0, *ids, 2, 1, 1, tokenizer.mask_id]) == text


def test_blocks_and_threads_change_nothing(tokenizer, monkeypatch):
    texts = [f"Bakelimo {n} 设备名称" for n in range(50)]
    whole = tokenizer.encode(texts)
    monkeypatch.setattr("ernie_m.tokenizer.vocabulary.BLOCK", 7)
    assert tokenizer.encode(texts, threads=3) == whole
    assert [ids for ids, _ in tokenizer.encode_with_offsets(texts, threads=3)] == whole
    arrays = tokenizer.encode_ragged(texts, threads=3)
    assert [ids.tolist() for ids in arrays] == whole
    assert arrays.tokens.dtype == np.uint16
    assert len(tokenizer.encode_ragged([])) == len(tokenizer.encode([])) == 0


SIGNS = st.text(st.sampled_from("bakeli 设备шабо  ﬁ①Ｈé…½\u0301가ㅎ\u3000☃"), max_size=30)


@given(SIGNS)
def test_offsets_index_the_text_as_it_was_written(tokenizer, text):
    ((ids, spans),) = tokenizer.encode_with_offsets([text])
    assert [ids] == tokenizer.encode([text])
    assert len(ids) == len(spans)
    last = 0
    for start, end in spans:
        assert 0 <= start <= end <= len(text)
        assert start >= last or start == end
        assert not text[start:end][:1].isspace()
        last = max(last, end)
    covered = {place for start, end in spans for place in range(start, end)}
    assert {place for place, sign in enumerate(text) if not sign.isspace()} <= covered


def test_offsets_of_words(tokenizer):
    text = "  ﬁ  Bakelimo ①设备"
    ((ids, spans),) = tokenizer.encode_with_offsets([text])
    start = text.index("Bakelimo")
    inside = [i for i, (a, b) in zip(ids, spans, strict=True) if start <= a < b <= start + 8]
    assert tokenizer.decode(inside) == "Bakelimo"


def test_every_word_has_a_piece(tokenizer):
    words = ["Bakelimo", "\u200b", "设备"]
    assert all(tokenizer.encode_words(words))
    assert len(tokenizer.encode_words(words)) == len(words)


def test_scores_are_log_probabilities_of_ids(tokenizer):
    scores = tokenizer.log_probabilities()
    assert len(scores) == tokenizer.size
    assert max(scores) <= 0 and scores[0] == min(scores)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "spm.model"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match="is not a SentencePiece model"):
        Tokenizer(path)
