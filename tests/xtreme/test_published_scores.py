"""Published scores: copied without slips, and each says where it was seen."""

from statistics import fmean

import pytest

from ernie_m.catalogue.published import ABLATION, LEADERBOARD, MMBERT, PUBLISHED, SETTINGS
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.pretrain import Shares
from ernie_m.marks import MARK

ROWS = [(task, metric, row) for (task, metric), rows in PUBLISHED.items() for row in rows]
# Whose average is not the mean of its languages as it was printed.
MISPRINTED = {("mlqa", "f1", "XLM-R large")}


@pytest.mark.parametrize("task,metric,row", ROWS)
def test_every_row_has_a_source_and_its_average_is_the_mean(task, metric, row):
    assert TASKS[task].published and row.setting in SETTINGS
    mark = MARK.match(row.source)
    assert mark and mark[1] in {"paper", "authors", "sibling"} and mark[2]
    scores = dict(row.scores)
    average = scores.pop("average")
    if scores:
        places = 2 if task == "conll" else 1
        right = abs(average - fmean(scores.values())) <= 0.51 * 10**-places
        assert right == ((task, metric, row.model) not in MISPRINTED)


def test_no_row_stands_twice():
    keys = [(task, metric, row.model, row.setting, row.source) for task, metric, row in ROWS]
    assert len(keys) == len(set(keys))


def test_of_veco_only_averages_are_taken():
    """Its languages stand under the wrong headings, on XNLI at least."""
    veco = [row for *_, row in ROWS if row.model == "VECO large"]
    assert len(veco) == 5 and all(row.scores.keys() == {"average"} for row in veco)


def test_that_an_encoder_was_fine_tuned_on_xnli_is_from_memory():
    rows = {(row.model, row.setting): row for row in PUBLISHED["tatoeba", "accuracy"]}
    assert rows["ERNIE-M large", "finetuned"].label.endswith("fine-tuned on XNLI (memory)")
    assert "VECO's paper" in rows["XLM-R large", "finetuned"].source
    assert not any(setting == "pretrained" for _, setting in rows)


@pytest.mark.parametrize(
    ("model", "xcopa", "average"),
    [("XLM-R base", 61.2, 70.4), ("mGTE base", 63.6, 71.1), ("mmBERT base", 67.5, 72.8)],
)
def test_the_other_papers_table_has_its_own_average(model, xcopa, average):
    """Its eighth task, XCOPA, is none of ours."""
    scores = [
        row.scores["average"] for *_, row in ROWS if (row.model, row.source) == (model, MMBERT)
    ]
    assert len(scores) == 7
    assert fmean([*scores, xcopa]) == pytest.approx(average, abs=0.05)


def test_the_leaderboards_entry_is_the_mean_of_its_nine_tasks():
    tasks = {"classification": 2, "tagging": 2, "qa": 3, "retrieval": 2}
    total = sum(count * LEADERBOARD[group] for group, count in tasks.items())
    assert total / 9 == pytest.approx(LEADERBOARD["overall"], abs=0.05)


def test_the_ablation_adds_objectives_that_are_known_here():
    assert list(ABLATION) == [f"exp{number}" for number in range(6)]
    assert ABLATION["exp0"].objectives == ()
    assert set(ABLATION["exp5"].objectives) == set(Shares.model_fields)
    columns = {metric for variant in ABLATION.values() for metric in variant.scores}
    assert columns == {("xnli", "accuracy"), ("conll", "f1")} <= PUBLISHED.keys()
    assert all(MARK.match(variant.source)[1] == "paper" for variant in ABLATION.values())
    # What back-translation adds to CAMLM, as the paper's text says it (memory).
    gains = [ABLATION["exp4"].scores[key] - ABLATION["exp3"].scores[key] for key in sorted(columns)]
    assert gains == pytest.approx([0.1, 0.5])
