"""Files of evaluation tasks in the formats of their publishers, known by their names upstream."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ernie_m.catalogue.tasks import ENGLISH, TASKS
from ernie_m.errors import UserError
from ernie_m.rehearse.archives import packed
from ernie_m.rehearse.words import Words
from ernie_m.xtreme.tasks import conll, pawsx, tatoeba, tydiqa, udpos

EXAMPLES = 24  # of each file
QUESTIONS = 60  # of TyDi QA, of whose training text a tenth is held out
Table = list[dict[str, Any]]


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# --- the content of each kind ------------------------------------------------------------------


def _pairs(task: str, language: str, part: str) -> Iterator[tuple[str, str, str]]:
    """First text, second text, class."""
    words = Words(language, f"{task} {part}")
    for number in range(EXAMPLES):
        labels = TASKS[task].labels
        yield words.sentence(), words.sentence(), labels[number % len(labels)]


def _tagged(task: str, language: str, part: str) -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags; spans are of two words."""
    words, tags = Words(language, f"{task} {part}"), TASKS[task].labels
    for number in range(EXAMPLES):
        own = words.words(8)
        if task == "udpos":
            yield own, [tags[(number + place) % len(tags)] for place in range(8)]
        else:
            first = 1 + 2 * (number % (len(tags) // 2))  # of the marks of a kind of span
            yield own, ["O", *tags[first : first + 2], "O", "O", *tags[first : first + 2], "O"]


def _asked(
    task: str, language: str, part: str, count: int = EXAMPLES, prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """Rows of questions as the hub's tables have them."""
    words = Words(language, f"{task} {part}")
    for number in range(count):
        context = " ".join(words.sentences(3))
        answer = words.draw.choice(context[:-1].split())
        yield {
            "id": f"{prefix}{part}-{number}",
            "title": "Made",
            "context": context,
            "question": words.sentence(6),
            "answers": {"text": [answer], "answer_start": [context.index(answer)]},
        }


def squad(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of questions as a file of SQuAD, a paragraph each."""
    data = []
    for row in rows:
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(
                row["answers"]["text"], row["answers"]["answer_start"], strict=True
            )
        ]
        asked = [{"id": row["id"], "question": row["question"], "answers": answers}]
        paragraph = {"context": row["context"], "qas": asked}
        data.append({"title": row["title"], "paragraphs": [paragraph]})
    return json.dumps({"version": "1.1", "data": data}, ensure_ascii=False)


def parquet(rows: Sequence[Mapping[str, Any]], **classes: Sequence[str]) -> bytes:
    """A table of the hub as `datasets` writes it; ``classes`` are columns of lists of names, which
    it keeps as numbers."""
    from datasets import ClassLabel, Dataset, List

    numbered = [
        {
            key: [classes[key].index(each) for each in value] if key in classes else value
            for key, value in row.items()
        }
        for row in rows
    ]
    table = Dataset.from_list(numbered)
    features = table.features.copy()
    for key, names in classes.items():
        features[key] = List(ClassLabel(names=list(names)))
    sink = io.BytesIO()
    table.cast(features).to_parquet(sink)
    return sink.getvalue()


# --- publishers' files, by name ------------------------------------------------------------------


def _xnli() -> bytes:
    members: dict[str, str | bytes] = {}
    header = "language\tgold_label\tl1\tl2\tl3\tl4\tsentence1\tsentence2\tpromptID\tpairID"
    for part in ("dev", "test"):
        rows = [
            f"{code}\t{label}\t\t\t\t\t{one}\t{two}\t1\t2"
            for code in TASKS["xnli"].languages
            for one, two, label in _pairs("xnli", code, part)
        ]
        members[f"XNLI-1.0/xnli.{part}.tsv"] = _lines([header, *rows])
    return packed("XNLI-1.0.zip", members)


def _xnli_translated() -> bytes:
    members: dict[str, str | bytes] = {}
    for code in TASKS["xnli"].languages:
        rows = [
            f"{one}\t{two}\t{label.replace('contradiction', 'contradictory')}"
            for one, two, label in _pairs("xnli", code, "train")
        ]
        name = f"XNLI-MT-1.0/multinli/multinli.train.{code}.tsv"
        members[name] = _lines(["premise\thypo\tlabel", *rows])
    return packed("XNLI-MT-1.0.zip", members)


def _pawsx() -> bytes:
    members: dict[str, str | bytes] = {}
    for code in TASKS["pawsx"].languages:
        for part, name in pawsx.FILES.items():
            own = "train" if (part, code) == ("train", ENGLISH) else name
            rows = [
                f"{number}\t{one}\t{two}\t{label}"
                for number, (one, two, label) in enumerate(_pairs("pawsx", code, part))
            ]
            header = "id\tsentence1\tsentence2\tlabel"
            members[f"x-final/{code}/{own}.tsv"] = _lines([header, *rows])
    return packed("x-final.tar.gz", members)


def _treebank(language: str, part: str) -> str:
    text = []
    for words, tags in _tagged("udpos", language, part):
        text.append(f"# text = {' '.join(words)}")
        text += [
            f"{number}\t{word}\t_\t{tag}\t_\t_\t{number - 1}\tdep\t_\t_"
            for number, (word, tag) in enumerate(zip(words, tags, strict=True), 1)
        ]
        text.append("")
    return _lines(text)


def _treebanks() -> bytes:
    members: dict[str, str | bytes] = {
        f"ud-treebanks-v2.5/UD_{name}-Made/{code}_made-ud-{part}.conllu": _treebank(code, part)
        for code, name in udpos.NAMES.items()
        for part in ("train", "dev", "test")
    }
    return packed("ud-treebanks-v2.5.tgz", members)


def _panx() -> bytes:
    members: dict[str, str | bytes] = {}
    for code in TASKS["panx"].languages:
        parts: dict[str, str | bytes] = {}
        for part in ("train", "dev", "test"):
            text = []
            for words, tags in _tagged("panx", code, part):
                pairs = zip(words, tags, strict=True)
                text += [*(f"{code}:{word}\t{tag}" for word, tag in pairs), ""]
            parts[part] = _lines(text)
        members[f"panx_dataset/{code}.tar.gz"] = packed("x.tar.gz", parts)
    return packed("AmazonPhotos.zip", members)


def _newspaper(name: str, part: str) -> bytes:
    (language,) = (code for code, own in conll.NAMES.items() if own == name)
    text = ["-DOCSTART- -X- -X- O", ""]
    for words, tags in _tagged("conll", language, part):
        text += [f"{word} NNP I-NP {tag}" for word, tag in zip(words, tags, strict=True)]
        text.append("")
    return _lines(text).encode("latin-1")


def _mlqa() -> bytes:
    members: dict[str, str | bytes] = {
        f"MLQA_V1/test/test-context-{code}-question-{code}.json": squad(
            _asked("mlqa", code, "test")
        )
        for code in TASKS["mlqa"].languages
    }
    return packed("MLQA_V1.zip", members)


def _goldp(part: str) -> dict[str, Table]:
    """Questions of TyDi QA by the name of their language."""
    return {
        name: list(_asked("tydiqa", code, part, QUESTIONS, f"{name}-"))
        for code, name in tydiqa.NAMES.items()
    }


def _all_goldp(part: str) -> Table:
    return [row for rows in _goldp(part).values() for row in rows]


def _goldp_dev() -> bytes:
    members: dict[str, str | bytes] = {
        f"tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{name}.json": squad(rows)
        for name, rows in _goldp("dev").items()
    }
    return packed("tydiqa-goldp-v1.1-dev.tgz", members)


def _mined(language: str, part: str) -> bytes:
    sides = {}
    for code in (language, ENGLISH):
        said = Words(code, f"bucc2018 {language} {part}").sentences(EXAMPLES)
        sides[code] = {f"{code}-{number:09d}": text for number, text in enumerate(said)}
    gold = list(zip(*sides.values(), strict=True))[: EXAMPLES // 2]
    stem = f"bucc2018/{language}-en/{language}-en.{part}"
    members: dict[str, str | bytes] = {
        f"{stem}.{code}": _lines(map("\t".join, said.items())) for code, said in sides.items()
    }
    return packed("x.tar.bz2", members | {f"{stem}.gold": _lines(map("\t".join, gold))})


def _sentences(code: str, side: str) -> list[str]:
    """A side of a pair of Tatoeba, by its three letters."""
    codes = {three: two for two, three in tatoeba.CODES.items()} | {"eng": ENGLISH}
    return Words(codes[side], f"tatoeba {code}").sentences(EXAMPLES)


# --- the hub's tables, by configuration and split ------------------------------------------------


def _table_xnli(part: str) -> bytes:
    names = ("language", "sentence1", "sentence2", "gold_label")
    return parquet(
        [
            dict(zip(names, (code, *cells), strict=True))
            for code in TASKS["xnli"].languages
            for cells in _pairs("xnli", code, part)
        ]
    )


def _table_pawsx(language: str, part: str) -> bytes:
    names = ("sentence1", "sentence2", "label")
    return parquet([dict(zip(names, row, strict=True)) for row in _pairs("pawsx", language, part)])


def _table_udpos(name: str, part: str) -> bytes:
    (language,) = (code for code, own in udpos.NAMES.items() if own == name)
    rows = [{"tokens": words, "pos_tags": tags} for words, tags in _tagged("udpos", language, part)]
    return parquet(rows, pos_tags=TASKS["udpos"].labels)


def _table_panx(language: str, part: str) -> bytes:
    rows = [
        {"tokens": words, "ner_tags": tags, "langs": [language] * len(words)}
        for words, tags in _tagged("panx", language, part)
    ]
    return parquet(rows, ner_tags=TASKS["panx"].labels)


def _table_tydiqa(part: str) -> bytes:
    return parquet(_all_goldp(part))


def _table_tatoeba(code: str) -> bytes:
    english, foreign = (_sentences(code, side) for side in ("eng", code))
    names = ("source_sentence", "target_sentence", "source_lang")
    rows = [(two, one, code) for one, two in zip(english, foreign, strict=True)]
    return parquet([dict(zip(names, row, strict=True)) for row in rows])


def _questions(task: str) -> Callable[..., bytes]:
    return lambda language, part="test": squad(_asked(task, language, part)).encode()


_MAKERS: dict[str, Callable[..., bytes]] = {
    r"XNLI-1\.0\.zip": _xnli,
    r"XNLI-MT-1\.0\.zip": _xnli_translated,
    r"x-final\.tar\.gz": _pawsx,
    r"ud-treebanks-v2\.5\.tgz": _treebanks,
    r"([a-z]+)_\w+-ud-(train|dev|test)\.conllu": lambda *name: _treebank(*name).encode(),
    r"AmazonPhotos\.zip": _panx,
    r"(train|dev)-v1\.1\.json": lambda part: squad(_asked("squad", ENGLISH, part)).encode(),
    r"xquad\.(\w+)\.json": _questions("xquad"),
    r"MLQA_V1\.zip": _mlqa,
    r"tydiqa-goldp-v1\.1-train\.json": lambda: squad(_all_goldp("train")).encode(),
    r"tydiqa-goldp-v1\.1-dev\.tgz": _goldp_dev,
    r"bucc2018-(\w+)-en\.(training|sample)-gold\.tar\.bz2": _mined,
    r"tatoeba\.(\w+)-eng\.(\w+)": lambda *name: _lines(_sentences(*name)).encode(),
    r"(eng|deu|esp|ned)\.(train|testa|testb)": _newspaper,
    r"XNLI\.(\w+)\.parquet": _table_xnli,
    r"PAWS-X\.(\w+)\.(\w+)\.parquet": _table_pawsx,
    r"udpos\.(\w+)\.(\w+)\.parquet": _table_udpos,
    r"PAN-X\.(\w+)\.(\w+)\.parquet": _table_panx,
    r"SQuAD\.(\w+)\.parquet": lambda part: parquet(list(_asked("squad", ENGLISH, part))),
    r"XQuAD\.(\w+)\.validation\.parquet": lambda code: parquet(list(_asked("xquad", code, "test"))),
    r"MLQA\.(\w+)\.\w+\.test\.parquet": lambda code: parquet(list(_asked("mlqa", code, "test"))),
    r"tydiqa\.(\w+)\.parquet": _table_tydiqa,
    r"tatoeba\.(\w+)\.validation\.parquet": _table_tatoeba,
}


def published(name: str) -> bytes:
    """The file that a publisher calls so, with a few examples of every language; the same bytes
    for the same name. Raises :class:`UserError` for a name that no task has."""
    for pattern, make in _MAKERS.items():
        if found := re.fullmatch(pattern, name):
            return make(*found.groups())
    raise UserError(
        f"No evaluation file called {name} is known, so that none can be made.",
        "Take its task out of `xtreme.tasks` for the rehearsal, in one more --configfile.",
    )
