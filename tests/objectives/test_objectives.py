import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.model.attention import Stream, Table
from ernie_m.model.packing import NOT_SCORED
from ernie_m.objectives import objectives
from ernie_m.objectives.layout import BOS_ID, EOS_ID, pair, single
from ernie_m.objectives.masking import corrupt, select
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Ragged

MASK = 99
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def ragged(lengths: list[int], first: int = 4) -> Ragged:
    tokens = first + np.arange(sum(lengths)) % 40
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths)]))


def masking(**changes) -> Masking:
    values = {
        "mask_id": MASK,
        "ratio": dict.fromkeys(objectives.OBJECTIVES, 0.3),
        "random_share": 0.1,
        "keep_share": 0.1,
        "camlm_words": False,
        "camlm_sides": "both",
        "camlm_visible_rows": "own",
        "pair_positions": "continuous",
    }
    return Masking(**{**values, **changes})


def test_pair_layout_is_written_out_right() -> None:
    source, target = ragged([2, 1]), ragged([1, 3], first=60)
    zero, one = np.zeros(2, int), np.ones(2, int)
    layout = pair(source, target, zero, one, "continuous")
    assert layout.ids.tolist() == [0, 4, 5, 2, 2, 60, 2, 0, 6, 2, 2, 61, 62, 63, 2]
    assert layout.positions.tolist() == [*range(7), *range(8)]
    assert layout.target.astype(int).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    assert layout.languages.tolist() == layout.target.astype(int).tolist()
    reset = pair(source, target, zero, one, "reset")
    assert reset.positions.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4]


def test_single_layout_is_written_out_right() -> None:
    layout = single(ragged([2, 1]), np.array([3, 5]))
    assert layout.ids.tolist() == [0, 4, 5, 2, 0, 6, 2]
    assert layout.special.astype(int).tolist() == [1, 0, 0, 1, 1, 0, 1]
    assert layout.languages.tolist() == [3, 3, 3, 3, 5, 5, 5]


@given(LENGTHS, st.floats(0.05, 0.95), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_selection_counts(lengths: list[int], ratio: float, seed: int) -> None:
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    candidate = np.ones(len(sentence), dtype=bool)
    chosen = select(sentence, candidate, ratio, np.random.default_rng(seed))
    for number, length in enumerate(lengths):
        count = int(chosen[sentence == number].sum())
        if length == 1:
            assert count in (0, 1)
        else:
            assert 1 <= count <= length - 1
            low, high = np.floor(ratio * length), np.floor(ratio * length) + 1
            assert min(max(1, low), length - 1) <= count <= max(1, min(high, length - 1))


def test_mask_proportions_over_many_tokens() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(4, MASK, 100_000)
    sentence = np.repeat(np.arange(5000), 20)
    chosen = select(sentence, np.ones(len(ids), dtype=bool), 0.15, rng)
    seen = corrupt(ids, chosen, MASK, 0.1, 0.1, rng)
    assert abs(chosen.mean() - 0.15) < 0.002
    assert (seen[~chosen] == ids[~chosen]).all()
    masked, kept = (seen[chosen] == MASK).mean(), (seen[chosen] == ids[chosen]).mean()
    assert abs(masked - 0.8) < 0.01
    # A random piece is the true one once in 95 draws.
    assert abs(kept - 0.1 - 0.1 / 95) < 0.01
    assert seen[chosen].min() >= 4


@given(LENGTHS, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_no_label_outside_selected_positions(lengths: list[int], seed: int) -> None:
    source, target = ragged(lengths), ragged(lengths[::-1], first=50)
    count = len(lengths)
    both = (np.zeros(count, int), np.ones(count, int))
    group = np.zeros(count, int)
    for name in ("mmlm", "tlm", "camlm", "btmlm"):
        rng = np.random.default_rng(seed)
        if name == "mmlm":
            docs = objectives.mmlm(source, both[0], group, masking(), rng)
        else:
            docs = getattr(objectives, name)(source, target, both, group, masking(), rng)
        scored = docs.labels != NOT_SCORED
        special = np.isin(docs.ids, [BOS_ID, EOS_ID])
        assert not (scored & special).any()
        assert (scored == (docs.streams >= Stream.MASKED_SOURCE)).all()
        if name == "camlm":
            assert (docs.ids[scored] == MASK).all()
        if name == "btmlm":
            assert not (scored & (docs.languages == 1)).any()


def test_camlm_with_words_takes_the_diagonal_table() -> None:
    source, target = ragged([9] * 50), ragged([9] * 50, first=50)
    both = (np.zeros(50, int), np.ones(50, int))
    rng = np.random.default_rng(1)
    docs = objectives.camlm(source, target, both, both[0], masking(camlm_words=True), rng)
    scored = docs.labels != NOT_SCORED
    assert (docs.ids[scored] == docs.labels[scored]).any()
    assert set(docs.table) == {Table.CROSS_OWN_WORDS}


def test_placeholders_stand_behind_the_whole_sentence() -> None:
    both = (np.zeros(1, int), np.ones(1, int))
    docs = objectives.placeholders(ragged([3]), np.array([2]), both, MASK, "continuous")
    assert docs.ids.tolist() == [0, 4, 5, 6, 2, 2, MASK, MASK, 2]
    assert docs.streams.tolist() == [0, 0, 0, 0, 0, 1, 3, 3, 1]
    assert docs.languages.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_camlm_may_mask_one_side_only() -> None:
    both = (np.zeros(2, int), np.ones(2, int))
    rng = np.random.default_rng(1)
    docs = objectives.camlm(
        ragged([5, 1]), ragged([4, 6], first=50), both, both[0], masking(camlm_sides="one"), rng
    )
    scored = docs.labels != NOT_SCORED
    assert scored.any() and (docs.languages[scored] == 1).all()
