import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.model.packing import first_documents, pack, sentences

SEQUENCES = st.lists(st.lists(st.integers(4, 50), min_size=1, max_size=12), min_size=1, max_size=20)


@given(SEQUENCES, st.integers(12, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_token_is_in_its_place(
    sequences: list[list[int]], row_length: int, alone: bool
) -> None:
    packed = pack(sentences(sequences, [0] * len(sequences)), row_length, one_per_row=alone)
    flat = packed.flat_index()
    assert packed.ids.flatten()[flat].tolist() == [t for s in sequences for t in s]
    assert packed.positions.flatten()[flat].tolist() == [
        i for s in sequences for i in range(len(s))
    ]
    assert int((packed.documents >= 0).sum()) == len(flat)
    for sequence, row, start in zip(sequences, packed.rows, packed.starts, strict=True):
        assert packed.ids[row, start : start + len(sequence)].tolist() == sequence


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(12, 40))
@settings(max_examples=100, deadline=None)
def test_rows_are_filled_one_after_the_other(lengths: list[int], row_length: int) -> None:
    firsts, filled = [], row_length
    for number, length in enumerate(lengths):
        if filled + length > row_length:
            firsts.append(number)
            filled = 0
        filled += length
    assert first_documents(np.array(lengths), row_length).tolist() == [*firsts, len(lengths)]


@given(SEQUENCES)
@settings(max_examples=30, deadline=None)
def test_take_reorders_whole_documents(sequences: list[list[int]]) -> None:
    documents = sentences(sequences, list(range(len(sequences))))
    order = np.argsort(documents.lengths, kind="stable")
    taken = documents.take(order)
    assert taken.ids.tolist() == [t for i in order for t in sequences[i]]
    assert taken.languages.tolist() == [i for i in order for _ in sequences[i]]


def test_a_document_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 4 tokens"):
        pack(sentences([[5] * 5], [0]), 4)


def test_documents_of_a_row_are_numbered_apart() -> None:
    packed = pack(sentences([[5, 6], [7], [8, 9]], [0, 0, 0]), 4)
    assert packed.documents.tolist() == [[0, 0, 1, -1], [0, 0, -1, -1]]
    assert torch.equal(packed.ids[0], torch.tensor([5, 6, 7, 1]))
