"""Examples: certain, aligned over languages, balanced, capped, and the same each time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.errors import UserError
from ernie_m.xtreme.files import EXAMPLE, read_lines
from ernie_m.xtreme.standins import classification
from ernie_m.xtreme.standins.interface import purpose
from ernie_m.xtreme.standins.sources import SENTENCE_WORDS, Sources, words
from ernie_m.xtreme.standins.tagging import _named

from .conftest import LANGUAGES, MADE, SETTINGS, make_examples, write_rows

TRAINED = [name for name in MADE if TASKS[name].trained]


def load(path: Path, task: str) -> list:
    return read_lines(path, EXAMPLE[TASKS[task].kind])


@pytest.mark.parametrize("task", MADE)
def test_every_file_has_examples_and_ids_are_unique(examples, task):
    for path in examples[task].values():
        ids = [line.id for line in load(path, task)]
        assert ids and len(set(ids)) == len(ids)


@pytest.mark.parametrize("task", MADE)
def test_same_rows_and_seed_same_bytes_whatever_the_order_of_inputs(rows, examples, tmp_path, task):
    english_first = sorted(rows, key=lambda path: LANGUAGES.index(path.stem[-2:]))
    again = make_examples(english_first[::-1][::-1], tmp_path, task)
    for stem, path in again.items():
        assert path.read_bytes() == examples[task][stem].read_bytes()


@pytest.mark.parametrize("task", MADE)
def test_another_seed_makes_another_choice(rows, examples, tmp_path, task):
    other = make_examples(rows, tmp_path, task, seed=2)
    assert any(
        path.read_bytes() != examples[task][stem].read_bytes() for stem, path in other.items()
    )


@pytest.mark.parametrize("task", TRAINED)
def test_other_languages_have_english_examples_with_the_same_labels(examples, task):
    english = {line.id: line for line in load(examples[task]["test-en"], task)}
    for language in LANGUAGES:
        for line in load(examples[task][f"test-{language}"], task):
            assert line.id in english
            if TASKS[task].kind == "pair":
                assert line.label == english[line.id].label
            if TASKS[task].kind == "tagging":
                kinds = [
                    Counter(t for t in x.tags if t[0] == "B") for x in (line, english[line.id])
                ]
                assert kinds[0] == kinds[1]


@pytest.mark.parametrize("task", TRAINED)
def test_complete_translations_give_all_examples(examples, task):
    ids = [[x.id for x in load(examples[task][f"test-{lang}"], task)] for lang in ("en", "de")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("task", TRAINED)
def test_sizes_are_capped(examples, task):
    limits = {"train-en": 60, "dev-en": 24, "test-en": 24}
    for stem, limit in limits.items():
        assert 0 < len(load(examples[task][stem], task)) <= limit


@pytest.mark.parametrize("task", ["standin_classification", "standin_paraphrase"])
def test_classes_are_balanced_in_every_file(examples, task):
    for path in examples[task].values():
        counts = Counter(line.label for line in load(path, task))
        assert set(counts) == set(TASKS[task].labels) and len(set(counts.values())) == 1


@pytest.mark.parametrize("task", TRAINED)
def test_no_held_out_row_is_trained_on(examples, task):
    def domains(stem: str) -> set[str]:
        return {line.id.split(":")[1] for line in load(examples[task][stem], task)}

    assert not domains("train-en") & (domains("dev-en") | domains("test-en"))
    assert not domains("dev-en") & domains("test-en")


def test_what_a_sentence_is_for_follows_from_its_place():
    said = {
        "services.start.description": "action",
        "services.start.fields.when.description": "field",
        "services.start.sections.more.fields.when.description": "field",
        "config.step.user.data_description.host": "field",
        "options.step.init.sections.more.data_description.host": "field",
        "config_subentries.device.step.user.description": "form",
        "config.step.user.description": "form",
        "config.error.cannot_connect": "message",
        "config.abort.already_configured": "message",
        "exceptions.not_found.message": "message",
    }
    silent = [
        "title",
        "config.step.user.title",
        "config.step.user.data.host",
        "services.start.name",
    ]
    silent += ["7", "exceptions", "services.description", "chapter.1.description"]  # of any table
    silent += ["services.start.fields.when.name", "entity.sensor.rate.name", "config.title"]
    assert {key: purpose(key.split(".")) for key in said} == said
    assert not any(purpose(key.split(".")) for key in silent)


def test_a_sentence_of_two_purposes_is_left_out(rows):
    sources = Sources(rows, LANGUAGES, SETTINGS, 1)
    texts = sources.texts("test", ENGLISH)
    action = next(id for id in texts if id.endswith("services.reset.description"))
    texts[action.replace("services.reset.description", "config.error.bad")] = texts[action].upper()
    made = classification.make(sources)
    assert action not in {line.id for line in made["test-en"]}
    for language in LANGUAGES:
        for line in made[f"test-{language}"]:
            assert line.label == purpose(line.id.split(":")[2].split("."))
            assert line.first == sources.texts("test", language)[line.id]
            assert len(texts[line.id].split()) >= SENTENCE_WORDS


def test_a_sentence_of_a_later_split_is_in_no_earlier_one(rows):
    sources = Sources(rows, LANGUAGES, SETTINGS, 1)
    sentence = "This sentence stands in all of the splits."
    for split in ("train", "dev", "test"):
        texts = sources.texts(split, ENGLISH)
        texts[min(texts)] = sentence
        if split != "test":
            texts[max(texts)] = f"{sentence} Not in test."
    train, dev, test = (
        {row.text for row in sources.english(split)} for split in ("train", "dev", "test")
    )
    assert sentence in test and sentence not in dev | train
    assert f"{sentence} Not in test." in dev - train


def test_paraphrase_first_text_is_english_and_the_same_for_both_classes(examples):
    lines = load(examples["standin_paraphrase"]["test-de"], "standin_paraphrase")
    for same, different in zip(lines[::2], lines[1::2], strict=True):
        assert same.first == different.first and same.second != different.second
        assert (same.label, different.label) == ("same", "different")
        assert (same.first_language, same.second_language) == (ENGLISH, "de")


def test_tags_are_legal_and_mark_up_is_gone(examples):
    for path in examples["standin_tagging"].values():
        seen = set()
        for line in load(path, "standin_tagging"):
            before = "O"
            for tag in line.tags:
                assert not tag.startswith("I-") or before[1:] == tag[1:]
                before = tag
            assert "`" not in line.words and "*" not in line.words
            seen |= set(line.tags)
        assert {"B-PRODUCT", "B-LABEL", "B-CODE", "O"} <= seen


def test_mining_partners_are_mutual_and_hidden_among_others(examples):
    for stem, path in examples["standin_mining"].items():
        lines = {line.id: line for line in load(path, "standin_mining")}
        paired = [line for line in lines.values() if line.partner]
        assert all(lines[line.partner].partner == line.id for line in paired)
        assert 0 < len(paired) < len(lines), stem


@given(st.text(max_size=60))
def test_words_cover_all_but_white_space(text):
    covered = [i for start, end in words(text) for i in range(start, end)]
    assert covered == sorted(set(covered))
    assert [i for i, c in enumerate(text) if not c.isspace() and i not in set(covered)] == []


def test_korean_particles_and_chinese_characters_are_words_of_their_own():
    def cut(text):
        return [text[a:b] for a, b in words(text)]

    assert cut("Reolink에 set_id") == ["Reolink", "에", "set_id"]
    assert cut("设置Reolink。") == ["设", "置", "Reolink", "。"]


def test_names_are_found_however_they_are_spaced():
    text = "Add devolo Home Network or devolohomenetwork"
    found = [text[a:b] for a, b in _named(text, "devolohomenetwork")]
    assert found == ["devolo Home Network", "devolohomenetwork"]
    assert list(_named("Sunset", "sun")) == []


def test_stats_count_what_was_written(examples):
    folder = examples["standin_qa"]["test-en"].parent
    stats = json.loads((folder / "stats.json").read_text())
    assert stats["standin"] is True
    for stem, path in examples["standin_qa"].items():
        assert stats["files"][stem]["examples"] == len(path.read_text().splitlines())


def test_more_rows_of_one_language_do_not_change_english(tmp_path, examples):
    fewer = write_rows(tmp_path, ("en", "de"))
    made = make_examples(fewer, tmp_path / "out", "standin_qa", languages=("en", "de"))
    assert made["train-en"].read_bytes() == examples["standin_qa"]["train-en"].read_bytes()


def test_missing_rows_are_named(rows, tmp_path):
    without = [path for path in rows if path.stem != "rows-test-de"]
    with pytest.raises(UserError, match=r"rows-test-de\.parquet"):
        make_examples(without, tmp_path, "standin_qa")


def test_a_language_without_examples_is_named(rows, tmp_path):
    with pytest.raises(UserError, match="test-fr of standin_qa"):
        make_examples(rows, tmp_path, "standin_qa", languages=(*LANGUAGES, "fr"))


def test_settings_refuse_an_impossible_form():
    with pytest.raises(ValueError, match="qa_max_fields"):
        type(SETTINGS)(qa_min_fields=5, qa_max_fields=4)


def test_fine_tuning_sees_no_sentence_of_the_test_rows(rows):
    sources = Sources(rows, LANGUAGES, SETTINGS, 1)
    tested = set(sources.texts("test", ENGLISH).values())
    trained = sources.texts("train", ENGLISH)
    repeated = next(text for text in tested if len(text.split()) >= SENTENCE_WORDS)
    trained[min(trained)] = repeated
    seen = {row.text for split in ("train", "dev") for row in sources.english(split)}
    assert repeated not in seen
    assert not any(text in tested and len(text.split()) >= SENTENCE_WORDS for text in seen)
