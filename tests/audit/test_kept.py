"""A checkpoint that a training kept on its way has a chain of its own."""

import json
from pathlib import Path

import pytest

from ernie_m import cli
from ernie_m.audit.chain import Verdict
from ernie_m.config.load import read

from .conftest import finish

FOLDER = "results/tiny/pretrain_camlm/ernie_m"
KEPT = f"{FOLDER}/step10/model.safetensors"
INIT = "results/tiny/pretrain_initialise/ernie_m/model.safetensors"


@pytest.fixture
def kept(results):
    config = read("config/tiny.yaml")
    finish(config, "ernie_m.pretrain.initialise", "ernie_m", {}, {"model": [INIT]})
    module, inputs = "ernie_m.pretrain.camlm", {"init": [INIT]}
    finish(config, module, "ernie_m/step10", inputs, {"model": [KEPT]})
    outputs = {
        "model": [f"{FOLDER}/model.safetensors"],
        "curves": [f"{FOLDER}/curves.jsonl"],
        "metrics": [f"{FOLDER}/metrics.json"],
    }
    finish(config, module, "ernie_m", inputs, outputs)


def said(capsys):
    capsys.readouterr()
    cli.main(["audit", KEPT, "--json"])
    return json.loads(capsys.readouterr().out)


def test_its_settings_are_those_of_the_training(kept, capsys):
    found = said(capsys)
    jobs = [job["job"] for job in found["jobs"]]
    assert set(jobs) == {"pretrain_camlm/ernie_m/step10", "pretrain_initialise/ernie_m"}
    assert found["settings_compared"]
    assert not [one for one in found["findings"] if "setting" in one["what"]]
    overlay = Path("config/tiny.yaml")
    overlay.write_text(overlay.read_text().replace("warmup_steps: 5", "warmup_steps: 6", 1))
    assert any("setting `optimiser` has changed" in one["what"] for one in said(capsys)["findings"])


def test_other_bytes_are_found(kept, capsys):
    Path(KEPT).write_text("other")
    assert Verdict(cli.main(["audit", KEPT])) == Verdict.TAMPERED


def test_what_snakemake_is_asked_for_is_the_training(kept, capsys):
    commands = [one["command"] for one in said(capsys)["next"]]
    asked = [one for one in commands if one.startswith("snakemake")]
    assert asked and all(f"{FOLDER}/model.safetensors" in one for one in asked)
    assert not any("step10" in one for one in asked)
