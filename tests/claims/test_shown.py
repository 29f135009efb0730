"""The claims on the report's page: a panel and a row each, every number a door."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ernie_m.checkpoints import card
from ernie_m.config.report import ReportSettings
from ernie_m.job import Job
from ernie_m.report import build
from ernie_m.report.evidence import Evidence
from ernie_m.report.training import variant_settings
from tests.claims.made import BTMLM, COST, LITTLE, SHARE, Study
from tests.report.test_report import OUTPUTS, Doors, check_page

FOLDER = Path("results/study/report_build")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def report_of(study):
    """The page, and the figure of the claims as a file."""
    figure = FOLDER / "figures/claims.svg"
    figure.parent.mkdir(parents=True)
    job = Job(
        module="ernie_m.report.build",
        instance="",
        settings=ReportSettings(),
        seed=1,
        threads=1,
        input_paths=study.inputs,
        output_paths={name: [FOLDER / file] for name, file in OUTPUTS.items()}
        | {"figures": [figure]},
    )
    build.run(job)
    return job.output("report").read_text(), job.outputs("figures")[0].read_text()


@pytest.fixture
def study():
    by_language = {"de": -1.5, "ru": 0.0, "bg": 1.5}
    study = Study([0.5, 0.6, -0.2], by_language, ratios=(0.05, 0.2))
    study.recorded(BTMLM, LITTLE, COST, SHARE, more=("exp4", "exp4_1"))
    return study


def test_each_claim_has_a_panel_and_each_score_a_row(study):
    page, figure = report_of(study)
    check_page(page)
    section = page.split('<section id="claims">')[1].split("</section>")[0]
    assert page.index('<section id="claims">') < page.index('<section id="steps">')
    panels = re.findall(r"<figure.*?</figure>", section, re.DOTALL)
    # Points and nats of one claim are no axis.
    assert [re.search(r"<h3>([^<]+)", panel)[1] for panel in panels] == [
        *("BTMLM adds something.",) * 3, "It costs little.", "Perplexity falls.",
    ]  # fmt: skip
    rows = re.findall(r"<tr.*?</tr>", section.split("<tbody>")[1], re.DOTALL)
    words = [re.findall(r'class="words">([^<]+)</td></tr>', row)[0] for row in rows]
    assert re.fullmatch(r"undecided \(needs about \d+ replicates\)", words[0])
    assert words[1:] == ["holds here"] * 4
    assert "at 2 layers, 410 k tokens" in section
    assert ElementTree.fromstring(figure).get("aria-label").startswith("The paper")
    assert all(word in figure for word in ("holds here", "claimed", "btmlm"))


def test_every_number_of_a_claim_opens_what_is_behind_it(study):
    doors = Doors()
    doors.feed(report_of(study)[0].split('<section id="claims">')[1].split("</section>")[0])
    assert len(doors.numbers) > 20
    assert [text for text, door in doors.numbers if door is None] == []
    places = {place for _, door in doors.numbers for place in door.get("data-from", "").split()}
    assert f"{study.inputs['claims'][0]}#claims/btmlm/scores/standin_retrieval/mean" in places
    assert any("/exp4-r3/btmlm/seed2/scores.json#average/accuracy" in place for place in places)


def test_a_run_without_claims_says_nothing_of_them():
    study = Study([1.0])
    page, figure = report_of(study)
    assert 'id="claims"' not in page and "#claims" not in page
    assert "no numbers" in figure


def test_the_card_lists_the_verdicts(study):
    evidence = Evidence.read(study.inputs["records"], study.inputs["claims"])
    (lines,) = card._claims(evidence).values()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 5 and "at 2 layers, 410 k tokens" in lines[0]
    assert rows[2].startswith("| BTMLM adds something. | Retrieval, points | +0.3 | ")
    assert rows[-1].endswith("| holds here |")
    assert card._claims(Evidence.read(study.inputs["records"], [])) == {}


def test_the_settings_of_a_variant_are_those_of_all_trainings_behind_it(tmp_path, monkeypatch):
    """Also of a stage that was run for another variant."""
    monkeypatch.chdir(tmp_path)
    evidence = Evidence.read(Study([1.0]).inputs["records"], [])
    found = variant_settings(evidence, "exp4")
    assert found["camlm.objectives.camlm"] == found["btmlm.objectives.btmlm"] == 1.0
    assert found["camlm.objectives.tlm"] == 0.0
    assert found["backtranslate.placeholder_ratio"] == 0.15 and "initialise.layers" in found
