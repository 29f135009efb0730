"""List the runs that meet every condition, with the jobs that do.

CONDITION is one of

  a score                 'xtreme/retrieval/de/accuracy>60', 'xtreme/retrieval@stage=camlm>30'
  a measure               'pretrain/btmlm/valid/tlm/en-de<3'
  a setting               pretrain.btmlm.steps=3500, 'corpora.filter.min_chars>=5'
  bytes                   sha256=7ca5fbde    of a file that a job made, or read from elsewhere
  a commit                commit=df644a9, commit=main
  the code of a stage     code.pretrain_btmlm=1f6b45c2    of all its files, or of one

and in quotes where it has `<` or `>`, which the shell would take for itself. The first 7 digits of
a digest are enough. A score is any variant's, after any stage and with any seed, unless `@` says
which; of a baseline, `@variant=baseline`. Where scores are asked for, all else must hold of jobs
behind them. Exit status: 0, or 1 if no run is found.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.audit import words
from ernie_m.audit.commits import commit_of
from ernie_m.audit.keys import keys_of
from ernie_m.audit.locate import STANDIN, Cell
from ernie_m.audit.numbers import BASELINE, Fact, Numbers
from ernie_m.errors import UserError
from ernie_m.records.graph import Graph, read_graph, runs
from ernie_m.records.record import Record
from ernie_m.replicates import variant_of
from ernie_m.words import few, plural

# A name, which numbers of this name are meant, a sign and a value.
FORM = re.compile(r"([^@<>=!]+)(?:@(\w+=\w+(?:,\w+=\w+)*))?(<=|>=|!=|<|>|=)(.*)")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SCORE, MEASURE, BYTES, COMMIT, CODE = "xtreme/", "pretrain/", "sha256", "commit", "code."
NUMBERS, DIGESTS = (SCORE, MEASURE), (BYTES, COMMIT, CODE)
DIGITS = re.compile(r"[0-9a-f]{7,64}")
ANY = Cell(run="", variant="")
SHOWN = 6  # values listed without --full


@dataclass(frozen=True)
class Condition:
    """What is asked for; ``text`` is how it was written."""

    text: str
    what: str
    cell: Cell
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises :class:`UserError` for what is no condition."""
        form = FORM.fullmatch(text)
        if form is None:
            raise UserError(
                f"`{text}` is no condition.",
                "Write a name, a sign and a value, in quotes: 'xtreme/retrieval/de>60', or "
                "'pretrain.btmlm.steps=3500'; `ernie-m find --help` has more.",
            )
        what, cell, sign, value = (part.strip() for part in form.groups(""))
        what = what.replace(f"{SCORE}{STANDIN}", SCORE)
        if what.startswith(DIGESTS):
            value = (what == COMMIT and commit_of(value)) or value
            if what == COMMIT and not DIGITS.fullmatch(value):
                raise UserError(f"There is no commit `{value}`.", "Name one that git knows.")
            if sign != "=" or not DIGITS.fullmatch(value):
                how = f"Write `{what}=` and 7 or more of the digits that it begins with."
                raise UserError(f"`{text}` names no digest.", how)
        elif (sign[0] in "<>" or what.startswith(NUMBERS)) and _number(value) is None:
            raise UserError(f"`{text}` compares with no number.", "Write one behind the sign.")
        return cls(text, what, ANY.but(cell), sign, value)

    def holds(self, fact: Fact) -> bool:
        """Whether a fact with this name meets the condition."""
        if self.what.startswith(DIGESTS):
            return fact.value.startswith(self.value)
        if fact.cell and not _within(fact.cell, self.cell):
            return False
        if isinstance(fact.value, bool) or not isinstance(fact.value, int | float):
            same = _plain(fact.value) == self.value
            return same if self.sign == "=" else self.sign == "!=" and not same
        number = _number(self.value)
        return number is not None and SIGNS[self.sign](fact.value, number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(setting: Any) -> str:
    """A setting as it is written behind a sign: text has no quotes."""
    return setting if isinstance(setting, str) else words.value(setting)


def _within(own: Cell, asked: Cell) -> bool:
    """Whether a number is among those asked for; a baseline's only where it is asked for one."""
    if own.variant == BASELINE != asked.variant:
        return False
    if asked.variant == variant_of(own.variant):  # in any of its replicates
        own = replace(own, variant=asked.variant)
    given = {name: value for name, value in asdict(asked).items() if value not in ("", None)}
    return given.items() <= asdict(own).items()


def facts(what: str, graph: Graph, nodes: Iterable[Record], numbers: Numbers) -> Iterator[Fact]:
    """All that holds of some jobs and is of the kind of ``what``, whatever its name."""
    if what.startswith(NUMBERS):
        yield from numbers.of(nodes)
        return
    for node in nodes:
        if what == BYTES:
            outside = [file for file in node.read_files if file.path not in graph.made_by]
            for file in (*node.made_files, *outside):
                yield Fact((BYTES,), file.sha256, node, file.path)
        elif what == COMMIT:
            yield Fact((COMMIT,), node.run.git.commit or "", node)
        elif what.startswith(CODE):
            for path, digest in {"": node.code.digest, **node.code.files}.items():
                yield Fact((f"{CODE}{node.stage}",), digest, node, path)
        else:
            yield from (Fact((key,), value, node) for key, value in keys_of(node).items())


Found = dict[str, list[Fact]]  # by the condition that they meet


def find(
    graph: Graph, names: Iterable[str], conditions: Sequence[Condition], numbers: Numbers
) -> dict[str, Found]:
    """The runs among ``names`` that meet all conditions, with what does.

    Raises :class:`UserError` for a condition on something that no job of theirs has.
    """
    found: dict[str, Found] = {}
    known: dict[Condition, set[str]] = {condition: set() for condition in conditions}
    for run in names:
        nodes = of_run(graph, run)
        own: Found = {}
        for condition, seen in known.items():
            there = list(facts(condition.what, graph, nodes, numbers))
            seen.update(name for fact in there for name in fact.names)
            there = [fact for fact in there if condition.what in fact.names]
            own[condition.text] = [fact for fact in there if condition.holds(fact)]
        _stand_together(graph, conditions, own)
        if all(own.values()):
            found[run] = own
    for condition, seen in known.items():
        if condition.what not in seen:
            near = get_close_matches(condition.what, sorted(seen), n=1)
            raise UserError(
                f"`{condition.what}` is of no job here.",
                f"Did you mean `{near[0]}`?" if near else "`ernie-m find --help` has the forms.",
            )
    return found


def of_run(graph: Graph, run: str) -> list[Record]:
    """The jobs of a run and all behind them, readers first, as far as their records can be read."""
    own = (path for path, node in graph.nodes.items() if node.run_name == run)
    return [node for node in graph.behind(*own) if node.data]


def _stand_together(graph: Graph, conditions: Sequence[Condition], own: Found) -> None:
    """Of scores leave those behind which the other conditions hold, and of these what is there."""
    behind = cache(lambda path: {node.path for node in graph.behind(path)})
    scores = {one.text for one in conditions if one.what.startswith(SCORE)}
    others = own.keys() - scores
    for text in scores:
        own[text] = [
            score
            for score in own[text]
            if all(
                {fact.node.path for fact in own[name]} & behind(score.node.path) for name in others
            )
        ]
    reached = {path for text in scores for score in own[text] for path in behind(score.node.path)}
    for name in others if scores else ():
        own[name] = [fact for fact in own[name] if fact.node.path in reached]


def unread(graph: Graph) -> list[str]:
    """Which records could not be looked into, and why."""
    return [f"{node.path} {node.fault}" for node in graph.nodes.values() if not node.data]


def _text(found: dict[str, Found], full: bool) -> Iterator[str]:
    for run, own in found.items():
        yield run
        for text, there in own.items():
            yield f"  {text}"
            values: dict[str, list[Fact]] = {}
            for fact in there:
                values.setdefault(_plain(fact.value), []).append(fact)
            most = len(values) if full else SHOWN
            for value, group in list(values.items())[:most]:
                places = list(dict.fromkeys(fact.place for fact in group if fact.place))
                jobs = words.jobs((fact.node.job for fact in group), full)
                shown = value[:12] if text.startswith(DIGESTS) else value
                shown = shown if shown.isprintable() else json.dumps(shown)
                yield f"    {shown}  {few(places, len(places) if full else 3) or jobs}"
            if len(values) > most:
                yield f"    and {len(values) - most} more; `--full` lists them"


def _data(fact: Fact) -> dict[str, Any]:
    return {"value": fact.value, "job": fact.node.job, "place": fact.place or fact.node.path}


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m find`; returns the exit status."""
    parser = argument_parser("ernie-m find", __doc__)
    parser.add_argument("conditions", metavar="CONDITION", nargs="+", help="what has to hold")
    parser.add_argument("--run", help="name of the only run to look at (default: all)")
    parser.add_argument("--full", action="store_true", help="list every job and file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    conditions = list(map(Condition.parse, args.conditions))
    graph = read_graph(Path.cwd(), args.run)
    names = [args.run] if args.run else runs(Path.cwd())
    numbers = Numbers(graph)
    found = find(graph, names, conditions, numbers)
    left_out = [*numbers.odd, *unread(graph)]
    if args.json:
        data = {
            run: {text: list(map(_data, there)) for text, there in own.items()}
            for run, own in found.items()
        }
        told = {"runs": data, "left_out": left_out}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print(*_text(found, args.full), f"{len(found)} of {plural(len(names), 'run')}.", sep="\n")
        print(*(f"left out: {odd}\n" for odd in left_out), sep="", end="")
    return 0 if found else 1
