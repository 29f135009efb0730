"""The claims as data: what is shipped, what is refused, and what a configuration can judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ernie_m.catalogue.published import ABLATION
from ernie_m.config.claims import ClaimsSettings
from ernie_m.config.load import deep_merge, load, read, read_yaml
from ernie_m.errors import UserError
from ernie_m.pipeline import plan
from ernie_m.pipeline.stages import jobs, settings_of

SHIPPED = Path("config/claims.yaml")
EXPERIMENTS = {"ernie_m/initialise": "exp0", "ernie_m/btmlm": "exp5"}


def rows():
    return ClaimsSettings(registry=str(SHIPPED)).rows()


def test_the_shipped_claims_have_the_paper_s_effects():
    """Table 6, from which they are differences."""
    metrics = {"xnli": "accuracy", "conll": "f1"}
    checked = 0
    for row in rows().values():
        if row.kind == "difference":
            arm, against = (
                ABLATION[EXPERIMENTS.get(side, side.partition("/")[0])].scores
                for side in (row.arm, row.against)
            )
            for task, effect in row.paper.items():
                key = task, metrics[task]
                assert arm[key] - against[key] == pytest.approx(effect), row.id
                checked += 1
    assert checked == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": ["xnly"]}, r"scores\.0 of `btmlm`: there is no score `xnly`; did you mean"),
        ({"arm": "exp4"}, r"arm of `btmlm`"),
        ({"arm": "exp4/initialise"}, r"arm of `btmlm`"),
        ({"direction": "up"}, r"direction of `btmlm`"),
        ({"surprise": 1}, r"surprise of `btmlm`"),
        ({"source": "Table 6"}, r"`source` has none of the marks paper, memory"),
        ({"paper": {"mlqa": 1.0}}, r"`paper` has `mlqa`, which is not among `scores`"),
        ({"against": None}, r"a `trend` has no `against`, and all others need one"),
        ({"kind": "ratio"}, r"`scores` has `conll`, of which there is no ratio"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_row_that_cannot_be_meant_is_refused_by_file_row_and_key(tmp_path, change, words):
    row = rows()["btmlm"].model_dump(mode="json") | change
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([row]))
    with pytest.raises(ValueError, match=rf"claims\.yaml, row 1.*{words}"):
        ClaimsSettings(registry=str(path)).rows()


def config(*names):
    return read(*(Path(f"config/{name}.yaml") for name in names))


@pytest.mark.parametrize(
    ("names", "scores"),
    [
        (["paper_base", "ablation"], {"xnli", "conll"}),
        (["ablation_laptop"], {"standin_retrieval", "standin_tagging"}),
    ],
    ids=["paper_base", "laptop"],
)
def test_one_file_judges_the_ablation_at_every_size(names, scores):
    found = plan.comparisons(config(*names))
    assert {own.score for own in found} >= scores | {"cost"}
    judged = {own.claim for own in found}
    assert judged == set(rows()) - {"perplexity_by_share"}
    own = {(one.claim, one.score): one.replicates for one in found}
    assert own["more_mmlm", min(scores)][1] == (("exp1", "btmlm"), ("ernie_m", "initialise"))
    settings = settings_of(config(*names), "claims_judge")
    assert [row.id for row in settings.claims] == [name for name in rows() if name in judged]
    assert "claims" in plan.figures(config(*names))


def with_variants(**variants):
    base = read_yaml(Path("config/config.yaml"))
    return load(deep_merge(base, {"variants": variants}))


def test_a_run_without_both_sides_of_a_claim_judges_nothing():
    assert plan.comparisons(config()) == []
    faster = {"pretrain": {"camlm": {"optimiser": {"learning_rate": 0.01}}}}
    alone = with_variants(exp4=faster)
    assert {own.claim for own in plan.comparisons(alone)} == {"tlm_besides"}
    other = with_variants(another=faster)
    assert jobs(other)["claims_judge"] == [] and "claims" not in plan.figures(other)


def test_the_share_is_judged_over_variants_that_differ_in_it_alone():
    def share(ratio):
        return {"pretrain": {"backtranslate": {"placeholder_ratio": ratio}}}

    faster = share(0.1) | {"model": {"layers": 3}}
    found = plan.comparisons(with_variants(low=share(0.05), high=share(0.2), other=faster))
    assert [own.claim for own in found] == ["perplexity_by_share"]
    names = ("ernie_m", "low", "high")
    assert found[0].replicates == {1: tuple((name, "btmlm") for name in names)}


def test_replicates_of_the_main_variant_can_be_compared_by_stage(tmp_path):
    """And two sides that are one training are not compared."""
    row = rows()["btmlm"].model_dump(mode="json")
    both = {"ernie_m/btmlm": "ernie_m/camlm", "exp4/camlm": "ernie_m/camlm"}
    claims = [
        row
        | {
            "id": f"own_{number}",
            "arm": arm,
            "against": against,
            "scores": ["mmlm_loss"],
            "paper": {},
        }
        for number, (arm, against) in enumerate(both.items())
    ]
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(claims))
    base = deep_merge(
        read_yaml(Path("config/config.yaml")),
        {"claims": {"registry": str(tmp_path / "claims.yaml")}, "replicates": [1, 2]},
    )
    (found,) = plan.comparisons(load(base))
    assert found.claim == "own_0"
    assert found.replicates[2] == (("ernie_m-r2", "btmlm"), ("ernie_m-r2", "camlm"))
    later = {"pretrain": {"btmlm": {"steps": 10}}}
    (found,) = plan.comparisons(load(deep_merge(base, {"variants": {"exp4": later}})))
    assert found.claim == "own_0"


def test_a_missing_registry_is_refused_where_there_are_variants():
    base = deep_merge(
        read_yaml(Path("config/config.yaml")), {"claims": {"registry": "config/none.yaml"}}
    )
    assert load(base).claims.registry == "config/none.yaml"
    with pytest.raises(UserError, match=r"`claims\.registry`.*config/none\.yaml"):
        load(deep_merge(base, {"variants": {"one": {}}}))
