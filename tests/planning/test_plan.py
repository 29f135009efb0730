"""The cost of a configuration: numbers known from elsewhere, and that nothing is left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie_m import cli
from ernie_m.config.load import read
from ernie_m.model.flops import forward_flops, training_flops
from ernie_m.pipeline.stages import jobs as jobs_of
from ernie_m.planning.command import hours, or_dash
from ernie_m.planning.estimate import Estimate, Throughputs, parameters
from ernie_m.report.data_card import sequence_counts
from ernie_m.training.sampling import sampling_shares

PAPER = ("config/paper_base.yaml", "config/paper_large.yaml")


@pytest.fixture(scope="module")
def base():
    return Estimate(read(PAPER[0]), Throughputs.read(), "h100", 0.4)


@pytest.mark.parametrize(
    ("path", "layers", "embeddings"),
    [(PAPER[0], 85_054_464, 192_398_592), (PAPER[1], 302_309_376, 256_531_456)],
)
def test_parameters_are_those_of_xlmr(path, layers, embeddings):
    """XLM-R base has 278 M parameters and large 560 M, of which 192 M and 256 M embed words and
    positions; two rows of normalisation are counted with the latter."""
    found = parameters(read(path).model, 250_002)
    assert found[0] == layers
    assert found[1] == pytest.approx(embeddings, rel=1e-4)


def test_a_step_costs_three_times_its_forward_pass_and_six_times_its_weights(base):
    model = base.config.model
    forward = forward_flops(model, base.vocabulary, [512], 77)
    assert training_flops(model, base.vocabulary, [512], 77) == 3 * forward
    alone = training_flops(model, base.vocabulary, [1], 0)
    weights, attention = 12 * (4 * 768**2 + 2 * 768 * 3072), 12 * 2 * 768
    assert alone == 6 * (weights + attention)


@pytest.mark.parametrize("path", [*PAPER, "config/tiny.yaml"])
def test_every_stage_with_jobs_is_there(path, capsys):
    assert cli.main(["plan", "--configfile", path, "--json"]) == 0
    rows = {row["stage"]: row for row in json.loads(capsys.readouterr().out)}
    jobs = {stage: len(names) for stage, names in jobs_of(read(path)).items() if names}
    together = rows.pop("together")
    assert {stage: row["jobs"] for stage, row in rows.items()} == jobs
    for name in ("written", "flops", "gpu_hours", "core_hours"):
        or_dash = [row[name] for row in rows.values() if row[name] is not None]
        assert together[name] == pytest.approx(sum(or_dash))


@pytest.mark.parametrize(
    ("overlays", "accelerator"),
    [(["one_gpu"], "a100"), (["one_gpu", "one_gpu_small"], "a10")],
    ids=str,
)
def test_one_gpu_is_enough(overlays, accelerator):
    config = read(*(f"config/{name}.yaml" for name in overlays))
    costs = Estimate(config, Throughputs.read(), accelerator, 0.4).costs()
    hours = {cost.stage: cost.gpu_hours for cost in costs if cost.gpu_hours}
    assert 0 < hours["xtreme_finetune"] < 4
    assert 8 < sum(hours.values()) - hours["xtreme_finetune"] < 16
    assert sum(cost.written or 0 for cost in costs) < 200e9
    assert config.hardware.require_gpu and config.hardware.processes == 1


def test_training_follows_the_configuration(base):
    costs = {cost.stage: cost for cost in base.costs()}
    own = base.config.pretrain.camlm
    assert costs["pretrain_camlm"].tokens == own.steps * own.batch_tokens
    slower = Estimate(base.config, base.table, "a10", 0.2)
    ratio = 989 / 125 * 0.4 / 0.2
    there = {cost.stage: cost for cost in slower.costs()}
    assert there["pretrain_camlm"].gpu_hours == pytest.approx(
        ratio * costs["pretrain_camlm"].gpu_hours
    )


def test_fine_tuning_reads_its_text_in_each_epoch_and_leaves_a_model(base, tmp_path):
    overlay = tmp_path / "own.yaml"
    overlay.write_text("xtreme: {tasks: [xnli], seeds: [1, 2], stages: [btmlm], training: english}")
    config = read("config/one_gpu.yaml", overlay)
    costs = Estimate(config, base.table, "h100", 0.4).costs()
    (cost,) = (one for one in costs if one.stage == "xtreme_finetune")
    epochs = config.xtreme.finetune_for("xnli").epochs
    assert cost.tokens == 2 * epochs * base.table.finetuning_tokens["xnli"]
    assert cost.written == 2 * 4 * sum(parameters(config.model, 250_002))
    weights = 12 * (4 * 768**2 + 2 * 768 * 3072)
    assert cost.flops / cost.tokens == pytest.approx(6 * weights, rel=0.03)  # and attention
    tiny = Estimate(read("config/tiny.yaml"), base.table, "h100", 0.4).costs()
    (unknown,) = (one for one in tiny if one.stage == "xtreme_finetune")
    assert unknown.flops is None and unknown.written


def test_the_weights_that_the_paper_starts_from_are_planned_for(base):
    cost = next(cost for cost in base.costs() if cost.stage == "checkpoints_download")
    assert (cost.jobs, cost.read) == (1, 1_115_567_652 + 615 + 5_069_051)
    assert base.vocabulary == 250_002


def test_drawing_the_lines_of_a_vocabulary_reads_all_text(base, tmp_path):
    """Only where one is trained: the paper's configurations take XLM-R's."""
    assert "tokenizer_sample" not in {cost.stage for cost in base.costs()}
    (tmp_path / "own.yaml").write_text("init: ''\n")
    trained = read(PAPER[0], tmp_path / "own.yaml")
    costs = {cost.stage: cost for cost in Estimate(trained, base.table, "h100", 0.4).costs()}
    sample, pack = costs["tokenizer_sample"], costs["tokenizer_pack"]
    assert (sample.jobs, sample.read) == (pack.jobs, pack.read)
    assert costs["tokenizer_quotas"].jobs == 1
    rate = base.text() / sample.core_hours / 3600
    assert rate == pytest.approx(base.table.bytes_per_second["tokenizer_sample"])


def test_the_table_for_people(capsys):
    assert cli.main(["plan", "--configfile", PAPER[1], "--accelerator", "a10"]) == 0
    shown = capsys.readouterr().out
    assert "pretrain_camlm" in shown and "a10, 1.25e+14 FLOP/s, 40%" in shown
    assert "Sampling of 96 languages" in shown and "Sampling of 14 pairs" in shown
    assert "make bench-shards" in shown  # which measured the rates


@pytest.mark.parametrize("share", ["0", "1.5"])
def test_a_utilisation_is_a_share(share):
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan", "--utilisation", share])
    assert ended.value.code == 2


def test_hours():
    assert (or_dash(None, hours), hours(1368.4), hours(0.234)) == ("-", "1,368", "0.23")


@given(st.lists(st.integers(0, 10**12), min_size=1).filter(any), st.floats(0, 1))
def test_shares_are_powers_of_sizes(sizes, alpha):
    shares = sampling_shares({str(k): size for k, size in enumerate(sizes)}, alpha)
    weights = [(size / sum(sizes)) ** alpha if size else 0.0 for size in sizes]
    expected = [weight / sum(weights) for weight in weights]
    assert list(shares.values()) == pytest.approx(expected, abs=1e-12)


def test_nothing_to_draw_from():
    with pytest.raises(ValueError, match="nothing to draw from"):
        sampling_shares({"de": 0}, 0.3)


def test_counts_are_summed_over_the_shards(tmp_path):
    paths = []
    for number, (kind, names, sentences) in enumerate(
        [
            ("mono", ["de"], 5),
            ("mono", ["de"], 7),
            ("mono", ["ru"], 2),
            ("parallel", ["en", "de"], 9),
        ]
    ):
        part = {"file": "train.safetensors", "sentences": sentences, "tokens": 1}
        manifest = {"kind": kind, "languages": names, "parts": {"train": [part]}}
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(manifest))
    assert sequence_counts(paths, "mono") == {"de": 12, "ru": 2}
    assert sequence_counts(paths, "parallel") == {"en-de": 9}
