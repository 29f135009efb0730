"""Files of SQuAD's form, in which XQuAD, MLQA and TyDi QA come too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ernie_m.errors import UserError
from ernie_m.xtreme.files import Line, Question
from ernie_m.xtreme.tasks.upstream import AGAIN, File, Upstream

Row = dict[str, Any]


def rows(file: File) -> Iterator[Row]:
    """Questions in the columns of the hub's tables; raises :class:`UserError`."""
    try:
        document = json.loads("\n".join(line for _, line in file.lines()))
    except json.JSONDecodeError as error:
        raise file.refuse(error.lineno, f"it is not JSON ({error.msg})") from None
    id = "the first question"
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    id = qa["id"]
                    answers = qa["answers"]
                    yield {
                        "id": id,
                        "question": qa["question"],
                        "context": paragraph["context"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                    }
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{file.name}: after {id} it is not of SQuAD's form ({error}).", AGAIN
        ) from None


def _start(context: str, answer: str, start: int) -> int | None:
    """Where the answer stands in a context without white space around.

    The hub's tables strip contexts and answers and leave the starts as they were; how much was
    stripped can be seen from where the answer is.
    """
    room = range(start, max(-1, start - MOST_STRIPPED), -1)
    later = range(start + 1, start + MOST_STRIPPED)
    for place in (*room, *later):
        if context[place : place + len(answer)] == answer:
            return place
    return None


# White space in front of a context or of an answer; MLQA has up to a few.
MOST_STRIPPED = 16


def questions(table: Iterable[Row], name: str) -> Iterator[Line]:
    """Examples of ``table``; raises :class:`UserError` naming the question at fault."""
    for row in table:
        whole = row["context"]
        context = whole.strip()
        lost = len(whole) - len(whole.lstrip())
        texts, starts = [], []
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            answer = text.strip()
            place = _start(context, answer, start - lost + len(text) - len(text.lstrip()))
            if place is None or not answer:
                raise UserError(
                    f"{name}: the answer {text!r} to question {row['id']} is not at character "
                    f"{start} of its context.",
                    AGAIN,
                )
            texts.append(answer)
            starts.append(place)
        if not texts:
            raise UserError(f"{name}: question {row['id']} has no answer.", AGAIN)
        yield Question(
            id=row["id"],
            question=row["question"].strip(),
            context=context,
            answers=texts,
            starts=starts,
        )


def read(upstream: Upstream, configuration: str, split: str, pattern: str) -> Iterator[Line]:
    """Questions of the hub's table if it is here, else of the file whose name ``pattern`` says."""
    table = upstream.table(configuration, split)
    if table is not None:
        return questions(table, f"{configuration}.{split}.parquet")
    file = upstream.only(pattern)
    return questions(rows(file), file.name)


def trained_on_squad(upstream: Upstream, split: str) -> Iterator[Line]:
    """English questions to learn from: of SQuAD 1.1, as XQuAD and MLQA have none of their own."""
    other = {"train": "train", "dev": "validation"}[split]
    return read(upstream, "SQuAD", other, rf"{split}-v1\.1\.json")
