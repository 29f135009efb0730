"""What must hold however rows are dealt: nothing held out is trained on, nothing is said twice."""

import json
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.corpora.duplicates import MinHashIndex, band_hashes, jaccard, near_duplicates, shingles
from ernie_m.corpora.tables import read_table
from ernie_m.corpora.text import comparable
from ernie_m.errors import UserError
from tests.corpora.synthetic import (
    LANGUAGES,
    PAIRS,
    deal_rows,
    filter_rows,
    kept_rows,
    write_rows,
)

THRESHOLD = 0.8


def held_out_keys(folder):
    return {
        comparable(text)
        for part in ("valid", "test")
        for code in LANGUAGES
        for text in read_table(folder / f"rows-{part}-{code}.parquet", ["text"])[0]
    }


def training(folder):
    """(file, language, id, text) of everything that is selected to train on."""
    for code in LANGUAGES:
        ids, texts = read_table(folder / f"mono-{code}/train.parquet", ["id", "text"])
        yield from ((f"mono-{code}", code, *row) for row in zip(ids, texts, strict=True))
    for pair in PAIRS:
        ids, *sides = read_table(
            folder / f"parallel-{pair}/train.parquet", ["id", "source", "target"]
        )
        for code, texts in zip(pair.split("-"), sides, strict=True):
            yield from ((f"parallel-{pair}", code, *row) for row in zip(ids, texts, strict=True))


def ids_of(folder, name):
    return set(read_table(folder / f"{name}/train.parquet", ["id"])[0])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_held_out_is_trained_on_in_any_language(filtered, tmp_path, seed):
    folder = deal_rows(filtered, tmp_path, seed)
    held = held_out_keys(folder)
    held_shingles = [shingles(key) for key in sorted(held)]
    trained = {comparable(text) for *_, text in training(folder)}
    assert trained and not trained & held
    for key in sorted(trained)[::7]:
        own = shingles(key)
        assert max(jaccard(own, other) for other in held_shingles) < THRESHOLD


def test_a_held_out_text_drops_its_id_in_every_language(division):
    """`Host` is said in all groups: no language keeps it, whatever its translation."""
    for name in ("host", "near"):
        assert not [row for row in training(division) if row[2].endswith(f".{name}")]
    dropped = json.loads((division / "stats.json").read_text())["languages"]["zh"]["dropped"]
    assert dropped["held out"] > 0


def test_parts_are_disjoint_in_meaning(division):
    english: dict[str, str] = {}
    for part in ("train", "valid", "test"):
        ids, texts = read_table(division / f"rows-{part}-en.parquet", ["id", "text"])
        english.update(zip(ids, map(comparable, texts), strict=True))
    parts = {f"mono-{code}": ids_of(division, f"mono-{code}") for code in LANGUAGES}
    parts["parallel"] = set().union(*(ids_of(division, f"parallel-{pair}") for pair in PAIRS))
    meanings = {name: {english[i] for i in ids} for name, ids in parts.items()}
    assert all(meanings.values())
    for one, other in combinations(meanings, 2):
        assert not meanings[one] & meanings[other], (one, other)


def test_groups_are_never_divided(division):
    groups = {
        part: {
            group
            for code in LANGUAGES
            for group in read_table(division / f"rows-{part}-{code}.parquet", ["group"])[0]
        }
        for part in ("train", "valid", "test")
    }
    for one, other in combinations(groups, 2):
        assert not groups[one] & groups[other]
    assert sum(map(len, groups.values())) == 40


def test_no_file_repeats_a_sentence(division):
    for name in [f"mono-{code}" for code in LANGUAGES]:
        keys = [comparable(text) for file, _, _, text in training(division) if file == name]
        assert len(keys) == len(set(keys))


