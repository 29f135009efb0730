"""Predictions and labels in the layout of XTREME's leaderboard: read, written and scored.

``<folder>/<task>/test-<language>.tsv``, for questions ``.json``:

=========  ===========================================================================
pair       one class per line
tagging    one tag per line, an empty line after each sentence
mining     foreign id, tab, English id
retrieval  line of the foreign file, from 0, for each line of the sorted English one
qa         predictions: question id -> answer; labels: SQuAD JSON
=========  ===========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, TASKS, XTREME, Task
from ernie_m.errors import UserError
from ernie_m.json_text import parse_json
from ernie_m.xtreme.scoring.aggregate import benchmark, summary, task_score
from ernie_m.xtreme.scoring.metrics import WORDS, Metrics, accuracy, answer_f1, pair_f1, span_f1

AGAIN = "Correct the file, or write it again; scoring never guesses."


def file_name(task: Task, language: str) -> str:
    """``xnli/test-de.tsv``."""
    return f"{task.name}/test-{language}.{'json' if task.kind == 'qa' else 'tsv'}"


# --- reading -------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing.",
            "XTREME scores a task in all of its languages; add the file, or leave the whole "
            "folder of the task out.",
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text.", AGAIN) from None


def _lines(path: Path) -> list[str]:
    """Stripped lines; an empty one before the last is an error."""
    lines = [line.strip() for line in _text(path).rstrip().split("\n")]
    if lines == [""]:
        return []
    if "" in lines:
        raise UserError(f"{path}, line {lines.index('') + 1}: the line is empty.", AGAIN)
    return lines


def _labels(path: Path, task: Task) -> list[str]:
    lines = _lines(path)
    for number, line in enumerate(lines, start=1):
        known = line in task.labels if task.labels else line.isascii() and line.isdigit()
        if not known:
            wanted = f"one of {', '.join(task.labels)}" if task.labels else "the number of a line"
            raise UserError(f"{path}, line {number}: `{line}` is not {wanted}.", AGAIN)
    return lines


def _pairs(path: Path) -> set[tuple[str, str]]:
    pairs = set()
    for number, line in enumerate(_lines(path), start=1):
        source, tab, target = line.partition("\t")
        if not tab or "\t" in target:
            raise UserError(f"{path}, line {number}: `{line}` is not two ids.", AGAIN)
        pairs.add((source, target))
    return pairs


def _sentences(path: Path, task: Task) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, and tags, of each sentence."""
    tags: list[str] = []
    first, number = 1, 0
    for number, line in enumerate(_text(path).split("\n"), start=1):
        tag = line.strip()
        if tag and tag not in task.labels:
            raise UserError(
                f"{path}, line {number}: there is no tag `{tag}` in {task.name}.", AGAIN
            )
        if tag:
            tags.append(tag)
        elif tags:
            yield first, tags
            tags, first = [], number + 1
        else:
            first = number + 1
    if tags:
        yield first, tags


def _json(path: Path) -> Any:
    try:
        return parse_json(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: it is not JSON ({error.msg}).", AGAIN
        ) from None


def _answers(path: Path) -> dict[str, str]:
    found = _json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} does not map question ids to answers.", AGAIN)
    for id, answer in found.items():
        if not isinstance(answer, str):
            raise UserError(f"{path}: the answer to `{id}` is not a text.", AGAIN)
    return found


def _right_answers(path: Path) -> dict[str, list[str]]:
    """Reference answers by question id, from a SQuAD file or its ``data`` alone."""
    document = _json(path)
    right: dict[str, list[str]] = {}
    try:
        articles = document.get("data", document) if isinstance(document, dict) else document
        for qa in (
            qa for article in articles for part in article["paragraphs"] for qa in part["qas"]
        ):
            id, answers = qa["id"], [answer["text"] for answer in qa["answers"]]
            if not all(isinstance(text, str) for text in (id, *answers)):
                raise TypeError("an id or answer that is no text")
            if id in right:
                raise UserError(f"{path}: there is a second question `{id}`.", AGAIN)
            right[id] = answers
    except (KeyError, TypeError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path} is not of SQuAD's form ({missing}).", AGAIN) from None
    if unanswered := [id for id, answers in right.items() if not answers]:
        raise UserError(
            f"{path}: question `{unanswered[0]}` has no answers, by which a prediction is scored.",
            "Take the labels that XTREME publishes; questions that have no answer, as SQuAD 2 asks "
            "them, are none of its tasks'.",
        )
    return right


# --- scoring -------------------------------------------------------------------------------


