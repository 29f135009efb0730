"""What is accepted, what is refused, and in which words."""

import pytest
import yaml
from tests.repository import ROOT

from ernie_m.config.base import deep_merge
from ernie_m.config.load import load, read
from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.pipeline.stages import stages_with


def refusal(mapping):
    with pytest.raises(UserError) as caught:
        load(mapping)
    return caught.value.what


def test_nothing_given_is_the_default():
    assert load({}) == Config()


def test_values_given_are_used():
    config = load({"run": "mine", "model": {"layers": 2}})
    assert (config.run, config.model.layers) == ("mine", 2)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"modle": {}}, "Unknown key `modle`: did you mean `model`?"),
        (
            {"pretrain": {"camlm": {"stepz": 3}}},
            "Unknown key `pretrain.camlm.stepz`: did you mean `pretrain.camlm.steps`?",
        ),
        (
            {"pretrain": {"learning_rate": 1.0}},
            "Unknown key `pretrain.learning_rate`: "
            "did you mean `pretrain.camlm.optimiser.learning_rate`?",
        ),
        (
            {"tracking": {"colour": "red"}},
            "Unknown key `tracking.colour`: the keys there are uri, experiment.",
        ),
        (
            {"xtreme": {"per_task": {"standin_qa": {"epoch": 1}}}},
            "Unknown key `xtreme.per_task.standin_qa.epoch`: "
            "did you mean `xtreme.per_task.standin_qa.epochs`?",
        ),
        (
            {"variants": {"small": {"modle": {}}}},
            "Unknown key `variants.small.modle`: did you mean `variants.small.model`?",
        ),
        (
            {"variants": {"small": {"model": {"widht": 64}}}},
            "Unknown key `variants.small.model.widht`: did you mean `variants.small.model.width`?",
        ),
    ],
)
def test_unknown_key_names_the_nearest(wrong, sentence):
    assert sentence in refusal(wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"pretrain": {"camlm": {"steps": "many"}}},
            '`pretrain.camlm.steps` is "many" (text), but it should be a valid integer.',
        ),
        ({"seed": True}, "`seed` is true (true or false), but it should be a valid integer."),
        ({"seed": "7.5"}, '`seed` is "7.5" (text), but it should be a valid integer.'),
        ({"seed": 1 << 64}, "a whole number of more than 64 bits"),
        ({"seed": 2**32}, "it should be less than or equal to 4294967295"),
        ({"pretrain": {"backtranslate": {"chunks": 2**63 - 1}}}, "less than or equal to 100000"),
        ({"corpora": {"filter": {"shard_bytes": 1000}}}, None),
        ({"run": "logs"}, "`results/logs/` is shared by all runs"),
        ({"seed": -1}, "`seed` is -1 (a number), but it should be greater than or equal to 0."),
        ({"model": None}, "`model` is empty, but it should be a group of keys."),
        ({"model": {"layers": 2.5}}, "`model.layers` is 2.5 (a number), but"),
        (
            {"corpora": {"languages": ["en", False]}},
            "`corpora.languages[1]` is false (true or false), but it should be a valid string.",
        ),
        (
            {"model": {"pair_positions": "both"}},
            "but it should be 'continuous' or 'reset'.",
        ),
        ({"model": {"dropout": float("nan")}}, "`model.dropout` is "),
        ({"model": {"width": 30, "heads": 4}}, "`model` is not accepted: heads (4) must divide"),
        ({"variants": {"a": {"model": {"width": "wide"}}}}, '`variants.a.model.width` is "wide"'),
        ({"variants": {"a": {"model": {"heads": 3}}}}, "`variants.a.model` is not accepted"),
        ({"variants": {"ernie_m": {}}}, "`ernie_m` is the name of the main variant"),
        ({"variants": {"No-Good": {}}}, "No-Good"),
    ],
)
def test_wrong_value_is_shown_beside_what_is_wanted(wrong, sentence):
    if sentence is None:
        load(wrong)
    else:
        assert sentence in refusal(wrong)


def test_no_run_has_the_folder_of_what_all_runs_share():
    for stage in stages_with("shared"):
        assert f"`results/{stage}/` is shared by all runs" in refusal({"run": stage})


def test_a_corpus_has_as_many_shards_as_a_plan_can_hold(tmp_path):
    row = {
        **{"id": "big", "url": "https://a.example/b.txt", "filename": "b.txt", "version": "1"},
        **{"licence": "CC0-1.0", "home": "https://a.example", "text_bytes": 10**15},
        **{"format": "cc100", "languages": ["de"]},
    }
    registry = tmp_path / "own.yaml"
    rows = [*yaml.safe_load((ROOT / "config/corpora.yaml").read_text()), row]
    registry.write_text(yaml.safe_dump(rows))
    corpora = {"registry": str(registry), "datasets": ["homeassistant", "big"]}
    corpora["filter"] = {"shard_bytes": 1000}
    assert "would make 1000000000000 shards of `mono-de`" in refusal({"corpora": corpora})


