"""What the marks promise: a value that is explained says where it is known from, and truly."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ernie_m.catalogue.deviations import DEVIATIONS, FROM_CHECKPOINT, OPEN_CHOICES
from ernie_m.config.base import Section, section_of
from ernie_m.config.root import Config
from ernie_m.generate.commented import remarks_in
from ernie_m.marks import MARK, MARKS, legend
from ernie_m.words import flatten
from tests.repository import ROOT

PAPER = [ROOT / f"config/{name}.yaml" for name in ("paper_base", "paper_large", "one_gpu")]
DOCUMENTS = [ROOT / "README.md", *(ROOT / f"docs/{name}.md" for name in ("method", "evaluation"))]
CHOICES = (*DEVIATIONS, FROM_CHECKPOINT, *OPEN_CHOICES)
# Lists, and what is no choice: the header says where they are from.
TOLD_ABOVE = {"run", *(f"corpora.{key}" for key in ("registry", "datasets", "languages", "pairs"))}
# All that the figures and tables show of a configuration's values.
SHOWN = {"language_embeddings", "pair_positions", "seeds"}
# Numbers that nobody here has seen.
REMEMBERED = re.compile(r"2,048|V100|10,000(?! sentences)|\b[12]e-4|0\.05 to 0\.20|5 to 20 %")
UNKNOWN = re.compile(r"not (known|found|drawn)", re.IGNORECASE)
WITHOUT_MARK = re.compile(
    r"\((InfoXLM|XLM-R|XLM|VECO|XTREME|ERNIE-M|BERT|from memory)\)|own choice", re.IGNORECASE
)


def remarks(path: Path) -> dict[str, str]:
    """Remarks behind values, by dotted key."""
    found = remarks_in(path.read_text(encoding="utf-8"))[1]
    return {".".join(key): remark for key, remark in found.items()}


def descriptions(section: type[Section] = Config) -> Iterator[str]:
    for field in section.model_fields.values():
        yield field.description or ""
        if below := section_of(field):
            yield from descriptions(below)


def texts() -> list[str]:
    """Every text in which a value is explained, each on one line."""
    own = [remark for path in PAPER for remark in remarks(path).values()]
    documents = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    parts = [part for text in documents for part in re.split(r"\n\n|\n(?=[|-])", text)]
    told = [choice.paper for choice in CHOICES]
    return [" ".join(text.split()) for text in (*own, *descriptions(), *told, *parts)]


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_every_value_of_a_paper_configuration_has_a_mark(path):
    text = path.read_text(encoding="utf-8")
    assert legend() in remarks_in(text)[0], "the header explains the marks"
    found = remarks(path)
    assert [remark for remark in found.values() if not MARK.match(remark)] == []
    values = {key for key, _ in flatten(yaml.safe_load(text))}
    table = {key for key in values if key.startswith("corpora.head_bytes.")}  # one value
    values = values - table | ({"corpora.head_bytes"} if table else set())
    assert values - found.keys() == TOLD_ABOVE


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_the_paper_is_named_only_for_what_it_was_seen_to_have(path):
    marks = {key.split(".")[-1]: MARK.match(remark)[1] for key, remark in remarks(path).items()}
    assert {key for key, mark in marks.items() if mark == "paper"} <= SHOWN


def test_what_is_known_from_memory_says_so():
    found = [(text, number) for text in texts() for number in REMEMBERED.finditer(text)]
    assert len(found) > 10
    for text, number in found:
        mark = MARK.match(text) or MARK.search(text, number.end())
        assert mark and mark[1] == "memory", text


def test_marks_are_well_formed_and_siblings_named():
    marks = [mark for text in texts() for mark in MARK.finditer(text)]
    assert {mark[1] for mark in marks} == MARKS.keys()
    bare = [mark[0] for mark in marks if mark[1] == "sibling" and not mark[2]]
    assert bare == ["(sibling)"], "in the table that explains it"
    assert [text for text in texts() if WITHOUT_MARK.search(text)] == []


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.topic)
def test_what_the_paper_has_is_marked_or_not_known(choice):
    assert MARK.search(choice.paper) or UNKNOWN.search(choice.paper)


def test_the_method_explains_the_marks_as_the_code_does():
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `\((\w+)\)` \| (.*) \|$", text, re.MULTILINE)
    assert dict(rows) == MARKS