def test_every_row_is_accounted_for(division):
    stats = json.loads((division / "stats.json").read_text())
    for code, own in stats["languages"].items():
        used = own["parallel"] + own["mono_elsewhere"] + own["mono"]["train"]
        assert own["rows"]["train"] == used + sum(own["dropped"].values()), code
        dropped = own["valid"]["dropped"].values()
        assert own["rows"]["valid"] == own["mono"]["valid"] + sum(dropped), code
    assert stats["languages"]["de"]["dropped"]["not translated"] > 0
    assert stats["languages"]["de"]["valid"]["dropped"]["not translated"] > 0
    assert stats["pairs"]["en-de"]["dropped"]["other numbers"] > 0
    meanings = stats["meanings"]
    assert meanings["train"] == meanings["parallel"] + meanings["mono"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_languages(
    filtered, division, tmp_path
):
    again = deal_rows({code: filtered[code] for code in ("en", "zh", "de", "ru")}, tmp_path)
    for path in sorted(division.glob("**/*.[ap]*")):
        name = path.relative_to(division)
        assert path.read_bytes() == (again / name).read_bytes(), name


def test_another_seed_gives_another_division(filtered, division, tmp_path):
    other = deal_rows(filtered, tmp_path, seed=2)
    assert ids_of(other, "parallel-en-de") != ids_of(division, "parallel-en-de")


def test_marks_leave_training_text_and_stay_for_the_tasks(filtered, tmp_path):
    folder = deal_rows(filtered, tmp_path, exact_duplicates=False, near_duplicates=False)
    assert not any("**" in text for *_, text in training(folder))
    assert any("**" in text for text in read_table(folder / "rows-train-en.parquet", ["text"])[0])


def rows_file(folder, code, ids, groups, texts):
    """Rows as corpora.filter leaves them."""
    path = write_rows(folder / f"{code}.parquet", zip(ids, groups, texts, strict=True), [code])
    return filter_rows(path, folder, f"rows-{code}")


def test_a_pair_without_text_is_named(filtered, tmp_path):
    ids, groups, texts = kept_rows(filtered["zh"], "id", "group", "text")
    strange = rows_file(tmp_path, "zh", [f"x:{name}" for name in ids], groups, texts)
    with pytest.raises(UserError, match="`parallel-en-zh` has no rows left"):
        deal_rows({**filtered, "zh": strange}, tmp_path / "out")


def test_text_of_one_language_only_is_monolingual(filtered, tmp_path):
    """A monolingual dataset must not lose half of itself to a parallel part it cannot be in."""
    columns = kept_rows(filtered["de"], "id", "group", "text")
    # Brand names say the same in English, under whatever id.
    own = [row for row in zip(*columns, strict=True) if not row[0].endswith(".brand")]
    ids, groups, texts = map(list, zip(*own, strict=True))
    strange = [[f"x{name}" for name in names] for names in (ids, groups)]
    alone = rows_file(tmp_path, "de", *strange, texts)
    given_rows = {"en": filtered["en"], "ru": filtered["ru"], "de": alone}
    folder = deal_rows(given_rows, tmp_path / "out", pairs=["en-ru"])
    own = json.loads((folder / "stats.json").read_text())["languages"]["de"]
    assert own["parallel"] == own["mono_elsewhere"] == 0
    assert own["mono"]["train"] > 300


def test_validation_files_are_of_the_valid_groups(division):
    """Which groups are held out is decided where rows are dealt, and again where they are
    selected."""
    valid = set(read_table(division / "rows-valid-en.parquet", ["group"])[0])
    chosen = read_table(division / "mono-en/valid.parquet", ["group"])[0]
    assert chosen and set(chosen) == valid


def test_lengths_are_measured_against_the_pair(filtered, tmp_path):
    """Chinese is several times shorter than English throughout, which is no fault."""
    stats = json.loads((deal_rows(filtered, tmp_path) / "stats.json").read_text())
    assert "uneven lengths" not in stats["pairs"]["en-zh"]["dropped"]


WORDS = st.lists(
    st.sampled_from(["set", "host", "name", "mode", "open", "close", "door", "lamp"]), min_size=1
)


@settings(max_examples=30, deadline=None)
@given(st.lists(WORDS.map(" ".join), max_size=12), st.lists(WORDS.map(" ".join), max_size=12))
def test_near_duplicates_are_all_that_share_a_band_and_are_exactly_similar(texts, against):
    def alike(text, other):
        one, two = shingles(text), shingles(other)
        ours, theirs = band_hashes([one, two])
        return bool((ours == theirs).any()) and jaccard(one, two) >= THRESHOLD

    found = dict(near_duplicates(texts, against, THRESHOLD))
    expected = {
        number: [place for place, other in enumerate(against) if alike(text, other)][:1]
        for number, text in enumerate(texts)
    }
    assert found == {number: first[0] for number, first in expected.items() if first}
    assert {i for i, text in enumerate(texts) if text in against} <= found.keys()


def test_near_duplicates_are_found():
    texts = [f"Unable to connect to the device number {n} in the house" for n in range(9)]
    index = MinHashIndex([*texts, "something else entirely"], THRESHOLD, 1)
    index.insert(0)
    assert [index.find(place) for place in range(1, 10)] == [0] * 8 + [None]


def test_a_language_without_text_is_named(filtered, tmp_path):
    empty = rows_file(tmp_path, "zh", [], [], [])
    with pytest.raises(UserError, match="`mono-zh` has no rows left"):
        deal_rows({**filtered, "zh": empty}, tmp_path / "out", pairs=["en-de"])


def test_a_smaller_share_of_a_pair_is_a_part_of_a_larger_one_and_is_counted(filtered, tmp_path):
    whole = {}
    for share in (1.0, 0.5, 0.1):
        folder = deal_rows(filtered, tmp_path / str(share), pair_shares={"en-de": share})
        rows = {name: ids_of(folder, f"parallel-{name}") for name in PAIRS}
        stats = json.loads((folder / "parallel-en-de/stats.json").read_text())
        rows["left out"] = stats["dropped"].get("beyond the share of the pair", 0)
        rows["valid"] = stats["rows"]["valid"]
        whole[share] = rows
    one, half, tenth = whole.values()
    assert tenth["en-de"] < half["en-de"] < one["en-de"]
    for other in (half, tenth):
        assert other["left out"] == len(one["en-de"]) - len(other["en-de"])
        assert other["valid"] == one["valid"]
        assert all(other[pair] == one[pair] for pair in PAIRS if pair != "en-de")
