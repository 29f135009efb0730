"""What the configuration refuses, and how it says so."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ernie_m.config.corpora import CorporaSettings, SplitSettings, load_registry
from ernie_m.config.tokenizer import TokenizerSettings

REGISTRY = Path(__file__).parents[2] / "config" / "corpora.yaml"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"languages": ("en", "dee")}, "language `dee` is not known; did you mean `de`"),
        ({"languages": ("de", "en")}, "`en` must come first"),
        ({"languages": ("en", "de", "de")}, "named twice"),
        ({"pairs": ("en-vi",)}, "pair `en-vi` needs `vi`"),
        ({"pairs": ("en_de",)}, "not of the form"),
        ({"pairs": ("en-de", "de-en")}, "a pair is named twice"),
        ({"datasets": ("homeasistant",)}, "did you mean `homeassistant`"),
        ({"datasets": ("homeassistant", "homeassistant")}, "a dataset is named twice"),
        ({"languages": ("en", "sw"), "pairs": ("en-sw",)}, "no dataset of `datasets` holds"),
        ({"clean": {"min_chars": 50, "max_chars": 20}}, "min_chars is greater"),
        ({"split": {"test_share": 0.4, "valid_share": 0.2}}, "less than half"),
        ({"split": {"test_shar": 0.4}}, "Extra inputs"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValidationError, match=message):
        CorporaSettings(registry=str(REGISTRY), **changes)


def test_defaults_hold_together():
    corpora = CorporaSettings(registry=str(REGISTRY))
    row = corpora.rows()["homeassistant"]
    assert set(corpora.languages) <= set(row.languages)
    assert len(row.languages) == 12
    SplitSettings(**corpora.split.model_dump(), languages=corpora.languages, pairs=corpora.pairs)
    TokenizerSettings()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "short"}, r"row 1, sha256"),
        ({"url": "https://example.org/x"}, "exactly one of package, url and path"),
        ({"package": None}, "exactly one of package, url and path"),
        ({"filename": "../up"}, r"row 1, filename"),
        ({"surprise": 1}, r"row 1, surprise"),
    ],
)
def test_registry_rows_at_fault_are_named(tmp_path, change, message):
    entry = yaml.safe_load(REGISTRY.read_text())[0] | change
    path = tmp_path / "corpora.yaml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValueError, match=message):
        load_registry(path)


def test_a_registry_must_be_there_and_be_yaml(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        load_registry(tmp_path / "absent.yaml")
    (tmp_path / "odd.yaml").write_text("- id: [")
    with pytest.raises(ValueError, match="is not YAML"):
        load_registry(tmp_path / "odd.yaml")
    (tmp_path / "twice.yaml").write_text(REGISTRY.read_text() * 2)
    with pytest.raises(ValueError, match="used twice"):
        load_registry(tmp_path / "twice.yaml")
