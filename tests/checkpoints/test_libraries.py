"""What other libraries make of an export is what we make of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from ernie_m.catalogue.tasks import TASKS
from ernie_m.checkpoints import huggingface, onnx, sentences
from ernie_m.checkpoints.forms import FORMS
from ernie_m.config.export import ExportSettings
from ernie_m.config.xtreme import PredictSettings
from ernie_m.errors import UserError
from ernie_m.model.packing import pack
from ernie_m.model.packing import sentences as alone
from ernie_m.tokenizer.pieces import parse
from ernie_m.xtreme.model.heads import TaskModel
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.vectors.retrieval import embed

from .conftest import LANGUAGES, batch, noisy, padded, shape_for, states, text

CLOSE = {"rtol": 0.0, "atol": 1e-5}


@pytest.mark.parametrize(
    ("task", "loader"),
    [
        ("standin_paraphrase", AutoModelForSequenceClassification),
        ("standin_tagging", AutoModelForTokenClassification),
        ("standin_qa", AutoModelForQuestionAnswering),
    ],
)
def test_fine_tuned_models_say_the_same(task, loader, tokenizer, tmp_path) -> None:
    shape = shape_for(tokenizer)
    ours = TaskModel(shape, TASKS[task], 0.1).eval()
    noisy(ours, 5)
    huggingface.write_model(tmp_path, ours.state_dict(), shape, "none", TASKS[task])
    theirs = loader.from_pretrained(tmp_path).eval()
    documents = batch(tokenizer)
    with torch.no_grad():
        found = theirs(**padded(documents))
        rows = pack(alone(documents, [-1] * len(documents)), 128)
        states_ = ours.encoder(rows).flatten(0, 1)[torch.from_numpy(rows.flat_index())]
        scores = ours.head(states_).split([len(ids) for ids in documents])
    for number, own in enumerate(scores):
        if task == "standin_paraphrase":
            torch.testing.assert_close(found.logits[number], own[0], **CLOSE)
        elif task == "standin_tagging":
            torch.testing.assert_close(found.logits[number, : len(own)], own, **CLOSE)
        else:
            both = torch.stack([found.start_logits, found.end_logits], -1)[number, : len(own)]
            torch.testing.assert_close(both, own, **CLOSE)
    if TASKS[task].labels:
        assert list(theirs.config.id2label.values()) == list(TASKS[task].labels)


@pytest.mark.parametrize(
    ("layer", "pooling", "skip"), [(-2, "mean", True), (-1, "mean", False), (1, "cls", True)]
)
@pytest.mark.parametrize("language", ["none", "de"])
def test_sentence_vectors_are_those_of_the_retrieval_task(
    model, tokenizer, tmp_path, layer, pooling, skip, language
) -> None:
    from sentence_transformers import SentenceTransformer

    settings = ExportSettings(
        format="sentence-transformers",
        language=language,
        layer=layer,
        pooling=pooling,
        skip_specials=skip,
    )
    data = tokenizer.path.read_bytes()
    huggingface.write_tokenizer(tmp_path, data, tokenizer.path, model.shape)
    proto = parse(data, tokenizer.path)
    sentences.write_model(tmp_path, model.state_dict(), model.shape, settings, proto)
    lines = [line for code in LANGUAGES for line in text(code, 4, seed=8)]
    theirs = SentenceTransformer(str(tmp_path), device="cpu").encode(
        lines, normalize_embeddings=True, show_progress_bar=False
    )
    reader = Reader(tokenizer, model.shape, 128, "none" if language == "none" else "own")
    predict = PredictSettings(layer=layer, pooling=pooling, skip_specials=skip, centre=False)
    ours = embed(model.encoder, reader, lines, "de", predict)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    weights, others = FORMS["sentence-transformers"]
    assert written == {weights, *others}


@pytest.fixture(scope="module")
def onnx_file(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    onnx.write_model(folder, model.encoder, "none")
    assert [path.name for path in folder.iterdir()] == [onnx.WEIGHTS]
    return folder / onnx.WEIGHTS


@pytest.mark.parametrize("rows", [1, 3, 24])
def test_onnx_runtime_computes_the_same(model, tokenizer, onnx_file, rows) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    documents = batch(tokenizer)[:rows]
    given = {name: tensor.numpy() for name, tensor in padded(documents).items()}
    for language in (-1, 1):
        given["token_type_ids"] = np.full_like(given["input_ids"], 1 + language)
        (found,) = session.run(["last_hidden_state"], given)
        hidden, _ = states(model, documents, [language] * rows, alone=True)
        for number, ids in enumerate(documents):
            np.testing.assert_allclose(
                found[number, : len(ids)], hidden[-1][number], rtol=0, atol=1e-5
            )


def test_an_export_repeats_byte_for_byte(model, tokenizer, onnx_file, tmp_path) -> None:
    onnx.write_model(tmp_path, model.encoder, "none")
    assert (tmp_path / onnx.WEIGHTS).read_bytes() == onnx_file.read_bytes()


def test_a_language_that_the_model_does_not_know_is_refused(model, tmp_path) -> None:
    with pytest.raises(UserError, match="does not know the language `fi`"):
        huggingface.write_model(tmp_path, model.state_dict(), model.shape, "fi")
    with pytest.raises(UserError, match="does not know the language `fi`"):
        onnx.write_model(tmp_path, model.encoder, "fi")
    assert not list(tmp_path.iterdir())


def test_pieces_for_bytes_are_refused(model, tokenizer, tmp_path) -> None:
    proto = parse(tokenizer.path.read_bytes(), tokenizer.path)
    proto.trainer_spec.byte_fallback = True
    data = proto.SerializeToString()
    with pytest.raises(UserError, match="no pieces for single bytes"):
        huggingface.write_tokenizer(tmp_path, data, tokenizer.path, model.shape)
