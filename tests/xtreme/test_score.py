"""Scores against slow and obvious versions, and what scoring refuses."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.xtreme import ScoreSettings
from ernie_m.errors import UserError
from ernie_m.records.digest import code_files
from ernie_m.xtreme import baseline, score
from ernie_m.xtreme.files import (
    EXAMPLE,
    Answer,
    Found,
    Label,
    Mined,
    MiningSentence,
    Question,
    SentencePair,
    TaggedSentence,
    Tags,
    TextPair,
    read_lines,
    write_lines,
)
from ernie_m.xtreme.scoring import metrics, trivial
from ernie_m.xtreme.scoring.aggregate import summary

from .conftest import LANGUAGES, MADE, run_stage

TAGS = TASKS["standin_tagging"].labels


def perfect(kind: str, example):
    if kind == "retrieval":
        return Found(id=example.id, target=example.id)
    if kind == "pair":
        return Label(id=example.id, label=example.label)
    if kind == "tagging":
        return Tags(id=example.id, tags=example.tags)
    return Answer(id=example.id, answer=example.answers[0])


def predictions_of(task, lines) -> list:
    if TASKS[task].kind != "mining":
        return [perfect(TASKS[task].kind, line) for line in lines]
    return [
        Mined(source=line.partner, target=line.id, score=1.0, threshold=0.5)
        for line in lines
        if line.language == "en" and line.partner
    ]


def scored(task: str, test: list[Path], predictions: list[Path], folder: Path) -> dict:
    inputs = {"test": test, "predictions": predictions}
    outputs = {"scores": [folder / "scores.json"]}
    run_stage(score, f"{task}/ernie_m/camlm/seed1", ScoreSettings(min_examples=1), inputs, outputs)
    return json.loads(outputs["scores"][0].read_text())


@pytest.mark.parametrize("task", MADE)
def test_perfect_predictions_score_100(examples, tmp_path, task):
    test = [path for stem, path in examples[task].items() if stem.startswith("test-")]
    found = []
    for path in test:
        lines = read_lines(path, EXAMPLE[TASKS[task].kind])
        found.append(tmp_path / path.name.replace("test", "predictions"))
        write_lines(found[-1], predictions_of(task, lines))
    scores = scored(task, test, found, tmp_path)
    assert scores["standin"] is True and scores["category"] == TASKS[task].category
    assert scores["average"][scores["metric"]] == 100.0
    assert set(scores["languages"]) == {path.stem[-2:] for path in test}
    assert ("en" in scores["languages"]) == TASKS[task].trained


def refused(examples, tmp_path, task, change) -> str:
    path = examples[task]["test-de"]
    found = change(predictions_of(task, read_lines(path, EXAMPLE[TASKS[task].kind])))
    predictions = tmp_path / "predictions-de.jsonl"
    write_lines(predictions, found)
    with pytest.raises(UserError) as error:
        scored(task, [path], [predictions], tmp_path)
    assert "predictions-de.jsonl" in error.value.what
    return error.value.what


def test_predictions_of_another_length_are_refused(examples, tmp_path):
    for task in (name for name in MADE if TASKS[name].kind != "mining"):
        assert "predictions for" in refused(examples, tmp_path, task, lambda lines: lines[:-1])


def test_predictions_in_another_order_are_refused_by_line(examples, tmp_path):
    assert "line 1" in refused(examples, tmp_path, "standin_qa", lambda lines: lines[::-1])


def test_unknown_labels_tags_targets_and_pairs_are_refused_by_line(examples, tmp_path):
    def second(**values):
        return lambda lines: [lines[0], lines[1].model_copy(update=values), *lines[2:]]

    changes = {
        "standin_paraphrase": second(label="perhaps"),
        "standin_tagging": second(tags=["O"]),
        "standin_retrieval": second(target="nowhere"),
        "standin_mining": second(source="de-999999"),
    }
    for task, change in changes.items():
        assert "line 2" in refused(examples, tmp_path, task, change)
    doubled = refused(examples, tmp_path, "standin_mining", lambda lines: [lines[0], *lines])
    assert "line 2" in doubled and "already" in doubled


def test_a_language_without_predictions_is_named(examples, tmp_path):
    with pytest.raises(UserError, match="not both, in de"):
        scored("standin_qa", [examples["standin_qa"]["test-de"]], [], tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2"),
        ('{"id": "a", "words": ["x"], "tags": ["O"], "more": 1}', "line 2, `more`"),
        ('{"id": "a", "words": ["x"], "tags": "O"}', "line 2, `tags`"),
        ('{"id": "a", "words": ["x"], "tags": ["O", "O"]}', "1 words and 2 tags"),
        ('{"id": 5, "words": [], "tags": []}', "line 2, `id`"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    path = tmp_path / "test-de.jsonl"
    path.write_text('{"id": "z", "words": [], "tags": []}\n' + line + "\n")
    with pytest.raises(UserError, match=r"test-de\.jsonl") as error:
        read_lines(path, TaggedSentence)
    assert message in error.value.what


def test_a_byte_order_mark_and_blank_lines_of_a_file_carry_nothing(tmp_path):
    path = tmp_path / "test-de.jsonl"
    line = '{"id": "a", "words": ["x"], "tags": ["O"]}'
    path.write_text(f"\ufeff{line}\n \n{line}\n\n", encoding="utf-8")
    assert [found.id for found in read_lines(path, TaggedSentence)] == ["a", "a"]
    path.write_text(f"{line}\n\n" + "[" * 20_000)
    with pytest.raises(UserError, match=r"line 3: Invalid JSON: recursion limit"):
        read_lines(path, TaggedSentence)


def test_an_answer_that_is_not_in_its_context_is_refused(tmp_path):
    path = tmp_path / "test-de.jsonl"
    line = {"id": "q", "question": "?", "context": "abc", "answers": ["bc"], "starts": [0]}
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=r"line 1: .*not at character 0"):
        read_lines(path, Question)


# --- metrics -------------------------------------------------------------------------------


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12), st.integers(0, 6))
def test_mining_f1_is_the_harmonic_mean_over_sets(found, pairs):
    lines = [
        MiningSentence(
            id=f"{side}-{i}",
            language=side,
            text="",
            partner=f"{other}-{i}" if i < pairs else None,
        )
        for side, other in (("en", "de"), ("de", "en"))
        for i in range(6)
    ]
    mined = [Mined(source=f"de-{a}", target=f"en-{b}", score=1.0, threshold=0.0) for a, b in found]
    right = sum(a == b < pairs for a, b in found)
    precision, recall = right / max(1, len(found)), right / max(1, pairs)
    expected = 2 * precision * recall / (precision + recall) if right else 0.0
    assert metrics.measure(TASKS["standin_mining"], "de", lines, mined)["f1"] == pytest.approx(
        100 * expected
    )


def slow_spans(tags: list[str]) -> set[tuple[int, int, str]]:
    """Spans of a legal BIO sequence."""
    found, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and not tag.startswith("I-"):
            found.add((start, i, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = i
    return found


def legal(seed: int, count: int) -> list[str]:
    rng, tags = random.Random(seed), ["O"]
    for _ in range(count):
        allowed = [t for t in TAGS if not t.startswith("I-") or tags[-1][1:] == t[1:]]
        tags.append(rng.choice(allowed))
    return tags


@given(
    st.lists(st.tuples(st.integers(), st.integers(), st.integers(0, 15)), min_size=1, max_size=5)
)
@settings(max_examples=40, deadline=None)
def test_span_f1_counts_whole_spans(cases):
    gold = [legal(a, n) for a, _, n in cases]
    guess = [legal(b, n) for _, b, n in cases]
    correct = sum(len(slow_spans(g) & slow_spans(h)) for g, h in zip(gold, guess, strict=True))
    total = sum(len(slow_spans(tags)) for tags in gold + guess)
    lines = [TaggedSentence(id="x", words=["w"] * len(g), tags=g) for g in gold]
    found = metrics.measure(
        TASKS["standin_tagging"], "de", lines, [Tags(id="x", tags=tags) for tags in guess]
    )
    assert found["f1"] == pytest.approx(200 * correct / total if total else 0.0)


@pytest.mark.parametrize(
    ("found", "expected", "exact", "f1"),
    [
        ("The Host.", "the host", 1, 1.0),
        ("host name", "the host name here", 0, 2 / 3),
        ("设备的名称", "设备名称。", 0, 8 / 9),
        ("", "host", 0, 0.0),
        ("port", "host", 0, 0.0),
    ],
)
def test_answers_are_compared_by_words_without_case_and_punctuation(found, expected, exact, f1):
    question = Question(id="q", question="?", context=expected, answers=[expected], starts=[0])
    task, answer = TASKS["standin_qa"], Answer(id="q", answer=found)
    measured = metrics.measure(task, "zh", [question], [answer])
    assert measured == {"exact_match": 100.0 * exact, "f1": pytest.approx(100 * f1)}


def test_small_languages_are_shown_but_not_averaged():
    found = summary(
        {"en": {"f1": 90.0}, "de": {"f1": 50.0}, "bg": {"f1": 1.0}},
        {"en": 100, "de": 100, "bg": 3},
        least=50,
    )
    assert found["average"] == {"f1": 70.0} and found["transfer"] == {"f1": 50.0}
    assert found["languages"]["bg"] == {"f1": 1.0, "n": 3, "averaged": False}


def test_metrics_are_scoring_s_own():
    """Editing a metric must not predict, fine-tune or prepare again; nor must editing the making
    of a task fine-tune again where its examples stay the same."""

    def closure(stage: str) -> set[str]:
        return {path.stem for path in code_files(f"ernie_m.xtreme.{stage}")}

    for stage in ("prepare", "finetune", "predict"):
        assert not closure(stage) & {"metrics", "scores"}
    for stage in ("finetune", "predict", "score"):
        assert not {name for name in closure(stage) if name.startswith("standin_")}
    assert "metrics" in closure("score") and "encoder" not in closure("score")


# --- baselines -----------------------------------------------------------------------------


syllables = st.lists(st.sampled_from(["bala", "nko", "rel", "mini"]), min_size=1, max_size=3)
sentences = st.lists(syllables.map("".join), min_size=1, max_size=3).map(" ".join)
heaps = st.lists(sentences, min_size=1, max_size=6)


@given(heaps, heaps, st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_the_most_similar_has_the_highest_jaccard_index_whatever_the_block(texts, others, cells):
    def grams(text):
        return {f" {word} "[i : i + 3] for word in text.split() for i in range(len(word))}

    indices = [[len(grams(a) & grams(b)) / len(grams(a) | grams(b)) for b in others] for a in texts]
    places, values = trivial.most_similar(*trivial._trigrams(texts, others), cells)
    assert values.tolist() == [max(row) for row in indices]
    assert places.tolist() == [row.index(max(row)) for row in indices]


def test_the_nearest_string_shares_most():
    lines = [
        SentencePair(id=str(i), english=text, text=text.upper()[::1] + " x")
        for i, text in enumerate(["alpha beta", "gamma delta", "omega psi"])
    ]
    assert [f.target for f in trivial.nearest_string(lines)] == ["0", "1", "2"]


def test_majority_and_word_list_know_only_training():
    def tagged(words, tags):
        return TaggedSentence(id="1", words=words, tags=tags)

    listed = trivial.WordList([tagged(["Add", "it", "set_id"], ["O", "O", "B-CODE"])])
    assert listed([tagged(["Add", "my_id", "9"], ["O"] * 3)])[0].tags == ["O", "B-CODE", "O"]
    pair = {"first": "a", "second": "b", "first_language": "en", "second_language": "en"}
    train = [TextPair(id=str(i), label=label, **pair) for i, label in enumerate("bba")]
    assert trivial.Majority(train)(train[2:])[0].label == "b"


def test_texts_that_stand_alone_are_told_by_marks_or_by_english_trigrams():
    def line(text, label="x"):
        return TextPair(id=text, first=text, first_language="en", label=label)

    train = [line(f"Press the button {i}", "told") for i in range(20)]
    train += [line(f"Which device {i}?", "asked") for i in range(20)]
    tree, model = trivial.SurfaceTree(train), trivial.TrigramModel(train)
    strange = [line("Welches?"), line("\u54ea\u4e2a\u8bbe\u5907\uff1f"), line("Schalter")]
    assert [found.label for found in tree(strange)] == ["asked", "asked", "told"]
    assert [found.label for found in model([line("button"), line("device")])] == ["told", "asked"]


def test_sentences_end_at_marks_that_end_sentences():
    assert trivial.sentences("Port 1.5 is it. 设置。名称 Really?") == [
        "Port 1.5 is it.", "设置。", "名称 Really?",
    ]  # fmt: skip


@pytest.mark.parametrize("task", MADE)
def test_baselines_are_scored_in_every_language(examples, tmp_path, task):
    inputs = {
        name: [path for stem, path in examples[task].items() if stem.startswith(name)]
        for name in ("train", "dev", "test")
    }
    outputs = {"scores": [tmp_path / "scores.json"]}
    run_stage(baseline, task, ScoreSettings(min_examples=1), inputs, outputs)
    found = json.loads(outputs["scores"][0].read_text())
    assert found["standin"] is True and len(found["baselines"]) >= 2
    counts = Counter(lang for b in found["baselines"].values() for lang in b["languages"])
    assert set(counts) == {lang for lang in LANGUAGES if lang != "en" or TASKS[task].trained}
    for each in found["baselines"].values():
        assert 0 <= each["average"][found["metric"]] <= 100
