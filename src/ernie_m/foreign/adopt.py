"""Initialise a model from a third-party checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ernie_m.errors import UserError
from ernie_m.foreign.names import HEAD_BIAS, LANGUAGE
from ernie_m.foreign.weights import read_foreign
from ernie_m.model import checkpoint
from ernie_m.model.encoder import LanguageModel
from ernie_m.tokenizer.vocabulary import Tokenizer


def adopt(model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> dict[str, str]:
    """Load the weights in ``folder`` into ``model``, with a row for each piece of ``tokenizer``.

    Language embeddings are copied by name; those of other languages stay zero, so that the model
    starts equal to its source. If the source has no LM head, the model's stays as initialised.
    Raises :class:`UserError` for weights that do not fit; returns metadata for the checkpoint.
    """
    source = read_foreign(folder)
    shape = model.shape
    if source.heads != shape.heads:
        raise UserError(
            f"{source.path} has {source.heads} attention heads, `model.heads` is {shape.heads}.",
            "Set the `model` section to the shape of the checkpoint that `init` names.",
        )
    weights = source.for_pieces([tokenizer.piece(index) for index in range(tokenizer.size)])
    table = weights.pop(LANGUAGE, None)
    if table is not None:
        weights[LANGUAGE] = _languages(model, source.languages, table)
    # Only these may stay as initialised; a layer missing from the source is an error.
    headless = HEAD_BIAS not in weights
    kept = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name == LANGUAGE or (headless and name.startswith("head."))
    }
    checkpoint.fill(model, kept | weights, source.path)
    facts = {"head": "source" if HEAD_BIAS in weights else "fresh"}
    return facts | ({"surplus_rows": str(source.surplus)} if source.surplus else {})


def _languages(model: LanguageModel, known: tuple[str, ...], table: Tensor) -> Tensor:
    if not model.shape.language_embeddings:
        raise UserError(
            "The checkpoint that `init` names has language embeddings, this model has none.",
            "Set `model.language_embeddings: true`.",
        )
    rows = torch.zeros(len(model.shape.languages), table.shape[1])
    for row, language in enumerate(model.shape.languages):
        if language in known:
            rows[row] = table[known.index(language)]
    return rows