@pytest.mark.parametrize("name", ["..", "a\nb", "$(id)", "/etc/passwd", "-rf", "a;b", "a" * 201])
def test_a_file_name_of_a_registry_is_one_in_every_shell(tmp_path, name):
    registry = tmp_path / "own.yaml"
    rows = yaml.safe_load((ROOT / "config/corpora.yaml").read_text())
    registry.write_text(yaml.safe_dump([rows[0] | {"filename": name}]))
    assert "row 1, filename" in refusal({"corpora": {"registry": str(registry)}})


def test_mirrors_are_addresses_of_the_web(tmp_path):
    registry = tmp_path / "own.yaml"
    row, *_ = yaml.safe_load((ROOT / "config/corpora.yaml").read_text())
    del row["package"]
    row |= {"url": "https://a.example/b.zip", "mirrors": ["file:///etc/passwd"]}
    registry.write_text(yaml.safe_dump([row]))
    assert "row 1, mirrors.0" in refusal({"corpora": {"registry": str(registry)}})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff", "cannot be read (it is not UTF-8 text)"),
        (b"id: one", "is not a list of rows"),
    ],
)
def test_a_registry_that_a_run_needs_is_there_and_a_list(tmp_path, content, sentence):
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    for wrong in ({"corpora": {}}, {"xtreme": {"tasks": ["xnli"]}}):
        (section,) = wrong
        wrong[section]["registry"] = str(path)
        told = refusal(wrong)
        assert section in told and str(path) in told and sentence in told


def test_all_problems_are_listed_once():
    text = refusal({"seed": "x", "model": {"width": "y", "deep": 1}, "variants": {"a": {}}})
    assert "for 3 reasons" in text
    assert text.count("\n  - ") == 3


def test_numbers_that_arrive_as_text_are_numbers():
    # YAML 1.1 takes 5e-4 for text, and `snakemake --config` every value that is nested.
    text = "pretrain: {camlm: {steps: 7, optimiser: {learning_rate: 5e-4}}, btmlm: {masking: {}}}"
    text += "\nxtreme: {seeds: [1, 2], predict: {centre: false}}\nreport: {title: 2024}"
    text += "\nvariants: {small: {model: {layers: 1}}}"
    config = load(yaml.load(text, yaml.BaseLoader))
    assert config.pretrain.camlm.steps == 7
    assert config.pretrain.camlm.optimiser.learning_rate == 5e-4
    assert (config.xtreme.seeds, config.xtreme.predict.centre) == ([1, 2], False)
    assert config.report.title == "2024"
    assert config.variant("small").model.layers == 1


def test_a_variant_is_the_main_variant_with_its_keys_laid_over():
    config = load(
        {
            "model": {"layers": 2},
            "variants": {"plain": {"pretrain": {"btmlm": {"objectives": {"camlm": 0}}}}},
        }
    )
    main, plain = config.variant("ernie_m"), config.variant("plain")
    assert config.variant_names == ("ernie_m", "plain")
    assert (main.model, main.pretrain) == (config.model, config.pretrain)
    assert plain.model == config.model
    assert plain.pretrain.btmlm.objectives.camlm == 0
    assert plain.pretrain.btmlm.objectives.btmlm == config.pretrain.btmlm.objectives.btmlm


def test_overlays_are_laid_over_in_order(tmp_path):
    texts = {"base": "seed: 1\nmodel: {layers: 1}", "one": "model: {width: 64}", "two": "seed: 3"}
    paths = {name: tmp_path / f"{name}.yaml" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    config = read(paths["one"], paths["two"], base=paths["base"])
    assert (config.seed, config.model.layers, config.model.width) == (3, 1, 64)


def test_merge_replaces_lists_and_keeps_its_arguments():
    below = {"a": {"b": [1, 2], "c": 1}}
    assert deep_merge(below, {"a": {"b": [3]}}) == {"a": {"b": [3], "c": 1}}
    assert below == {"a": {"b": [1, 2], "c": 1}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "is not valid YAML: line"),
        ("a: &a [*a]", "or holds itself"),
        ("report: " + "[" * 20_000, "is nested more than 100 deep"),
        ("- a\n- b", "does not hold keys with values"),
        (None, "does not exist"),
    ],
)
def test_unreadable_file_is_named(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=sentence) as caught:
        read(path)
    assert str(path) in caught.value.what
