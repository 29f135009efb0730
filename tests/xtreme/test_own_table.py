"""Stand-ins from a table of one's own, whose ids and groups are called as its owner likes."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.corpora.hashing import unit_interval
from ernie_m.corpora.readers import table
from ernie_m.corpora.readers.leftovers import Leftovers
from ernie_m.corpora.streams import MONO, write_blocks
from ernie_m.corpora.tables import read_table
from ernie_m.errors import UserError
from ernie_m.xtreme.files import EXAMPLE, read_lines
from ernie_m.xtreme.standins.interface import interface_datasets
from ernie_m.xtreme.standins.sources import LARGEST_LOT, SPLITS, Row, Sources, words

from .conftest import LANGUAGES, MADE, SETTINGS, WORDS, make_examples, translate

GIVEN = [name for name in MADE if name != "standin_classification"]
GROUPS = [
    f"{name}{number}" for number in range(20) for name in ("", "news:2026:", "Branda", "a.b:")
]


def said(rng: random.Random, least: int, most: int) -> str:
    """A sentence of that many words, one in three with a label or code in it, as in a manual."""
    found = [rng.choice(WORDS) for _ in range(rng.randint(least, most))]
    mark = rng.choice(["**{}**", "`{}`", "{}", "{}", "{}", "{}"])
    found[2] = mark.format(found[2])
    return " ".join(found)


def write_tsv(path: Path, grouped: bool = True, text: Callable = said) -> Path:
    """480 rows, six a group or each alone; the last word is the group's name, and one in ten lacks
    its Chinese."""
    rng = random.Random(3)
    lines = ["\t".join(["id", "group", *LANGUAGES] if grouped else LANGUAGES)]
    for group in GROUPS:
        for number in range(6):
            english = f"{text(rng, 6, 12)} {group}"
            cells = [translate(english, code) for code in LANGUAGES]
            if rng.random() < 0.1:
                cells[2] = ""
            lines.append("\t".join([f"{group}:{number}", group, *cells] if grouped else cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table_rows(tsv: Path, folder: Path) -> list[Path]:
    """The rows of the table `own`, each group's in one split, as the text stages leave them."""
    folder.mkdir()
    paths = []
    for code in LANGUAGES:
        rows: dict[str, dict[str, tuple[str, str]]] = {split: {} for split in SPLITS.values()}
        for group, key, text in table.read(tsv, code, Leftovers(tsv, 0), "tsv"):
            draw = unit_interval("split", group)
            split = "train" if draw < 0.5 else "valid" if draw < 0.7 else "test"
            rows[split][f"own:{group}:{key}"] = (f"own:{group}", text)
        for split, found in rows.items():
            ids = sorted(found)
            columns = [list(column) for column in zip(*(found[id] for id in ids), strict=True)]
            path = folder / f"rows-{split}-{code}.parquet"
            write_blocks(path, zip(ids, *columns, strict=True), MONO, [code])
            paths.append(path)
    return paths


def together(folder: Path, *lots: list[Path]) -> list[Path]:
    """Files with the rows of all ``lots``, which have the same names."""
    paths = []
    for same in zip(*(sorted(lot) for lot in lots), strict=True):
        tables = [zip(*read_table(path, MONO), strict=True) for path in same]
        path = folder / same[0].name
        write_blocks(path, sorted(row for rows in tables for row in rows), MONO, [path.stem[-2:]])
        paths.append(path)
    return paths


@dataclass(frozen=True)
class Made:
    """What was made of a table, and the group and English text of its rows."""

    rows: list[Path]
    groups: dict[str, str]
    english: dict[str, str]
    examples: dict[str, dict[str, list]]


def load(paths: dict[str, Path], task: str) -> dict[str, list]:
    kind = EXAMPLE[TASKS[task].kind]
    return {stem: read_lines(path, kind) for stem, path in paths.items()}


