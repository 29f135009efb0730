"""What a change makes run again: no more, and above all no less. All by dry run."""

import os

import pytest
import yaml

from ernie_m.lineage.slices import SLICES

from .conftest import PUBLISHED_ONLY, SHARDED

ALL = set(SLICES) - PUBLISHED_ONLY - SHARDED - {"xtreme_align"}
REPORT = {"report_build"}
# What is told of scores; the model card is written by parts of the report's code.
TOLD = {"checkpoints_export"} | REPORT
SCORING = {"xtreme_score", "xtreme_baseline"} | TOLD
EVALUATION = {"xtreme_finetune", "xtreme_predict", "xtreme_score"} | TOLD
FROM_BTMLM = {"pretrain_btmlm", "xtreme_sweep"} | EVALUATION
FROM_CAMLM = {"pretrain_camlm", "pretrain_backtranslate"} | FROM_BTMLM
FROM_CLEAN = ALL - {"corpora_download", "corpora_extract"}
FROM_SPLIT = FROM_CLEAN - {"corpora_clean"}

RATE = {"optimiser": {"learning_rate": 0.0123}}
VALUES = {
    "the learning rate of stage 2": ({"pretrain": {"btmlm": RATE}}, FROM_BTMLM),
    "the learning rate of stage 1": ({"pretrain": {"camlm": RATE}}, FROM_CAMLM),
    "the placeholder ratio": (
        {"pretrain": {"backtranslate": {"placeholder_ratio": 0.31}}},
        {"pretrain_backtranslate"} | FROM_BTMLM,
    ),
    "the width of the model": (
        {"model": {"width": 16}},
        {"pretrain_initialise"} | FROM_CAMLM,
    ),
    "the seed": ({"seed": 77}, FROM_SPLIT),
    "a threshold of a filter": ({"corpora": {"clean": {"min_chars": 3}}}, FROM_CLEAN),
    "the fine-tuning": ({"xtreme": {"finetune": {"epochs": 2}}}, EVALUATION),
    "one more seed of fine-tuning": ({"xtreme": {"seeds": [1, 2]}}, EVALUATION),
    "the pooling": (
        {"xtreme": {"predict": {"pooling": "cls"}}},
        {"xtreme_predict", "xtreme_score", "xtreme_sweep"} | TOLD,
    ),
    "the title of the report": ({"report": {"title": "Another"}}, REPORT),
    "the tracking store": ({"tracking": {"uri": "sqlite:///other.db"}}, set()),
}


def appended(text):
    return lambda before: f"{before.rstrip()}\n{text}\n"


LINES = {
    "a line in the model": (
        "src/ernie_m/model/encoder.py",
        appended("\nADDED = 1"),
        {"pretrain_initialise"} | FROM_CAMLM,
    ),
    "a line in a metric": (
        "src/ernie_m/xtreme/metrics.py",
        appended("\nADDED = 1"),
        SCORING,
    ),
    "a line in the cleaning": (
        "src/ernie_m/corpora/clean.py",
        lambda before: before.replace("\nif __name__", "\nADDED = 1\n\nif __name__"),
        FROM_CLEAN,
    ),
    "a line in the report's template": (
        "src/ernie_m/report/template.html",
        appended("<!-- added -->"),
        TOLD,
    ),
    "a comment in the model": ("src/ernie_m/model/encoder.py", appended("# A remark."), set()),
    "a docstring in the model": (
        "src/ernie_m/model/encoder.py",
        lambda before: before.replace('"""', '"""Once again: ', 1),
        set(),
    ),
    "a comment in a rule": (
        "workflow/rules/pretrain.smk",
        lambda before: f"# A remark.\n{before}",
        set(),
    ),
    "a description in the configuration's code": (
        "src/ernie_m/config/model.py",
        appended("\nADDED = 1"),
        set(),
    ),
    "a line in the lineage": ("src/ernie_m/lineage/record.py", appended("\nADDED = 1"), set()),
}


@pytest.mark.parametrize(("changes", "expected"), VALUES.values(), ids=VALUES)
def test_a_changed_value(tiny, changes, expected):
    with tiny.configured(**changes):
        assert set(tiny.planned()) == expected


@pytest.mark.parametrize(("path", "edit", "expected"), LINES.values(), ids=LINES)
def test_a_changed_line(tiny, path, edit, expected):
    with tiny.edited(path, edit):
        assert (tiny.path / path).read_text(encoding="utf-8")
        assert set(tiny.planned()) == expected


def test_only_the_arm_that_changed_is_trained_anew(tiny):
    config = yaml.safe_load((tiny.path / "config/config.yaml").read_text(encoding="utf-8"))
    variant = config["variants"]["mmlm_tlm"]
    variant["pretrain"]["btmlm"]["optimiser"] = RATE["optimiser"]
    with tiny.configured(variants={"mmlm_tlm": variant}):
        jobs = tiny.planned()
    assert set(jobs) == FROM_BTMLM and jobs["pretrain_btmlm"] == 1


def test_touched_files_change_nothing(tiny):
    for name in (
        "results/corpora_download/homeassistant/original",
        "results/default/corpora_split/stats.json",
        "results/default/corpora_split/mono-en-train.parquet",
        "results/default/pretrain_camlm/ernie_m/model.safetensors",
        "src/ernie_m/model/encoder.py",
        "workflow/rules/pretrain.smk",
        "config/config.yaml",
    ):
        os.utime(tiny.path / name)
    assert not tiny.planned()


@pytest.mark.parametrize("words", [("--cores", "1"), ("--cores", "16"), ("--printshellcmds",)])
def test_other_machines_and_displays_change_nothing(tiny, words):
    assert not tiny.planned(*words)


def test_a_lost_chunk_costs_one_chunk(tiny):
    path = tiny.path / "results/default/pretrain_backtranslate/ernie_m/1/pseudo.safetensors"
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    try:
        assert tiny.planned("backtranslate") == {"pretrain_backtranslate": 1}
    finally:
        hidden.rename(path)
