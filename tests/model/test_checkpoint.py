"""Checkpoints: whole or refused, with a message that says why."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ernie_m.errors import UserError
from ernie_m.model.architecture import Architecture
from ernie_m.model.checkpoint import fill, load, read, save
from ernie_m.model.encoder import LanguageModel

SHAPE = Architecture(40, 1, 16, 2, 32, 20, 0.0, 0.0, True, "reset", ("en", "de"), "t" * 64)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, LanguageModel]:
    torch.manual_seed(0)
    model = LanguageModel(SHAPE)
    save(tmp_path / "model.safetensors", model, SHAPE, {"stage": "camlm", "steps": "7"})
    return tmp_path / "model.safetensors", model


def test_out_and_in_again_is_the_same_model_and_the_same_bytes(saved, tmp_path: Path) -> None:
    path, model = saved
    again = load(path)
    assert again.shape == SHAPE and not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert read(path)[2]["steps"] == "7"
    save(tmp_path / "second", again, again.shape, {"stage": "camlm", "steps": "7"})
    assert (tmp_path / "second").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("length", [0, 4, 100, 5000])
def test_a_torn_file_is_refused(saved, length: int) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="not a whole checkpoint"):
        load(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layers": 10**9}, "not of the architecture"),
        ({"vocabulary": 10**9}, "not of the architecture"),
        ({"width": 10**9}, "not of the architecture"),
        ({"heads": 0}, "not of the architecture"),
        ({"ffn": "32"}, "architecture cannot be read"),
        ({"languages": 3}, "architecture cannot be read"),
    ],
)
def test_an_architecture_is_that_of_the_weights(saved, change, sentence: str) -> None:
    path, model = saved
    save(path, model, replace(SHAPE, **change), {})
    with pytest.raises(UserError, match=sentence):
        load(path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"layers": 2}, "layers.1"),
        ({"width": 32}, "encoder.embeddings"),
        ({"vocabulary": 41}, "embeddings.word"),
    ],
)
def test_another_architecture_is_named(saved, change: dict[str, int], name: str) -> None:
    path, _ = saved
    other = LanguageModel(replace(SHAPE, **change))
    with pytest.raises(UserError, match="another architecture") as caught:
        fill(other, read(path)[0], path)
    assert name in caught.value.what and str(path) in caught.value.what


def test_a_language_that_was_not_trained_on_is_refused() -> None:
    assert SHAPE.language_index("de") == 1
    with pytest.raises(UserError, match="`fr`"):
        SHAPE.language_index("fr")
