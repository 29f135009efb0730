import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.model.attention import Stream
from ernie_m.model.packing import IGNORE_INDEX
from ernie_m.objectives import OBJECTIVES, objectives
from ernie_m.objectives.draws import Purpose, bits, uniform
from ernie_m.objectives.layout import BOS_ID, EOS_ID, pair, single
from ernie_m.objectives.lengths import max_text_tokens, slots
from ernie_m.objectives.masking import corrupt, replacement_counts, select
from ernie_m.objectives.objectives import Masking
from ernie_m.ragged import Ragged

MASK = 99
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def ragged(lengths: list[int], first: int = 4) -> Ragged:
    tokens = first + np.arange(sum(lengths)) % 40
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths)]))


def keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def masking(**changes) -> Masking:
    values = {
        "mask_id": MASK,
        "ratio": dict.fromkeys(OBJECTIVES, 0.3),
        "random_share": 0.1,
        "keep_share": 0.1,
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


def test_random_numbers_are_those_of_splitmix64() -> None:
    """The first five of seed 1234567, as its authors' C code gives them."""
    seed = np.array([1234567], dtype=np.uint64)
    assert [int(bits(seed, purpose)[0]) for purpose in Purpose] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(LENGTHS, st.floats(0.05, 0.95), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_counts_of_replaced_tokens(lengths: list[int], ratio: float, seed: int) -> None:
    sizes, sentence = np.array(lengths), np.repeat(np.arange(len(lengths)), lengths)
    wanted = replacement_counts(sizes, ratio, uniform(keys(len(lengths), seed), Purpose.COUNT))
    chosen = select(keys(len(sentence), seed + 1), sizes, wanted)
    assert len(set(chosen.tolist())) == len(chosen)
    for number, length in enumerate(lengths):
        count = int((sentence[chosen] == number).sum())
        assert count == wanted[number]
        if length == 1:
            assert count in (0, 1)
        else:
            low, high = np.floor(ratio * length), np.floor(ratio * length) + 1
            assert min(max(1, low), length - 1) <= count <= max(1, min(high, length - 1))


@given(LENGTHS, LENGTHS, st.floats(0.01, 1), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_camlm_keeps_both_sentences_whole_and_adds_slots(
    first: list[int], second: list[int], ratio: float, seed: int
) -> None:
    count = min(len(first), len(second))
    source, target = ragged(first[:count]), ragged(second[:count], first=50)
    languages = (np.zeros(count, int), np.ones(count, int))
    own = masking(ratio=dict.fromkeys(OBJECTIVES, ratio))
    docs = objectives.camlm(source, target, languages, np.arange(count), own, keys(count, seed))
    layout = pair(source, target, *languages, "continuous")
    slot = docs.labels != IGNORE_INDEX
    assert docs.ids[~slot].tolist() == layout.ids.tolist()
    assert docs.positions[~slot].tolist() == layout.positions.tolist()
    assert (docs.ids[slot] == MASK).all()
    owner = np.repeat(np.arange(count), docs.lengths)
    tokens = list(zip(layout.document, layout.languages, layout.positions, strict=True))
    restored = dict(zip(tokens, layout.ids, strict=True))
    places = list(zip(owner[slot], docs.languages[slot], docs.positions[slot], strict=True))
    assert len(set(places)) == len(places)
    assert [restored[place] for place in places] == docs.labels[slot].tolist()
    for number in range(count):
        for language, lengths in ((0, first), (1, second)):
            found = int((slot & (owner == number) & (docs.languages == language)).sum())
            assert found == max(1, round(ratio * lengths[number]))


def test_mask_proportions_over_many_tokens() -> None:
    ids = np.random.default_rng(0).integers(4, MASK, 100_000)
    sentence, place = np.divmod(np.arange(100_000), 20)
    own, sizes = keys(5000), np.full(5000, 20)
    wanted = replacement_counts(sizes, 0.15, uniform(own, Purpose.COUNT))
    where = select(bits(own[sentence], Purpose.CHOOSE, place), sizes, wanted)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[where] = True
    seen = corrupt(ids, where, MASK, 0.1, 0.1, own[sentence[where]], place[where])
    by_place = np.bincount(place[where], minlength=20) / len(where)
    assert abs(by_place - 1 / 20).max() < 0.006
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
        own = keys(count, seed)
        if name == "mmlm":
            docs = objectives.mmlm(source, both[0], group, masking(), own)
        else:
            docs = getattr(objectives, name)(source, target, both, group, masking(), own)
        scored = docs.labels != IGNORE_INDEX
        special = np.isin(docs.ids, [BOS_ID, EOS_ID])
        assert not (scored & special).any()
        assert (scored == (docs.streams >= Stream.SOURCE_SLOT)).all()
        if name == "camlm":
            assert (docs.ids[scored] == MASK).all()
        if name == "btmlm":
            assert not (scored & (docs.languages == 1)).any()


def test_placeholders_stand_behind_the_whole_sentence() -> None:
    both = (np.zeros(1, int), np.ones(1, int))
    docs = objectives.placeholders(ragged([3]), np.array([2]), both, MASK, "continuous")
    assert docs.ids.tolist() == [0, 4, 5, 6, 2, MASK, MASK]
    assert docs.streams.tolist() == [0, 0, 0, 0, 0, 3, 3]
    assert docs.positions.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert docs.languages.tolist() == [0, 0, 0, 0, 0, 1, 1]
    reset = objectives.placeholders(ragged([3]), np.array([2]), both, MASK, "reset")
    assert reset.positions.tolist() == [0, 1, 2, 3, 4, 1, 2]


@given(st.integers(16, 600), st.floats(0.01, 2))
@settings(max_examples=200, deadline=None)
def test_the_longest_text_fits_and_the_next_does_not(row_length: int, ratio: float) -> None:
    def example(objective: str, length: int) -> int:
        """Tokens of an example, counted in its layout."""
        text, other = ragged([length]), ragged([length])
        zero = np.zeros(1, int)
        own = masking(ratio=dict.fromkeys(OBJECTIVES, ratio))
        if objective == "mmlm":
            return len(single(text, zero).ids)
        if objective == "camlm":
            docs = objectives.camlm(text, other, (zero, zero), zero, own, keys(1))
            return int(docs.lengths[0])
        made = ragged([int(slots(np.array([length]), ratio)[0])]) if objective == "btmlm" else other
        return len(pair(text, made, zero, zero, "reset").ids)

    for objective in OBJECTIVES:
        if objective == "camlm" and ratio > 1:
            continue
        most = max_text_tokens(objective, row_length, ratio)
        if most:
            assert example(objective, most) <= row_length
        assert example(objective, most + 1) > row_length


def test_texts_longer_than_half_a_row() -> None:
    """What a row of 512 has room for, worked out by hand."""
    assert max_text_tokens("mmlm", 512) == 510
    assert max_text_tokens("tlm", 512) == 254
    assert (
        max_text_tokens("camlm", 512, 0.4) == 181
    )  # 2 (181 + 72) + 4 = 510; one more is 2 (182 + 73) + 4
    assert max_text_tokens("btmlm", 512, 0.15) == 442  # 442 + 66 + 4
