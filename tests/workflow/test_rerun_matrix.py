"""What a change makes run again: no more, and above all no less. All by dry run."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from ernie_m.audit.impact import impact
from ernie_m.audit.keys import layers_of
from ernie_m.pipeline.stages import STAGES
from ernie_m.records.graph import read_graph
from ernie_m.words import flatten
from tests.repository import PUBLISHED_ONLY, VARIANTS_ONLY

ALL = set(STAGES) - PUBLISHED_ONLY - VARIANTS_ONLY
REPORT = {"report_build"}
# What is told of scores; the model card is written by parts of the report's code.
TOLD = {"checkpoints_export"} | REPORT
SCORING = {"xtreme_score", "xtreme_baseline"} | TOLD
EVALUATION = {"xtreme_finetune", "xtreme_predict", "xtreme_score"} | TOLD
FROM_BTMLM = {"pretrain_btmlm", "xtreme_sweep"} | EVALUATION
FROM_CAMLM = {"pretrain_camlm", "pretrain_backtranslate"} | FROM_BTMLM
FROM_PACK = {"tokenizer_pack", "pretrain_draw"} | FROM_CAMLM
FROM_TOKENIZER = {"tokenizer_train", "pretrain_initialise"} | FROM_PACK
FROM_SELECT = {"corpora_select", "tokenizer_quotas", "tokenizer_sample"} | FROM_TOKENIZER
FROM_FILTER = ALL - {"corpora_download", "corpora_extract"}
FROM_DEAL = FROM_FILTER - {"corpora_filter"}

RATE = {"optimiser": {"learning_rate": 0.0123}}
VALUES = {
    "the learning rate of stage 2": ({"pretrain": {"btmlm": RATE}}, FROM_BTMLM),
    "the learning rate of stage 1": ({"pretrain": {"camlm": RATE}}, FROM_CAMLM),
    "the placeholder ratio": (
        {"pretrain": {"backtranslate": {"placeholder_ratio": 0.31}}},
        {"pretrain_draw", "pretrain_backtranslate"} | FROM_BTMLM,
    ),
    "the steps of stage 2, which decide what is generated for": (
        {"pretrain": {"btmlm": {"steps": 21}}},
        {"pretrain_draw", "pretrain_backtranslate"} | FROM_BTMLM,
    ),
    "the masks of stage 2": (
        {"pretrain": {"btmlm": {"masking": {"ratio": {"btmlm": 0.25}}}}},
        FROM_BTMLM,
    ),
    "the length of a row": (
        {"pretrain": {"camlm": {"row_length": 160}}},
        FROM_PACK,
    ),
    "the width of the model": (
        {"model": {"width": 16}},
        {"pretrain_initialise"} | FROM_CAMLM,
    ),
    "the seed": ({"seed": 77}, FROM_DEAL),
    "a threshold of a filter": ({"corpora": {"filter": {"min_chars": 3}}}, FROM_FILTER),
    "the fine-tuning": ({"xtreme": {"finetune": {"epochs": 2}}}, EVALUATION),
    "one more seed of fine-tuning": ({"xtreme": {"seeds": [1, 2]}}, EVALUATION),
    "the pooling": (
        {"xtreme": {"predict": {"pooling": "cls"}}},
        {"xtreme_predict", "xtreme_score", "xtreme_sweep"} | TOLD,
    ),
    "the share of tokens to predict": (
        {"pretrain": {"camlm": {"masking": {"ratio": {"camlm": 0.25}}}}},
        FROM_CAMLM,
    ),
    "the size of the vocabulary": (
        {"tokenizer": {"train": {"vocabulary_size": 1500}}},
        FROM_TOKENIZER,
    ),
    "the held-out share": ({"corpora": {"deal": {"test_share": 0.15}}}, FROM_DEAL),
    "how short an evaluation text counts": (
        {"corpora": {"select": {"decontaminate_min_chars": 25}}},
        {"corpora_eval_hashes"} | FROM_SELECT,
    ),
    "the number of test examples": (
        {"xtreme": {"prepare": {"test_examples": 7}}},
        {"xtreme_prepare", "xtreme_baseline", "xtreme_sweep"} | EVALUATION,
    ),
    "the languages that are averaged": ({"xtreme": {"score": {"min_examples": 3}}}, SCORING),
    "the title of the report": ({"report": {"title": "Another"}}, REPORT),
    "one more replicate": (
        {"replicates": [1, 2]},
        {"pretrain_initialise", "pretrain_draw"} | FROM_CAMLM,
    ),
    "how often state is saved, and the tracking store": (
        {"saving": {"every_steps": 7, "keep": 3}, "tracking": {"uri": "sqlite:///other.db"}},
        set(),
    ),
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
        "src/ernie_m/xtreme/scoring/metrics.py",
        appended("\nADDED = 1"),
        SCORING,
    ),
    "a line in the filter": (
        "src/ernie_m/corpora/filter.py",
        lambda before: before.replace("\nif __name__", "\nADDED = 1\n\nif __name__"),
        FROM_FILTER,
    ),
    "a line in the report's template": (
        "src/ernie_m/report/page/template.html",
        appended("<!-- added -->"),
        REPORT,
    ),
    "a line in the export's writer of tokenizer.json": (
        "src/ernie_m/checkpoints/tokenizer_json.py",
        appended("\nADDED = 1"),
        {"checkpoints_export"},
    ),
}
# What no result depends on: how a training is shown and saved, a reader of formats that this run
# has none of, remarks and descriptions, what a record looks like.
IDLE = (
    ("src/ernie_m/callbacks/display.py", appended("\nADDED = 1")),
    ("src/ernie_m/callbacks/checkpointer.py", appended("\nADDED = 1")),
    ("src/ernie_m/foreign/paddle.py", appended("\nADDED = 1")),
    ("src/ernie_m/model/encoder.py", appended("# A remark.")),
    (
        "src/ernie_m/model/attention.py",
        lambda before: before.replace('"""', '"""Once again: ', 1),
    ),
    ("workflow/rules/pretrain.smk", lambda before: f"# A remark.\n{before}"),
    ("src/ernie_m/config/model.py", appended("\nADDED = 1")),
    ("src/ernie_m/records/record.py", appended("\nADDED = 1")),
)


@pytest.mark.parametrize(("changes", "expected"), VALUES.values(), ids=VALUES)
def test_a_changed_value(tiny, changes, expected):
    with tiny.configured(**changes):
        assert set(tiny.planned()) == expected


@pytest.mark.parametrize(("path", "edit", "expected"), LINES.values(), ids=LINES)
def test_a_changed_line(tiny, path, edit, expected):
    with tiny.edited(path, edit):
        assert (tiny.path / path).read_text(encoding="utf-8")
        assert set(tiny.planned()) == expected


def test_lines_that_no_result_depends_on(tiny):
    with ExitStack() as edits:
        for path, edit in IDLE:
            edits.enter_context(tiny.edited(path, edit))
        assert not tiny.planned()


def foretold(tiny, monkeypatch, *things):
    """Stages that `ernie-m impact` says would be run again."""
    monkeypatch.chdir(tiny.path)
    graph, layers = read_graph(Path(), "default"), layers_of("default")
    return {node.stage for thing in things for node in impact(graph, thing, layers)}


# What only decides which jobs there are has no impact on one that is there.
REACHING = {name: value for name, value in VALUES.items() if "one more" not in name}


@pytest.mark.parametrize(("changes", "expected"), REACHING.values(), ids=REACHING)
def test_impact_of_a_key_is_what_a_dry_run_plans(tiny, monkeypatch, changes, expected):
    keys = (key for key, _ in flatten(changes))
    assert foretold(tiny, monkeypatch, *keys) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    {path: expected for path, _, expected in LINES.values()}.items(),
)
def test_impact_of_a_line_is_what_a_dry_run_plans(tiny, monkeypatch, path, expected):
    assert foretold(tiny, monkeypatch, path) == expected


def test_a_checkpoint_to_start_from(tiny, monkeypatch, tmp_path):
    for name in ("config.json", "model.safetensors", "sentencepiece.bpe.model"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    with tiny.configured(init=str(tmp_path)):
        assert set(tiny.planned()) == FROM_TOKENIZER | {"pretrain_adopt"}
    assert foretold(tiny, monkeypatch, "init") == FROM_TOKENIZER


def test_only_the_variant_that_changed_is_trained_anew(tiny):
    config = yaml.safe_load((tiny.path / "config/config.yaml").read_text(encoding="utf-8"))
    variant = config["variants"]["mmlm_tlm"]
    variant["pretrain"]["btmlm"]["optimiser"] = RATE["optimiser"]
    with tiny.configured(variants={"mmlm_tlm": variant}):
        jobs = tiny.planned()
    assert set(jobs) == FROM_BTMLM and jobs["pretrain_btmlm"] == 1


def test_touched_files_change_nothing(tiny):
    for name in (
        "results/corpora_download/homeassistant/original",
        "results/default/corpora_deal/stats.json",
        "results/default/corpora_deal/mono-en-rows.arrow",
        "results/default/pretrain_camlm/ernie_m/model.safetensors",
        "src/ernie_m/model/encoder.py",
        "workflow/rules/pretrain.smk",
        "config/config.yaml",
    ):
        os.utime(tiny.path / name)
    assert not tiny.planned()


def test_another_machine_and_display_change_nothing(tiny):
    assert not tiny.planned("--cores", "16", "--printshellcmds")


def test_another_profile_changes_nothing(tiny):
    profile = tiny.path / "profiles/other/config.yaml"
    profile.parent.mkdir()
    profile.write_text(
        "cores: 1\nmax-threads: 1\nkeep-going: true\ndefault-resources: [mem_mb=500]\n"
    )
    assert not tiny.planned("--profile", "profiles/other")


def test_a_commit_and_a_checkout_there_and_back_change_nothing(tiny):
    """Git gives every file that it writes a new date."""
    title = tiny.path / "config/config.yaml"
    before = title.read_text(encoding="utf-8")
    tiny.git("checkout", "-q", "-b", "elsewhere")
    title.write_text(before.replace("seed: 1\n", "seed: 2\n", 1), encoding="utf-8")
    source = tiny.path / "src/ernie_m/model/encoder.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    tiny.git("commit", "-q", "-a", "-m", "elsewhere")
    tiny.git("checkout", "-q", "main")
    assert not tiny.planned()


def test_a_lost_chunk_costs_one_chunk(tiny):
    path = tiny.path / "results/default/pretrain_backtranslate/ernie_m/1/pseudo.safetensors"
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    try:
        assert tiny.planned("backtranslate") == {"pretrain_backtranslate": 1}
    finally:
        hidden.rename(path)
