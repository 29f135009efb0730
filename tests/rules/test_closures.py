"""What a training depends on: its import closure is what makes it run again when it is edited."""

from __future__ import annotations

import ast
import re

import pytest

from ernie_m.records.digest import SOURCE, code_files
from tests.repository import ROOT

PACKAGE = SOURCE / "ernie_m"

# A file that is added here makes every trained model stale whenever it changes.
TRAINING = {
    "corpora": {"hashing"},
    "model": {"architecture", "attention", "checkpoint", "device", "encoder", "packing"},
    "objectives": {"draws", "layout", "lengths", "masking", "objectives"},
    "tokenizer": {"shards"},
    "training": {
        *("batches", "by_step", "callbacks", "corpora", "engine", "loop", "losses", "order"),
        *("prefetch", "processes", "pseudo", "sampling", "schedule", "stage", "state"),
        "validation",
    },
    "": {"mapped", "ragged"},
}


def closure(module: str) -> set[str]:
    """The counted files of a module, without the packages' own."""
    files = {path.relative_to(PACKAGE).as_posix() for path in code_files(f"ernie_m.{module}")}
    return {name for name in files if not name.endswith("__init__.py")}


@pytest.mark.parametrize("stage", ["camlm", "btmlm"])
def test_a_training_depends_on_what_decides_its_bytes_and_on_nothing_else(stage):
    wanted = {
        f"{package}/{name}.py" if package else f"{name}.py"
        for package, names in TRAINING.items()
        for name in names
    }
    assert closure(f"pretrain.{stage}") == wanted | {f"pretrain/{stage}.py"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("tokenizer.train", "checkpoints/tokenizer_json.py"),
        ("pretrain.initialise", "foreign/paddle.py"),
        ("checkpoints.export", "report/page/style.css"),
        ("checkpoints.export", "report/svg/figure.css"),
    ],
)
def test_what_is_shown_or_exported_reaches_no_earlier_stage(module, absent):
    assert (PACKAGE / absent).is_file()
    assert absent not in closure(module)


def test_the_page_and_its_files_are_of_the_report():
    files = closure("report.build")
    assert {"report/page/style.css", "report/page/template.html", "report/svg/figure.css"} <= files


def floors() -> list[str]:
    """The packages in the order that docs/architecture.md writes down, the lowest first."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"Its packages are floors.*?```\n(.*?)```", text, re.S)
    rows = (re.split(r"\s{2,}", line)[0] for line in block.splitlines())
    return [name for row in rows for name in row.split()]


def test_every_package_has_its_floor():
    there = {path.stem for path in PACKAGE.glob("[!_]*") if path.suffix == ".py" or path.is_dir()}
    assert sorted(floors()) == sorted(there)


def imported(path) -> set[str]:
    """The packages of ours that a file imports, anywhere in its text."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("ernie_m.")}


def test_no_import_runs_up():
    floor = {name: index for index, name in enumerate(floors())}
    upward = {
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in PACKAGE.rglob("*.py")
        if (own := path.relative_to(PACKAGE).parts[0].removesuffix(".py")) in floor
        for other in imported(path) - {own}
        if floor[other] > floor[own]
    }
    assert not upward
