"""The numbers of jobs, by the names that `ernie-m audit` knows them by.

A file counts while its bytes are those of its record. Scores whose files are not here are taken
from the report's table, which git may have.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ernie_m.audit.claim import MEANS, SCORES
from ernie_m.audit.locate import STANDIN, Cell
from ernie_m.catalogue.tasks import TASKS
from ernie_m.pipeline.stages import parts_of
from ernie_m.records.graph import RESULTS, Graph
from ernie_m.records.record import Record
from ernie_m.words import flatten

BASELINE = "baseline"
COUNTS = ("n", "averaged")  # of a language's values, those that are no score


@dataclass(frozen=True)
class Fact:
    """What holds of a job: a name, or several that mean the same, and a value.

    Of a file, ``path`` is its path; of a number, ``cell`` has run, variant, stage and seed.
    """

    names: tuple[str, ...]
    value: Any
    node: Record
    path: str = ""
    cell: Cell | None = None

    @property
    def place(self) -> str:
        """What `ernie-m audit` is asked for this; empty if it is of the job as a whole."""
        if self.cell is None:
            return self.path
        which = {name: value for name, value in asdict(self.cell).items() if value is not None}
        return f"{self.names[0]}@" + ",".join(f"{name}={which[name]}" for name in which)


@dataclass
class Numbers:
    """Reads the numbers of jobs; ``odd`` are words on the files that could not be used."""

    graph: Graph
    odd: dict[str, None] = field(default_factory=dict)

    def of(self, nodes: Iterable[Record]) -> Iterator[Fact]:
        """Every number of these jobs: scores, their baselines, and measures of trainings."""
        readers = {"xtreme_score": self._scores, "xtreme_baseline": self._baselines}
        for node in nodes:
            reader = self._measures if node.stage.startswith("pretrain_") else None
            if reader := readers.get(node.stage, reader):
                try:
                    yield from list(reader(node))
                except (AttributeError, KeyError, TypeError, ValueError):
                    self.odd[f"{node.job}: its numbers cannot be read"] = None

    def _scores(self, node: Record) -> Iterator[Fact]:
        parts = parts_of(node.stage, node.instance)
        variant, stage, seed = parts["variant"], parts["checkpoint"], parts["seed"][4:]
        cell = Cell(node.run_name, variant, stage, int(seed))
        for path in node.recorded:
            if (self.graph.base / path).is_file():
                yield from _of_task(node, path, cell, self._document(node, path))
                continue
            wanted = {"task": parts["task"], "variant": variant, "stage": stage, "seed": seed}
            for row in self._table(node):
                if wanted.items() <= row.items():
                    names = _names(parts["task"], row["language"], row["metric"])
                    yield Fact(names, float(row["value"]), node, path, cell)

    def _baselines(self, node: Record) -> Iterator[Fact]:
        for path in node.recorded:
            document = self._document(node, path)
            for name, own in document.get("baselines", {}).items():
                cell = Cell(node.run_name, BASELINE, name)
                yield from _of_task(node, path, cell, document | own)

    def _measures(self, node: Record) -> Iterator[Fact]:
        stage = node.stage.removeprefix("pretrain_")
        for file in node.outputs.get("metrics", ()):
            for keys, value in flatten(self._document(node, file.path), "/"):
                if isinstance(value, int | float) and not isinstance(value, bool):
                    cell = Cell(node.run_name, node.instance, stage)
                    yield Fact((f"pretrain/{stage}/{keys}",), value, node, file.path, cell)

    def _document(self, node: Record, path: str) -> dict[str, Any]:
        """The JSON object in a job's file; empty if it is not here, or is another one now."""
        return json.loads(self._text(path, node) or "{}")

    def _table(self, node: Record) -> list[dict[str, str]]:
        """The rows of the report's table of a job's run."""
        path = f"{RESULTS}/{node.run_name}/{SCORES}"
        text = self._text(path, self.graph.makers.get(path))
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _text(self, path: str, maker: Record | None) -> str:
        """What is in a file; nothing if it is not here, or is not what its maker recorded."""
        file = self.graph.base / path
        content = file.read_bytes() if file.is_file() else b""
        if content and maker and maker.recorded[path] != hashlib.sha256(content).hexdigest():
            self.odd[f"{path} is not what its record says"] = None
            return ""
        return content.decode("utf-8")


def _of_task(node: Record, path: str, cell: Cell, document: Mapping[str, Any]) -> Iterator[Fact]:
    """The scores in a file, or in one baseline's part of it."""
    means = {mean: document[mean] for mean in MEANS if mean in document}
    for language, values in (means | document.get("languages", {})).items():
        for metric, value in values.items():
            if metric not in COUNTS:
                yield Fact(_names(document["task"], language, metric), value, node, path, cell)


def _names(task: str, language: str, metric: str) -> tuple[str, ...]:
    """All names of a score, the whole one first: the main metric may be left out, and then the
    average over languages too."""
    head = f"xtreme/{task.removeprefix(STANDIN)}"
    names = [f"{head}/{language}/{metric}"]
    if task in TASKS and metric == TASKS[task].metric:
        names += [f"{head}/{language}"] + [head] * (language == "average")
    return tuple(names)
