"""Claims of a run with arms, judged for real beside the tiny run."""

import json
import shutil

from ernie_m.audit.witnesses import ANEW
from ernie_m.config.load import read_yaml
from tests.repository import ROOT, Repository

CLAIMS = "results/default/claims_judge/claims.json"


def test_a_run_with_an_arm_judges_the_claims_on_it(tiny, tmp_path):
    shutil.copytree(tiny.path, tmp_path / "copy", symlinks=True)
    repository = Repository(tmp_path / "copy")
    arms = read_yaml(ROOT / "config/ablation_laptop.yaml")["variants"]
    own = {"variants": {"exp1": arms["exp1"]}, "tracking": {"uri": ""}}
    tasks = {"tasks": ["standin_retrieval"]}  # one that needs no fine-tuning
    with repository.configured(**own, xtreme=tasks):
        assert repository.planned("--cores", "2", "report")["claims_judge"] == 1
        repository.run("snakemake", "--cores", "2", "report")
        found = json.loads((repository.path / CLAIMS).read_text())
        assert set(found["claims"]) == {"more_mmlm", "little_cost"}
        cost = found["claims"]["little_cost"]["scores"]["cost"]
        assert 1.0 < cost["mean"] < 1.3 and cost["verdict"] == "none"
        place = f"{CLAIMS}#claims/little_cost/scores/cost/mean"
        audit = json.loads(repository.run("ernie-m", "audit", place, "--json", check=False).stdout)
        assert [f for f in audit["findings"] if not f["what"].endswith(ANEW)] == []
        assert audit["claim"]["value"] == cost["mean"]
        behind = {job["job"] for job in audit["jobs"]}
        assert {"pretrain_btmlm/exp1", "pretrain_backtranslate/ernie_m/0"} <= behind
        # A claim that is changed is judged anew, and nothing else is made anew but what shows it.
        registry = repository.path / "config/claims.yaml"
        registry.write_text(registry.read_text().replace("beyond: 1.15", "beyond: 1.2"))
        planned = repository.planned("--cores", "2", "report")
        assert {stage: n for stage, n in planned.items() if n} == {
            "claims_judge": 1,
            "report_build": 1,
        }
        told = repository.run("ernie-m", "claims").stdout
        assert "no verdict: one replicate decides nothing" in told and "little_cost" in told