@pytest.fixture(scope="module", params=[True, False], ids=["grouped", "not grouped"])
def made(request, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("own")
    rows = table_rows(write_tsv(folder / "own.tsv", grouped=request.param), folder / "rows")
    groups, english = {}, {}
    for path in rows:
        for id, group, text in zip(*read_table(path, ["id", "group", "text"]), strict=True):
            groups[id] = group
            if path.stem.endswith(ENGLISH):
                english[id] = text
    examples = {task: load(make_examples(rows, folder / task, task), task) for task in GIVEN}
    return Made(rows, groups, english, examples)


@pytest.mark.parametrize("task", GIVEN)
def test_every_file_has_examples_and_ids_are_unique(made, task):
    for lines in made.examples[task].values():
        assert lines and len({line.id for line in lines}) == len(lines)


@pytest.mark.parametrize("task", [task for task in GIVEN if TASKS[task].trained])
def test_no_group_is_both_learnt_and_tested(made, task):
    groups = {
        stem: {made.groups[line.id.split("|")[0]] for line in lines}
        for stem, lines in made.examples[task].items()
    }
    tested = groups["test-en"] | groups["test-de"] | groups["test-zh"]
    assert not groups["train-en"] & tested and not groups["dev-en"] & tested
    assert not groups["train-en"] & groups["dev-en"]


def test_a_translation_is_the_one_of_its_row(made):
    for stem, lines in made.examples["standin_retrieval"].items():
        assert all(line.text == translate(line.english, stem[-2:]) for line in lines)
    for stem, lines in made.examples["standin_mining"].items():
        texts = {line.id: line.text for line in lines}
        pairs = [(line.text, line.partner) for line in lines if line.language == ENGLISH]
        told = {texts[partner] for _, partner in pairs if partner}
        assert 0 < len(told) < len(pairs)
        for english, partner in pairs:
            own = translate(english, stem[-2:])
            assert texts[partner] == own if partner else own not in texts.values()


def test_what_differs_is_another_row_of_the_group(made):
    ids = {text: id for id, text in made.english.items()}
    groups = Counter(made.groups.values())
    for stem, lines in made.examples["standin_paraphrase"].items():
        back = {translate(text, stem[-2:]): text for text in made.english.values()}
        for line in lines:
            row, label = line.id.split("|")
            assert line.first == made.english[row] and line.label == label
            other = back[line.second]
            assert (other == line.first) == (label == "same")
            if groups[made.groups[row]] > 1:
                assert made.groups[ids[other]] == made.groups[row]


def test_tagged_is_what_was_marked_and_no_name_of_a_group(made):
    kinds = {"**": "LABEL", "`": "CODE"}
    for stem, lines in made.examples["standin_tagging"].items():
        for line in lines:
            own = translate(made.english[line.id], stem[-2:])
            _, mark, inside, *_ = re.split(r"(\*\*|`)", own)
            marked = [inside[a:b] for a, b in words(inside)]
            assert [w for w, tag in zip(line.words, line.tags, strict=True) if tag != "O"] == marked
            assert set(line.tags) == {"O"} | {
                f"{'I' if i else 'B'}-{kinds[mark]}" for i, _ in enumerate(marked)
            }


def test_the_answer_is_the_one_translation_of_the_question(made):
    groups = Counter(made.groups.values())
    for stem, lines in made.examples["standin_qa"].items():
        for line in lines:
            (answer,), (start,) = line.answers, line.starts
            assert line.question == made.english[line.id]
            assert answer == translate(line.question, stem[-2:])
            assert line.context[start:].startswith(answer) and line.context.count(answer) == 1
            beside = {
                id
                for id, text in made.english.items()
                if translate(text, stem[-2:]) in line.context
            }
            assert SETTINGS.qa_min_fields <= len(beside) <= SETTINGS.qa_max_fields
            if groups[made.groups[line.id]] > 1:
                assert {made.groups[id] for id in beside} == {made.groups[line.id]}


def test_a_question_left_untranslated_is_not_asked(made, tmp_path):
    asked = [line.id for line in made.examples["standin_qa"]["test-de"]]
    paths = []
    for path in made.rows:
        ids, groups, texts = read_table(path, ["id", "group", "text"])
        if path.stem == "rows-test-de":
            texts = [
                made.english[id] if id == asked[0] else t for id, t in zip(ids, texts, strict=True)
            ]
        paths.append(tmp_path / path.name)
        write_blocks(paths[-1], zip(ids, groups, texts, strict=True), MONO, [path.stem[-2:]])
    again = load(make_examples(paths, tmp_path / "out", "standin_qa"), "standin_qa")
    assert [line.id for line in again["test-de"]] == asked[1:]


def plain(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("standin_classification", "keys in Home Assistant's translation files"),
        ("standin_tagging", r"`\*\*label\*\*` or `` `code` ``"),
    ],
)
def test_what_cannot_be_made_says_why_and_what_to_do(tmp_path, task, reason):
    tsv = write_tsv(tmp_path / "own.tsv", text=plain)
    with pytest.raises(UserError, match=f"{task} cannot be made of these rows.*{reason}") as caught:
        make_examples(table_rows(tsv, tmp_path / "rows"), tmp_path / "out", task)
    assert "`xtreme.tasks`" in caught.value.fix
    assert "more text" not in str(caught.value)


