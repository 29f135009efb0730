"""XTREME's numbers for its own files, and what its scorer would take without a word."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ernie_m.catalogue.tasks import TASKS, XTREME
from ernie_m.errors import UserError
from ernie_m.xtreme.files import (
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
    write_lines,
)
from ernie_m.xtreme.scoring import command, leaderboard, metrics, submission

MOCK = Path(__file__).resolve().parents[3] / "shared/data/xtreme-mock"
mock = pytest.mark.skipif(not MOCK.is_dir(), reason="XTREME's mock files are not here")
# What the benchmark's own test expects of its mock files.
EXPECTED = {
    "pawsx": {"accuracy": 51.4286},
    "xnli": {"accuracy": 30.6667},
    "panx": {"f1": 57.5079},
    "udpos": {"precision": 71.0223, "recall": 69.5498, "f1": 70.2175},
    "bucc2018": {"f1": 55.0},
    "tatoeba": {"accuracy": 53.6111},
    "xquad": {"exact_match": 77.2727, "f1": 79.9587},
    "mlqa": {"exact_match": 57.1429, "f1": 81.7687},
    "tydiqa": {"exact_match": 88.8889, "f1": 97.2222},
}


@pytest.fixture(scope="module")
def found() -> dict:
    return leaderboard.score_folders(MOCK / "predictions", MOCK / "labels")


@mock
@pytest.mark.parametrize("task", XTREME)
def test_mock_files_score_as_the_benchmark_says(found, task):
    average = found["tasks"][task]["average"]
    assert {name: average[name] for name in EXPECTED[task]} == EXPECTED[task]
    assert set(found["tasks"][task]["languages"]) == set(TASKS[task].languages)


@mock
def test_the_mean_is_over_nine_tasks_and_only_when_all_are_there(found, tmp_path):
    scores = {name: task["score"] for name, task in found["tasks"].items()}
    assert scores["xquad"] == pytest.approx((77.2727 + 79.9587) / 2)
    assert found["overall"] == pytest.approx(sum(scores.values()) / 9, abs=1e-3)
    assert found["groups"]["retrieval"] == pytest.approx((55.0 + 53.6111) / 2, abs=1e-3)
    shutil.copytree(MOCK / "predictions", tmp_path / "p")
    shutil.rmtree(tmp_path / "p/bucc2018")
    fewer = leaderboard.score_folders(tmp_path / "p", MOCK / "labels")
    assert "overall" not in fewer and set(fewer["groups"]) == {"classification", "tagging", "qa"}


@mock
def test_the_command_prints_every_task_language_and_average(capsys):
    arguments = ["--predictions", str(MOCK / "predictions"), "--labels", str(MOCK / "labels")]
    assert command.main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tasks"]["udpos"]["average"]["f1"] == 70.2175
    command.main(arguments)
    text = capsys.readouterr().out
    assert all(name in text for name in XTREME) and "mean of the nine tasks" in text
    rows = sum(len(TASKS[name].languages) for name in XTREME)
    assert sum(line.startswith("  ") and line[2:4].islower() for line in text.splitlines()) >= rows


def test_scoring_needs_no_heavy_package():
    code = (
        "import sys, ernie_m.xtreme.scoring.command\n"
        "print([m for m in ('torch', 'datasets', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- metrics against slow or public versions -----------------------------------------------


def slow_runs(tags: list[str]) -> Counter:
    """Spans that seqeval 0.0.12 sees in tags without marks: runs of one tag, but each word that
    begins with S for itself."""
    spans, place = Counter(), 0
    for tag, run in groupby(tags):
        length = len(list(run))
        parts = [1] * length if tag.startswith("S") else [length]
        for part in parts:
            spans[place, place + part, tag] += 1
            place += part
    return spans


@given(
    st.lists(
        st.tuples(st.sampled_from(TASKS["udpos"].labels), st.sampled_from(TASKS["udpos"].labels)),
        min_size=1,
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_parts_of_speech_are_scored_as_runs(pairs):
    gold, guess = [a for a, _ in pairs], [b for _, b in pairs]
    correct = sum((slow_runs(gold) & slow_runs(guess)).values())
    total = sum(slow_runs(gold).values()) + sum(slow_runs(guess).values())
    assert metrics.span_f1([gold], [guess])["f1"] == pytest.approx(200 * correct / total)


def test_conjunctions_are_two_parts_of_speech():
    """Later versions of seqeval take the first letter off a tag without a mark."""
    assert metrics.span_f1([["CCONJ", "NOUN"]], [["SCONJ", "NOUN"]])["f1"] == 50.0


words = st.lists(
    st.sampled_from(["The", "a", "host", "Host.", "name", "«x»", "an,", "-", "设备", "9"]),
    max_size=6,
).map(" ".join)


@given(st.lists(words.filter(str.strip), min_size=1, max_size=3), words)
@settings(max_examples=100, deadline=None)
def test_answers_are_compared_as_in_squad(expected, found):
    from torchmetrics.functional.text import squad

    theirs = squad(
        [{"id": "q", "prediction_text": found}],
        [{"id": "q", "answers": {"text": expected, "answer_start": [0] * len(expected)}}],
    )
    ours = metrics.answer_f1([expected], [found], metrics.squad_words, "de")
    assert ours["exact_match"] == float(theirs["exact_match"])
    # That package follows SQuAD 2.0, where two answers without a word agree.
    if metrics.squad_words(found, "de"):
        assert ours["f1"] == pytest.approx(float(theirs["f1"]))


@pytest.mark.parametrize(
    ("language", "found", "expected", "exact", "f1"),
    [
        ("de", "der Hund", "Hund", 1, 1),
        ("en", "der Hund", "Hund", 0, 2 / 3),
        ("es", "los «perros»", "perros", 1, 1),
        ("vi", "chiếc xe", "xe", 1, 1),
        ("ar", "الكتاب", "كتاب", 1, 1),
        ("zh", "电动势(EMF)", "电动 EMF", 0, 6 / 7),
        ("hi", "the एक", "the एक", 1, 1),
    ],
)
def test_answers_are_compared_as_in_mlqa(language, found, expected, exact, f1):
    ours = metrics.answer_f1([[expected]], [found], metrics.mlqa_words, language)
    assert ours == {"exact_match": 100 * exact, "f1": pytest.approx(100 * f1)}


def test_a_question_without_an_answer_counts_nothing():
    ours = metrics.answer_f1([["x"], ["y"]], ["x", None], metrics.squad_words, "en")
    assert ours == {"exact_match": 50.0, "f1": 50.0}


# --- our predictions in that layout --------------------------------------------------------


def _examples(task: str) -> tuple[list, list]:
    """Examples of one language, and predictions that are partly right."""
    kind = TASKS[task].kind
    if kind == "retrieval":
        english = ["b", "c", "a", "a", "d"]
        lines = [SentencePair(id=f"{i}", english=x, text=x * 2) for i, x in enumerate(english)]
        return lines, [Found(id=f"{i}", target=t) for i, t in enumerate("01324")]
    if kind == "mining":
        sides = (("en", "de"), ("de", "en"))
        sentences = [
            MiningSentence(
                id=f"{one}-{i}", language=one, text="", partner=f"{other}-{i}" if i < 3 else None
            )
            for one, other in sides
            for i in range(5)
        ]
        pairs = [(0, 0), (1, 2), (4, 4)]
        mined = [
            Mined(source=f"de-{a}", target=f"en-{b}", score=1.0, threshold=0.0) for a, b in pairs
        ]
        return sentences, mined
    if kind == "pair":
        label, other = TASKS[task].labels[:2]
        texts = {"first": "a", "second": "b", "first_language": "en", "second_language": "en"}
        lines = [TextPair(id=f"{i}", label=label, **texts) for i in range(3)]
        return lines, [Label(id=f"{i}", label=x) for i, x in enumerate([label, other, label])]
    if kind == "tagging":
        tags = TASKS[task].labels[:2]
        lines = [TaggedSentence(id=f"{i}", words=["x", "y"], tags=list(tags)) for i in range(3)]
        return lines, [Tags(id=f"{i}", tags=[tags[0], tags[i % 2]]) for i in range(3)]
    lines = [
        Question(
            id=f"q{i}", question="?", context="der gute Host", answers=["gute Host"], starts=[4]
        )
        for i in range(3)
    ]
    found = ["gute Host", "Host", "nein"]
    return lines, [Answer(id=f"q{i}", answer=x) for i, x in enumerate(found)]


@pytest.mark.parametrize("name", XTREME)
def test_files_in_the_layout_score_as_the_pipeline_does(name, tmp_path):
    task = TASKS[name]
    language = "de" if "de" in task.languages else "fi"
    examples, predictions = _examples(name)
    for folder, text in (
        ("predictions", leaderboard.format_predictions(task, examples, predictions)),
        ("labels", leaderboard.format_labels(task, examples)),
    ):
        path = tmp_path / folder / leaderboard.file_name(task, language)
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    paths = (
        tmp_path / side / leaderboard.file_name(task, language)
        for side in ("predictions", "labels")
    )
    scored, _ = leaderboard.score_file(task, language, *paths)
    ours = metrics.measure(task, language, examples, predictions)
    assert scored == pytest.approx(ours)
    assert 0 < ours[task.metric] < 100


def test_a_submission_has_every_language_and_scores_as_the_pipeline_does(tmp_path, capsys):
    run, name = tmp_path / "results", "pawsx"
    examples, predictions = _examples(name)
    folders = run / "xtreme_prepare/pawsx", run / "xtreme_predict/pawsx/ernie_m/btmlm/seed2"
    for folder in folders:
        folder.mkdir(parents=True)
    for language in TASKS[name].languages:
        write_lines(folders[0] / f"test-{language}.jsonl", examples)
        write_lines(folders[1] / f"predictions-{language}.jsonl", predictions)
    out = tmp_path / "out"
    assert submission.main([str(run), "--seed", "2", "--output", str(out)]) == 0
    assert "pawsx (1 of 9 tasks)" in capsys.readouterr().out
    with zipfile.ZipFile(out / "predictions.zip") as archive:
        archive.extractall(tmp_path / "sent")
    found = leaderboard.score_folders(tmp_path / "sent", out / "labels")
    assert found["tasks"][name]["score"] == pytest.approx(200 / 3, abs=1e-3)
    before = (out / "predictions.zip").read_bytes()
    submission.main([str(run), "--seed", "2", "--output", str(out)])
    assert (out / "predictions.zip").read_bytes() == before
    with pytest.raises(UserError, match="no predictions of ernie_m/btmlm with seed 1"):
        submission.main([str(run), "--output", str(out)])
    (folders[1] / "predictions-ko.jsonl").unlink()
    with pytest.raises(UserError, match=r"predictions-ko\.jsonl is missing"):
        submission.main([str(run), "--seed", "2", "--output", str(out)])


# --- what is refused -----------------------------------------------------------------------

QUESTION = {"id": "q", "question": "?", "answers": [{"text": "a", "answer_start": 0}]}
DEEP = "[" * 20_000


def squad(*questions):
    return json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": questions}]}]})


LABELS = squad(QUESTION)
BREAD = QUESTION | {"answers": [{"text": "bread", "answer_start": 0}]}


@pytest.mark.parametrize(
    ("task", "labels", "predictions", "message"),
    [
        ("xnli", "neutral\nneutral\n", "neutral\n", "has 1 lines, the labels 2"),
        ("xnli", "neutral\nneutral\n", "neutral\nmaybe\n", "line 2: `maybe` is not one of"),
        ("xnli", "neutral\nneutral\n", "neutral\n\nneutral\n", "line 2: the line is empty"),
        ("pawsx", "1\n", "2\n", "line 1: `2` is not one of 0, 1"),
        ("tatoeba", "3\n", "-1\n", "line 1: `-1` is not the number of a line"),
        ("bucc2018", "de-1\ten-1\n", "de-1 en-1\n", "line 1: `de-1 en-1` is not two ids"),
        ("panx", "O\nO\n\nO\n", "O\n\nO\nO\n", "line 1: a sentence of 1 tags where"),
        ("panx", "O\n\nO\n", "O\n", "has 1 sentences, the labels 2"),
        ("udpos", "NOUN\nX\n", "NOUN\nN\n", "line 2: there is no tag `N` in udpos"),
        ("xquad", LABELS, '{"p": "a"}', "there is no question `p`"),
        ("xquad", LABELS, '{"q": 1}', "the answer to `q` is not a text"),
        ("xquad", LABELS, '{"q":\n', "line 2: it is not JSON"),
        ("mlqa", '{"data": [{}]}', "{}", "is not of SQuAD's form"),
        ("xquad", LABELS, '["a"]', "does not map question ids"),
        ("xquad", LABELS, '{"q": "a', "line 1: it is not JSON (Unterminated"),
        ("xquad", LABELS, DEEP, "line 1: it is not JSON (it is nested too deeply)"),
        ("xquad", DEEP, "{}", "line 1: it is not JSON (it is nested too deeply)"),
        ("xquad", LABELS, "", "line 1: it is not JSON"),
        ("xquad", "", "{}", "labels is empty"),
        ("xquad", '{"data": []}', "{}", "labels has no questions"),
        ("xquad", squad(QUESTION, QUESTION), "{}", "there is a second question `q`"),
        ("xquad", squad(QUESTION | {"answers": None}), "{}", "is not of SQuAD's form"),
        ("xquad", squad(QUESTION | {"answers": [{"text": 5}]}), "{}", "answer that is no text"),
        ("xquad", squad(QUESTION | {"id": 5}), "{}", "is not of SQuAD's form (an id"),
        ("xnli", "", "neutral\n", "labels is empty"),
        ("udpos", "\n\n", "NOUN\n", "labels is empty"),
        ("bucc2018", "\n", "de-1\ten-1\n", "labels is empty"),
        ("xnli", "neutral\n", "", "has 0 lines, the labels 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_file_and_line(
    tmp_path, task, labels, predictions, message
):
    paths = tmp_path / "predictions", tmp_path / "labels"
    for path, text in zip(paths, (predictions, labels), strict=True):
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        leaderboard.score_file(TASKS[task], "en", *paths)
    assert message in error.value.what and str(tmp_path) in error.value.what


@pytest.mark.parametrize("answer", ["", "a"])
@pytest.mark.parametrize("task", ["xquad", "mlqa", "tydiqa"])
def test_a_question_without_right_answers_is_named(tmp_path, task, answer):
    """The form of SQuAD 2."""
    none = {"id": "q2", "question": "?", "answers": [], "is_impossible": True}
    (tmp_path / "labels").write_text(squad(QUESTION, none))
    (tmp_path / "predictions").write_text(json.dumps({"q": "a", "q2": answer}))
    paths = tmp_path / "predictions", tmp_path / "labels"
    with pytest.raises(UserError, match="labels: question `q2` has no answers"):
        leaderboard.score_file(TASKS[task], "en", *paths)


@pytest.mark.parametrize(
    ("task", "text"),
    [
        *(("xnli", "neutral\nneutral\n"), ("udpos", "NOUN\nX\n\nX\n"), ("tatoeba", "0\n1\n")),
        *(("bucc2018", "de-1\ten-1\n"), ("xquad", squad(BREAD))),
    ],
)
def test_a_byte_order_mark_and_blank_lines_at_the_end_carry_nothing(tmp_path, task, text):
    marked = "\ufeff" + text.replace("\n", "\r\n") + "\n \n"
    predicted = '{"q": "bread"}' if task == "xquad" else text
    for labels, predictions in ((marked, predicted), (text, "\ufeff" + predicted + "\n\n")):
        (tmp_path / "labels").write_text(labels, encoding="utf-8", newline="")
        (tmp_path / "predictions").write_text(predictions, encoding="utf-8", newline="")
        scores, _ = leaderboard.score_file(
            TASKS[task], "en", tmp_path / "predictions", tmp_path / "labels"
        )
        assert set(scores.values()) == {100.0}


@mock
def test_a_missing_language_is_named(tmp_path):
    shutil.copytree(MOCK / "predictions", tmp_path / "p")
    (tmp_path / "p/xnli/test-sw.tsv").unlink()
    with pytest.raises(UserError, match=r"xnli/test-sw\.tsv is missing"):
        leaderboard.score_folders(tmp_path / "p", MOCK / "labels")


def test_folders_without_a_task_are_refused(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        leaderboard.score_folders(tmp_path / "none", tmp_path)
    predictions, labels = tmp_path / "p", tmp_path / "l"
    labels.mkdir()
    predictions.mkdir()
    with pytest.raises(UserError, match="p has no folders of tasks"):
        leaderboard.score_folders(predictions, labels)
    (predictions / "xnli").mkdir()
    with pytest.raises(UserError, match=r"xnli is predicted, but there is no folder .*l/xnli"):
        leaderboard.score_folders(predictions, labels)
    (predictions / "xlni").mkdir()
    with pytest.raises(UserError, match="p/xlni is the folder of no task"):
        leaderboard.score_folders(predictions, labels)
