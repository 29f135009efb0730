"""The shipped files agree with the models; `ernie-m config --write` puts them right."""

import json
from itertools import pairwise

import pytest
import yaml

from ernie_m.config.base import section_of
from ernie_m.config.load import read
from ernie_m.config.root import Config
from ernie_m.generate.command import BASE, DOCS, DVC, OVERLAYS, SCHEMA, generated, main
from ernie_m.generate.commented import commented_yaml, remarks_in


@pytest.mark.parametrize("path", [BASE, *OVERLAYS, SCHEMA, DOCS, DVC], ids=str)
def test_file_is_in_step(path):
    assert path.read_text(encoding="utf-8") == generated()[path], (
        f"{path} differs from the config models. Look at it with `ernie-m config --check`, "
        "put it right with `ernie-m config --write`."
    )


@pytest.mark.parametrize("path", OVERLAYS, ids=str)
def test_overlay_validates_and_has_a_run_of_its_own_unless_it_adds_to_the_default(path):
    assert read(path).run == ("default" if path.stem == "local" else path.stem)


def test_base_holds_the_defaults():
    assert read() == Config()


def descriptions(section, prefix=""):
    for name, field in section.model_fields.items():
        yield prefix + name, field.description or ""
        if below := section_of(field):
            yield from descriptions(below, f"{prefix}{name}.")


@pytest.mark.parametrize(("key", "description"), list(descriptions(Config)))
def test_every_field_is_described(key, description):
    assert len(description.split()) > 1 or key.count(".") < 2, (
        f"{key} needs a description: unit, source, effect"
    )


@pytest.mark.parametrize("path", [BASE, *OVERLAYS], ids=str)
def test_every_value_has_a_comment_above_it(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    schema_line, *lines = lines
    assert schema_line == "# yaml-language-server: $schema=schema.json"
    for before, line in pairwise(lines):
        value = line.split(" #")[0].strip()
        if value and not value.startswith(("#", "-")) and not value.endswith(":"):
            assert before.lstrip().startswith("#"), line


def test_schema_covers_the_keys_and_refuses_others():
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
    variant = schema["$defs"]["Overrides"]["properties"]
    assert "width" in variant["model"]["properties"]
    assert variant["pretrain"]["$ref"] == "#/$defs/PretrainSettings"


def test_overlay_keeps_header_and_remarks():
    values = {"run": "small", "pretrain": {"camlm": {"steps": 3, "optimiser": {"eps": 1e-6}}}}
    values["variants"] = {"thin": {"model": {"width": 32}}}
    remarks = {
        ("pretrain", "camlm", "steps"): "as few as show that it runs",
        ("variants", "thin"): "half as wide",
    }
    header = "A small run.\n\n" + "Many words. " * 20
    text = commented_yaml(Config, values, header.strip(), remarks)
    assert yaml.safe_load(text) == values
    assert "steps: 3  # as few as show that it runs" in text
    assert Config.model_fields["run"].description.split()[0] in text
    again, found = remarks_in(text)
    assert found == remarks
    assert commented_yaml(Config, values, again, found) == text


def test_check_writes_nothing_and_write_does(tmp_path, monkeypatch, capsys):
    registry = BASE.with_name("corpora.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for folder in ("config", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config/corpora.yaml").write_text(registry, encoding="utf-8")
    assert main(["--check"]) == 1
    assert not BASE.exists()
    assert main(["--write"]) == 0
    assert main(["--check"]) == 0
    BASE.write_text(BASE.read_text(encoding="utf-8").replace("seed: 1", "seed: 2"))
    capsys.readouterr()
    assert main(["--check"]) == 1
    shown = capsys.readouterr().out
    assert "-seed: 2" in shown and "+seed: 1" in shown and "ernie-m config --write" in shown
