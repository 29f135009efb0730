"""A checkpoint of others with a narrow encoder, in any form in which they are published."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sentencepiece
import torch
from safetensors.torch import save
from torch import Tensor

from ernie_m.catalogue.checkpoints import CONFIG, LIST, PIECES, WEIGHTS
from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.config.checkpoints import Shape
from ernie_m.config.model import ModelSettings
from ernie_m.foreign import names
from ernie_m.foreign.names import Layout
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import LAYER_NORM_EPS, LanguageModel
from ernie_m.model.start import initialise
from ernie_m.rehearse.words import Words
from ernie_m.tokenizer.vocabulary import Tokenizer

SENTENCES = 12  # of each language, from which the vocabulary is made
MOST_PIECES = 4000
POSITIONS = 514
# How a ``vocab.txt`` of ERNIE-M writes the special pieces.
LISTED = {
    "<s>": "[CLS]",
    "<pad>": "[PAD]",
    "</s>": "[SEP]",
    "<unk>": "[UNK]",
    "<mask>": "[MASK]",
}


@cache
def vocabulary() -> bytes:
    """A SentencePiece model that knows the letters of all languages."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(
            line for code in LANGUAGES for line in Words(code, "vocabulary").sentences(SENTENCES)
        ),
        model_writer=model,
        vocab_size=MOST_PIECES,
        character_coverage=1.0,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@cache
def pieces() -> tuple[str, ...]:
    """The piece of each of our ids."""
    with TemporaryDirectory() as folder:
        path = Path(folder, PIECES[0])
        path.write_bytes(vocabulary())
        tokenizer = Tokenizer(path)
        return tuple(tokenizer.piece(number) for number in range(tokenizer.size))


def _model(shape: Shape) -> LanguageModel:
    """Random weights of a shape, without language embeddings, which no published model has."""
    made = LanguageModel(
        Architecture(
            **shape.model_dump(),
            vocabulary=len(pieces()),
            max_positions=POSITIONS,
            dropout=0.0,
            attention_dropout=0.0,
            language_embeddings=False,
            pair_positions="continuous",
            languages=("en",),
            tokenizer="",
        )
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        initialise(made, ModelSettings(head_bias_start="zero"), torch.zeros(len(pieces())))
    return made


def published(layout: Layout, weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Our tensors as a layout names and turns them, contiguous: XLM-R's with its head and its one
    token type, those of ERNIE-M without."""
    table = names.body(layout, layers)
    prefix = "" if layout == "ernie_m" else names.PREFIX[layout]
    found = {
        prefix + theirs: weights[ours].T
        if layout == "paddle" and names.transposed(ours)
        else weights[ours]
        for ours, theirs in table.items()
    }
    if layout == "xlm-roberta":
        found |= {theirs: weights[ours] for ours, theirs in names.masked_lm_head().items()}
        found[prefix + names.TOKEN_TYPES] = torch.zeros(1, weights[names.WORD].shape[1])
    return {name: tensor.contiguous() for name, tensor in found.items()}


def written(name: str, tensors: dict[str, Tensor]) -> bytes:
    """Tensors as a file of weights of that name has them."""
    if name.endswith(".safetensors"):
        return save(tensors)
    if name.endswith(".pdparams"):
        return pickle.dumps({name: np.asarray(tensor) for name, tensor in tensors.items()}, 4)
    sink = io.BytesIO()
    torch.save(tensors, sink)
    return sink.getvalue()


def checkpoint(files: Iterable[str], shape: Shape) -> dict[str, bytes]:
    """The files of these names, with one of weights among them: XLM-R, or ERNIE-M where the file is
    of PaddlePaddle or a list of pieces is wanted."""
    wanted = list(files)
    (weights,) = (name for name in wanted if name in WEIGHTS)
    paddle = weights.endswith(".pdparams")
    layout: Layout = "paddle" if paddle else "ernie_m" if LIST in wanted else "xlm-roberta"
    state = {name: tensor.detach() for name, tensor in _model(shape).state_dict().items()}
    config = {
        "model_type": "xlm-roberta" if layout == "xlm-roberta" else "ernie_m",
        "vocab_size": len(pieces()),
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": LAYER_NORM_EPS,
    }
    listed = "".join(f"{LISTED.get(piece, piece)}\n" for piece in pieces())
    made = {
        weights: written(weights, published(layout, state, shape.layers)),
        CONFIG: json.dumps(config).encode(),
        LIST: listed.encode(),
        **dict.fromkeys(PIECES, vocabulary()),
    }
    return {name: made[name] for name in wanted}
