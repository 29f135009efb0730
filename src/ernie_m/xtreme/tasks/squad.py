"""Files in SQuAD's format, which XQuAD, MLQA and TyDi QA use too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from typing import Any

from ernie_m.errors import UserError
from ernie_m.json_text import parse_json
from ernie_m.xtreme.files import Question
from ernie_m.xtreme.tasks.upstream import AGAIN, File, Upstream

Row = dict[str, Any]


def rows(file: File) -> Iterator[Row]:
    """Questions with the columns of the hub's tables; raises :class:`UserError`."""
    try:
        document = parse_json("\n".join(line for _, line in file.lines()))
    except JSONDecodeError as error:
        raise file.refuse(error.lineno, f"it is not JSON ({error.msg})") from None
    after = "the first question"
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    answers = qa["answers"]
                    yield {
                        "id": _of(str, qa["id"]),
                        "question": _of(str, qa["question"]),
                        "context": _of(str, paragraph["context"]),
                        "answers": {
                            "text": [_of(str, answer["text"]) for answer in answers],
                            "answer_start": [
                                _of(int, answer["answer_start"]) for answer in answers
                            ],
                        },
                    }
                    after = f"what follows question {qa['id']}"
    except (KeyError, TypeError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{file.name}: {after} is not of SQuAD's form ({missing}).", AGAIN
        ) from None


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{str(value)[:40]!r} is no {'text' if kind is str else 'number'}")
    return value


# Most white space that the hub's tables have stripped before a context or an answer.
MOST_STRIPPED = 16


def _start(context: str, answer: str, start: int, lost: int) -> int | None:
    """Position of the answer in the context: ``start``, or up to ``lost`` characters off."""
    for distance in range(lost + 1):
        for place in (start - distance, start + distance):
            if place >= 0 and context[place : place + len(answer)] == answer:
                return place
    return None


def questions(table: Iterable[Row], name: str, lost: int = 0) -> Iterator[Question]:
    """Examples of ``table`` with stripped texts.

    The hub's tables have stripped texts, but starts from before stripping, so that an answer may be
    up to ``lost`` characters from its start. Raises :class:`UserError` naming the question at
    fault.
    """
    for row in table:
        context = row["context"].strip()
        moved = len(row["context"]) - len(row["context"].lstrip())
        texts, starts = [], []
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            answer = text.strip()
            first = start - moved + len(text) - len(text.lstrip())
            place = _start(context, answer, first, lost) if answer else None
            if place is None:
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


def read(upstream: Upstream, configuration: str, split: str, pattern: str) -> Iterator[Question]:
    """Questions from the hub's table if it is present, else from the file matching ``pattern``."""
    table = upstream.table(configuration, split)
    if table is not None:
        return questions(table, f"{configuration}.{split}.parquet", MOST_STRIPPED)
    file = upstream.only(pattern)
    return questions(rows(file), file.name)


def trained_on_squad(upstream: Upstream, split: str) -> Iterator[Question]:
    """English training or dev questions from SQuAD 1.1: XQuAD and MLQA have none of their own."""
    other = {"train": "train", "dev": "validation"}[split]
    return read(upstream, "SQuAD", other, rf"{split}-v1\.1\.json")