@pytest.mark.parametrize("task", MADE)
def test_words_alone_make_no_task(tmp_path, task):
    tsv = write_tsv(tmp_path / "own.tsv", text=lambda rng, *_: rng.choice(WORDS))
    with pytest.raises(UserError, match=f"{task} cannot be made of these rows"):
        make_examples(table_rows(tsv, tmp_path / "rows"), tmp_path / "out", task)


@pytest.fixture(scope="module")
def mixed(rows, tmp_path_factory) -> list[Path]:
    """Home Assistant's rows and those of the table."""
    folder = tmp_path_factory.mktemp("mixed")
    own = table_rows(write_tsv(folder / "own.tsv"), folder / "rows")
    return together(folder, own, rows)


@pytest.mark.parametrize("task", ["standin_paraphrase", "standin_qa", "standin_tagging"])
def test_rows_of_both_kinds_give_what_each_can(mixed, tmp_path, task):
    own = load(make_examples(mixed, tmp_path, task), task)
    for stem in ("train-en", "test-en", "test-de"):
        assert {line.id.partition(":")[0] for line in own[stem]} == {"made", "own"}
    if task == "standin_tagging":
        named = [line.id for line in own["train-en"] if "B-PRODUCT" in line.tags]
        assert named and all(id.startswith("made:") for id in named)


def test_rows_that_give_nothing_to_a_task_change_nothing(mixed, examples, tmp_path):
    task = "standin_classification"
    for stem, path in make_examples(mixed, tmp_path, task).items():
        assert path.read_bytes() == examples[task][stem].read_bytes()


def test_keys_are_told_by_what_they_are_called(mixed):
    assert interface_datasets(Sources(mixed, LANGUAGES, SETTINGS, 1)) == {"made"}


def test_a_group_may_have_colons():
    row = Row("own:news:2026:a.b:3", "own:news:2026", "Text")
    assert (row.dataset, row.key) == ("own", ("a", "b:3"))


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.sampled_from([1, 30]),
    st.sampled_from(["one", "two"]),
)
def test_lots_hold_every_row_once_and_keep_groups_apart(numbers, times, dataset):
    rows = [
        Row(f"{name}:{group}:{i}", f"{name}:{group}", "Text")
        for i, group in enumerate(numbers * times)
        for name in {"one", dataset}
    ]
    lots = Sources([], LANGUAGES, SETTINGS, 1).lots(rows)
    assert Counter(row.id for lot in lots for row in lot) == Counter(row.id for row in rows)
    alone = sum(numbers.count(group) * times == 1 for group in numbers)
    for lot in lots:
        assert len(lot) <= LARGEST_LOT and len({row.dataset for row in lot}) == 1
        if 2 * alone <= len(numbers):
            assert len({row.group for row in lot}) == 1
    if 2 * alone > len(numbers):
        assert len(lots) == len({"one", dataset})