def _same_length(path: Path, found: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    if len(found) != len(expected):
        raise UserError(f"{path} has {len(found)} {what}, the labels {len(expected)}.", AGAIN)


def score_file(task: Task, language: str, predictions: Path, labels: Path) -> tuple[Metrics, int]:
    """Metrics of one task in one language, and the number of labels.

    Raises :class:`UserError` naming file and line. A question without an answer counts 0, as in
    SQuAD; everything else must be complete.
    """
    if not _text(labels).strip():
        raise UserError(f"{labels} is empty.", AGAIN)
    if task.kind == "mining":
        gold = _pairs(labels)
        return pair_f1(gold, _pairs(predictions)), len(gold)
    if task.kind == "qa":
        right, found = _right_answers(labels), _answers(predictions)
        if not right:
            raise UserError(f"{labels} has no questions.", AGAIN)
        if unknown := found.keys() - right.keys():
            raise UserError(f"{predictions}: there is no question `{min(unknown)}`.", AGAIN)
        in_order = [found.get(id) for id in right]
        return answer_f1(list(right.values()), in_order, WORDS[task.answers], language), len(right)
    if task.kind == "tagging":
        expected = list(_sentences(labels, task))
        guessed = list(_sentences(predictions, task))
        for (_, one), (line, other) in zip(expected, guessed, strict=False):
            if len(one) != len(other):
                what = f"{len(other)} tags where the labels have {len(one)}"
                raise UserError(f"{predictions}, line {line}: a sentence of {what}.", AGAIN)
        _same_length(predictions, guessed, expected, "sentences")
        sides = [tags for _, tags in expected], [tags for _, tags in guessed]
        return span_f1(*sides), len(expected)
    labelled, answers = _labels(labels, task), _labels(predictions, task)
    _same_length(predictions, answers, labelled, "lines")
    return accuracy(labelled, answers), len(labelled)


def score_task(task: Task, predictions: Path, labels: Path) -> dict[str, Any]:
    """Scores of one task over all of its languages."""
    languages, sizes = {}, {}
    for language in task.languages:
        name = file_name(task, language)
        languages[language], sizes[language] = score_file(
            task, language, predictions / name, labels / name
        )
    scores = summary(languages, sizes, least=0)
    for row in scores["languages"].values():
        del row["averaged"]
    del scores["transfer"]
    return {**scores, "score": task_score(task, scores["average"])}


def score_folders(predictions: Path, labels: Path) -> dict[str, Any]:
    """Scores of every task with a folder of predictions, and the means over complete groups.

    Raises :class:`UserError` when there is none, and for a folder that cannot be scored.
    """
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.", "Correct its name.")
    here = {path.name for path in predictions.iterdir() if path.is_dir()}
    if not here:
        raise UserError(
            f"{predictions} has no folders of tasks.",
            f"Name the folder that holds {', '.join(XTREME)}.",
        )
    if strange := sorted(here - set(XTREME)):
        raise UserError(
            f"{predictions / strange[0]} is the folder of no task of XTREME.",
            f"The tasks are {', '.join(XTREME)}; call it so, or take it away.",
        )
    if unlabelled := [name for name in sorted(here) if not (labels / name).is_dir()]:
        raise UserError(
            f"{unlabelled[0]} is predicted, but there is no folder {labels / unlabelled[0]}.",
            "Add its labels, or take the predictions away.",
        )
    tasks = {name: score_task(TASKS[name], predictions, labels) for name in XTREME if name in here}
    return {"tasks": tasks, **benchmark({name: each["score"] for name, each in tasks.items()})}


# --- writing -------------------------------------------------------------------------------


def _sorted_lines(examples: Sequence[Any], values: Mapping[str, str]) -> list[str]:
    """One value per example, in the order of XTREME's English files, which are sorted."""
    order = sorted(range(len(examples)), key=lambda i: examples[i].english)
    return [values[examples[i].id] for i in order]


def format_predictions(task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> str:
    """Our predictions of one language in the format of XTREME's file."""
    if task.kind == "qa":
        answers = {found.id: found.answer for found in predictions}
        return json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
    if task.kind == "tagging":
        return "".join("\n".join(found.tags) + "\n\n" for found in predictions)
    if task.kind == "mining":
        lines = [f"{found.source}\t{found.target}" for found in predictions]
    elif task.kind == "pair":
        lines = [found.label for found in predictions]
    else:
        line_of = {example.id: str(line) for line, example in enumerate(examples)}
        found = {prediction.id: line_of[prediction.target] for prediction in predictions}
        lines = _sorted_lines(examples, found)
    return "".join(line + "\n" for line in lines)


def format_labels(task: Task, examples: Sequence[Any]) -> str:
    """The labels of one language in the format of XTREME's file."""
    if task.kind == "qa":
        return json.dumps({"version": "1.1", "data": [_article(each) for each in examples]}) + "\n"
    if task.kind == "tagging":
        return "".join("\n".join(example.tags) + "\n\n" for example in examples)
    if task.kind == "mining":
        paired = [e for e in examples if e.language == ENGLISH and e.partner]
        lines = sorted(f"{example.partner}\t{example.id}" for example in paired)
    elif task.kind == "pair":
        lines = [example.label for example in examples]
    else:
        lines = _sorted_lines(examples, {e.id: str(line) for line, e in enumerate(examples)})
    return "".join(line + "\n" for line in lines)


def _article(example: Any) -> dict[str, Any]:
    answers = [
        {"answer_start": start, "text": text}
        for start, text in zip(example.starts, example.answers, strict=True)
    ]
    question = {"id": example.id, "question": example.question, "answers": answers}
    return {"paragraphs": [{"context": example.context, "qas": [question]}]}
