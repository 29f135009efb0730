"""What a training depends on: its import closure is what makes it run again when it is edited."""

from __future__ import annotations

import pytest

from ernie_m.lineage.digest import SOURCE, code_files

# A file that is added here makes every trained model stale whenever it changes.
TRAINING = {
    "corpora": {"hashing"},
    "model": {"architecture", "attention", "checkpoint", "device", "encoder", "packing"},
    "objectives": {"layout", "lengths", "masking", "objectives"},
    "tokenizer": {"shards"},
    "training": {
        *("batches", "callbacks", "corpora", "engine", "loop", "losses", "prefetch", "processes"),
        *("pseudo", "schedule", "stage", "state", "validation"),
    },
    "": {"mapped", "ragged"},
}


def closure(module: str) -> set[str]:
    """The counted files of a module, without the packages' own."""
    root = SOURCE / "ernie_m"
    files = {path.relative_to(root).as_posix() for path in code_files(f"ernie_m.{module}")}
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
        ("checkpoints.export", "report/page/style.css"),
        ("checkpoints.export", "report/svg/figure.css"),
    ],
)
def test_what_is_shown_or_exported_reaches_no_earlier_stage(module, absent):
    assert (SOURCE / "ernie_m" / absent).is_file()
    assert absent not in closure(module)


def test_the_page_and_its_files_are_of_the_report():
    files = closure("report.build")
    assert {"report/page/style.css", "report/page/template.html", "report/svg/figure.css"} <= files
