"""Weights move in and out without loss: transformers is the oracle, both ways."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from ernie_m.checkpoints import huggingface
from ernie_m.foreign.adopt import adopt
from ernie_m.foreign.weights import read_foreign
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer.vocabulary import Tokenizer

from .conftest import LANGUAGES, batch, noisy, padded, shape_for, states, text

CLOSE = {"rtol": 0.0, "atol": 1e-5}
TATOEBA = Path(__file__).resolve().parents[3] / "shared/data/tatoeba"


def export(
    model: LanguageModel, tokenizer: Tokenizer, folder: Path, language: str = "none"
) -> Path:
    folder.mkdir()
    huggingface.write_tokenizer(folder, tokenizer.path.read_bytes(), tokenizer.path, model.shape)
    huggingface.write_model(folder, model.state_dict(), model.shape, language)
    return folder


@pytest.fixture(scope="module")
def exported(model, tokenizer, tmp_path_factory) -> Path:
    return export(model, tokenizer, tmp_path_factory.mktemp("out") / "hf")


def compare(theirs, ours, documents) -> None:
    """Every layer and the logits, wherever there is a token."""
    hidden, logits = ours
    for number, ids in enumerate(documents):
        for layer, states_ in enumerate(hidden):
            found = theirs.hidden_states[layer][number, : len(ids)]
            torch.testing.assert_close(found, states_[number], **CLOSE)
        torch.testing.assert_close(theirs.logits[number, : len(ids)], logits[number], **CLOSE)


@pytest.mark.parametrize("alone", [True, False], ids=["padded", "packed"])
def test_in_all_hidden_states_and_logits_are_those_of_transformers(
    oracle, source, tokenizer, alone
) -> None:
    model = LanguageModel(shape_for(tokenizer)).eval()
    noisy(model, 7)
    torch.nn.init.zeros_(model.encoder.embeddings.language.weight)
    assert adopt(model, tokenizer, source) == {"head": "source"}
    documents = batch(tokenizer)
    with torch.no_grad():
        theirs = oracle(**padded(documents), output_hidden_states=True)
    compare(theirs, states(model, documents, [0] * len(documents), alone), documents)


@pytest.mark.parametrize("alone", [True, False], ids=["padded", "packed"])
@pytest.mark.parametrize("language", [-1, 2])
def test_out_all_hidden_states_and_logits_are_ours(
    model, exported, tokenizer, alone, language
) -> None:
    documents = batch(tokenizer)
    given = padded(documents)
    if language >= 0:
        given["token_type_ids"] = torch.full_like(given["input_ids"], 1 + language)
    with torch.no_grad():
        theirs = AutoModelForMaskedLM.from_pretrained(exported).eval()(
            **given, output_hidden_states=True
        )
    compare(theirs, states(model, documents, [language] * len(documents), alone), documents)


def test_the_body_alone_loads_and_a_default_language_needs_no_token_types(
    model, tokenizer, tmp_path
) -> None:
    documents = batch(tokenizer)
    folder = export(model, tokenizer, tmp_path / "ru", language="ru")
    with torch.no_grad():
        found = AutoModel.from_pretrained(folder).eval()(**padded(documents)).last_hidden_state
    hidden, _ = states(model, documents, [2] * len(documents), alone=True)
    for number, ids in enumerate(documents):
        torch.testing.assert_close(found[number, : len(ids)], hidden[-1][number], **CLOSE)


def same_ids(folder: Path, tokenizer: Tokenizer, lines: list[str]) -> list[str]:
    """Lines on which transformers and we do not agree."""
    theirs = AutoTokenizer.from_pretrained(folder)(lines)["input_ids"]
    ours = [[0, *ids, 2] for ids in tokenizer.encode(lines)]
    return [line for line, a, b in zip(lines, theirs, ours, strict=True) if a != b]


def test_a_thousand_lines_in_twelve_languages_get_the_same_ids(exported, tokenizer) -> None:
    lines = [line for language in LANGUAGES for line in text(language, 84, seed=3)]
    assert len(lines) >= 1000
    assert same_ids(exported, tokenizer, lines) == []
    # Made of the SentencePiece model alone, as the classes did that were built on it.
    (exported / "tokenizer.json").rename(exported / "aside.json")
    try:
        assert same_ids(exported, tokenizer, lines) == []
    finally:
        (exported / "aside.json").rename(exported / "tokenizer.json")


@pytest.mark.skipif(not TATOEBA.is_dir(), reason="the Tatoeba files are not beside the checkout")
def test_real_text_gets_the_same_ids(exported, tokenizer) -> None:
    files = sorted(path for path in TATOEBA.glob("tatoeba.*") if path.suffix != ".eng")
    lines = [line for path in files for line in path.read_text("utf-8").splitlines()[:100]]
    assert len(files) >= 12 and len(lines) >= 1000
    assert same_ids(exported, tokenizer, lines) == []


def test_pairs_are_laid_out_as_in_training(exported, tokenizer) -> None:
    theirs = AutoTokenizer.from_pretrained(exported)("role", "list table")["input_ids"]
    first, second = tokenizer.encode(["role", "list table"])
    assert theirs == [0, *first, 2, 2, *second, 2]
    mask = AutoTokenizer.from_pretrained(exported)("role <mask>.")["input_ids"]
    assert mask.count(tokenizer.mask_id) == 1


def test_in_out_in_gives_the_same_bytes(model, exported, source, tokenizer, tmp_path) -> None:
    again = LanguageModel(model.shape)
    adopt(again, tokenizer, exported)
    for name, tensor in model.state_dict().items():
        assert tensor.numpy().tobytes() == again.state_dict()[name].numpy().tobytes(), name
    second = export(again, tokenizer, tmp_path / "second")
    for path in exported.iterdir():
        assert (second / path.name).read_bytes() == path.read_bytes(), path.name

    once = LanguageModel(shape_for(tokenizer))
    adopt(once, tokenizer, source)
    twice = LanguageModel(shape_for(tokenizer))
    adopt(twice, tokenizer, export(once, tokenizer, tmp_path / "xlm-r"))
    for name, tensor in once.state_dict().items():
        if not name.endswith("language.weight"):
            assert tensor.numpy().tobytes() == twice.state_dict()[name].numpy().tobytes(), name


def test_an_export_with_a_default_language_is_read_back_as_it_was(
    model, tokenizer, tmp_path
) -> None:
    again = LanguageModel(model.shape)
    adopt(again, tokenizer, export(model, tokenizer, tmp_path / "ru", language="ru"))
    for name, tensor in model.state_dict().items():
        assert tensor.numpy().tobytes() == again.state_dict()[name].numpy().tobytes(), name


def test_a_folder_read_again_knows_its_languages(exported, model) -> None:
    found = read_foreign(exported)
    assert found.languages == model.shape.languages and found.heads == model.shape.heads
