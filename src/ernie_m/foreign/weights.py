"""Read a third-party checkpoint, under our tensor names and in our vocabulary's order.

XLM-R and ERNIE-M have our network. The differences: tensor names; in PaddleNLP the orientation of
linear weights; XLM-R's token-type row, a constant that is added to the position rows; and the order
of the vocabulary, where a ``vocab.txt`` gives one. Poolers and task heads are left out: fine-tuning
initialises its own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ernie_m.catalogue.checkpoints import CONFIG, LIST, read_json, vocabulary_in, weights_in
from ernie_m.errors import UserError
from ernie_m.foreign import names
from ernie_m.foreign.files import Weights, read_weights
from ernie_m.foreign.names import HEAD_BIAS, LANGUAGE, NOTE, POSITION, WORD, Layout
from ernie_m.model import checkpoint
from ernie_m.model.encoder import LAYER_NORM_EPS
from ernie_m.tokenizer import pieces

logger = logging.getLogger(__name__)
# Heads and buffers, which are not read.
_LEFT_BEHIND = re.compile(r"(pooler|classifier|qa_outputs|linear_(start|end))\.|.*position_ids$")
MOST = 10_000_000  # of any number in a configuration
# Configuration values that this encoder requires.
_FIXED: dict[str, Any] = {
    "hidden_act": "gelu",
    "layer_norm_eps": LAYER_NORM_EPS,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "is_decoder": False,
}


@dataclass(frozen=True)
class ForeignCheckpoint:
    """Weights under our names, with the vocabulary of the word embedding.

    ``vocabulary`` is the piece of each row; ``languages`` the language of each row of the language
    embedding, empty if there is none. ``weights`` has the LM head only if the source has one.
    ``surplus`` rows behind those of the vocabulary were left out.
    """

    path: Path
    weights: Weights
    vocabulary: list[str]
    languages: tuple[str, ...]
    heads: int
    pair_positions: str
    surplus: int = 0

    @property
    def width(self) -> int:
        """Hidden size."""
        return self.weights[WORD].shape[1]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(name.endswith(".ffn_in.weight") for name in self.weights)

    @property
    def ffn(self) -> int:
        """Inner size of the feed-forward layers."""
        return len(self.weights["encoder.layers.0.ffn_in.weight"])

    def for_pieces(self, wanted: Sequence[str]) -> Weights:
        """The weights with a row for each of the ``wanted`` pieces, in that order.

        Raises :class:`UserError` naming a piece that the checkpoint lacks.
        """
        rows = torch.tensor(pieces.row_indices(wanted, self.vocabulary, self.path))
        by_piece = {name: self.weights[name] for name in (WORD, HEAD_BIAS) if name in self.weights}
        return self.weights | {name: tensor[rows] for name, tensor in by_piece.items()}


def _layout(config: Mapping[str, Any], weights: Weights, path: Path) -> Layout:
    kind = config.get("model_type")
    if kind == "xlm-roberta":
        return "xlm-roberta"
    if kind == "ernie_m":
        return "ernie_m" if any(".self_attn.self_attn." in name for name in weights) else "paddle"
    raise UserError(
        f"{path} is of the architecture `{kind}`.",
        "Give an XLM-R (`xlm-roberta`) or ERNIE-M (`ernie_m`) checkpoint.",
    )


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    for key, wanted in _FIXED.items():
        if config.get(key, wanted) != wanted:
            raise UserError(
                f"{path} says {key}={config[key]!r}, this encoder has {wanted!r}.",
                "Give a checkpoint of XLM-R's or ERNIE-M's architecture.",
            )


def _number(config: Mapping[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise UserError(f"{path} gives no {key}.", "Copy the checkpoint's own config.json.")
    return value


def _check_names(weights: Weights, table: Mapping[str, str], path: Path) -> None:
    """Raise :class:`UserError` for a missing or an unknown tensor."""
    known = {*table.values(), names.TOKEN_TYPES, *names.DECODER}
    odd = (n for n in sorted(weights) if n not in known and not _LEFT_BEHIND.match(n))
    missing = (theirs for theirs in table.values() if theirs not in weights)
    for name, what in ((next(missing, None), "no"), (next(odd, None), "another")):
        if name is not None:
            raise UserError(
                f"{path} is of another architecture than its config.json: it has {what} tensor "
                f"`{name}`.",
                "Give a checkpoint of XLM-R or ERNIE-M, weights and config.json from one folder.",
            )


def _under_our_names(weights: Weights, layout: Layout, table: Mapping[str, str]) -> Weights:
    """Tensors under our names, float32."""

    def ours(name: str, tensor: Tensor) -> Tensor:
        turn = layout == "paddle" and names.transposed(name)
        return (tensor.T.contiguous() if turn else tensor).float()

    return {name: ours(name, weights[theirs]) for name, theirs in table.items()}


def _check_shapes(weights: Weights, config: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`UserError` for a tensor whose shape is not that of the configuration."""
    width, inner = (_number(config, k, path) for k in ("hidden_size", "intermediate_size"))
    words, positions = weights[WORD].shape[0], weights[POSITION].shape[0]
    first = {WORD: words, POSITION: positions, HEAD_BIAS: words}
    for name, tensor in weights.items():
        rows = inner if ".ffn_in." in name else first.get(name, width)
        columns = inner if ".ffn_out.weight" in name else width
        matrix = name.endswith(".weight") and "norm." not in name
        wanted = (rows, columns) if matrix else (rows,)
        if tensor.shape != wanted:
            raise UserError(
                f"The weights beside {path} are of another architecture: `{name}` (our name) is "
                f"{tuple(tensor.shape)}, not {wanted}.",
                "Take weights and config.json from the same checkpoint.",
            )


def _add_token_types(
    weights: Weights, types: Tensor | None, note: Mapping[str, Any], path: Path
) -> tuple[Weights, tuple[str, ...]]:
    """Add the first token type to every position; our exports store language rows as the others,
    and a default language's as the first too."""
    if types is None:
        return weights, ()
    languages = tuple(note["languages"])
    if types.ndim != 2 or types.shape[1] != weights[POSITION].shape[1]:
        raise UserError(f"{path} has token types of another width.", "Fetch it again.")
    if languages and len(types) != 1 + len(languages):
        raise UserError(
            f"{path} has {len(types) - 1} language rows, its config.json names {len(languages)}.",
            "Export the checkpoint again.",
        )
    default = note.get("default_language")
    every = types[0] - types[1 + languages.index(default)] if default in languages else types[0]
    if every.any():
        # Skipped if zero: -0.0 + 0.0 would change the bytes.
        weights = weights | {POSITION: weights[POSITION] + every}
    return (weights | {LANGUAGE: types[1:].clone()} if languages else weights), languages


def _check_tied(weights: Weights, path: Path) -> None:
    tied = ("embeddings.word_embeddings.weight", "lm_head.bias")
    for copy, original in zip(names.DECODER, tied, strict=True):
        if copy in weights and not torch.equal(weights[copy], weights[original]):
            raise UserError(
                f"{path} has a decoder of its own (`{copy}` differs from `{original}`).",
                "Give a checkpoint whose decoder is tied to its word embedding.",
            )


def _vocabulary(path: Path, size: int, padded: bool = False) -> list[str]:
    """The piece of each row of ``size``; ``padded``: of the first rows, for some models have more
    rows than pieces, for the sake of round numbers."""
    model_pieces = pieces.piece_names(pieces.read_proto(vocabulary_in(path.parent)))
    listed = path.with_name(LIST)
    vocabulary = pieces.read_vocab_txt(listed) if listed.is_file() else model_pieces
    if len(vocabulary) > size or (len(vocabulary) < size and not padded):
        raise UserError(
            f"{path} has embeddings of {size:,} pieces, its vocabulary has {len(vocabulary):,}.",
            "Take weights and vocabulary from the same checkpoint.",
        )
    if sorted(vocabulary) != sorted(model_pieces):
        raise UserError(
            f"{listed} and the SentencePiece model beside it name different pieces.",
            "Take both from the same checkpoint.",
        )
    return vocabulary


def read_foreign(folder: Path) -> ForeignCheckpoint:
    """The checkpoint in ``folder``; raises :class:`UserError` for what is damaged, of another
    architecture, or does not fit its vocabulary. Nothing in the files is executed."""
    path, about = weights_in(folder), folder / CONFIG
    if not about.is_file():
        return _read_own(path)
    stored, config = read_weights(path), read_json(about)
    layout = _layout(config, stored, about)
    _check_config(config, about)
    prefix = names.PREFIX[layout]
    plain = {name.removeprefix(prefix): tensor for name, tensor in stored.items()}
    layers = min(_number(config, "num_hidden_layers", about), len(plain))  # each has tensors
    table = names.body(layout, layers)
    if "lm_head.dense.weight" in plain:
        table |= names.masked_lm_head()
    _check_names(plain, table, path)
    weights = _under_our_names(plain, layout, table)
    _check_shapes(weights, config, about)
    _check_tied(plain, path)
    note = _note(config, about)
    weights, languages = _add_token_types(weights, plain.get(names.TOKEN_TYPES), note, path)
    rows = weights[WORD].shape[0]
    vocabulary = _vocabulary(path, rows, padded=True)
    if surplus := rows - len(vocabulary):
        logger.info("%s: %d rows beyond the vocabulary are left out", path, surplus)
        for name in weights.keys() & {WORD, HEAD_BIAS}:
            weights[name] = weights[name][: len(vocabulary)]
    return ForeignCheckpoint(
        path=path,
        weights=weights,
        vocabulary=vocabulary,
        languages=languages,
        heads=_number(config, "num_attention_heads", about),
        pair_positions=note["pair_positions"],
        surplus=surplus,
    )


def _note(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What our exports add to a configuration: languages and positions of pairs."""
    note = config.get(NOTE, {})
    found = {"languages": [], "pair_positions": "continuous"} | (
        note if isinstance(note, dict) else {"languages": None}
    )
    languages, positions = found["languages"], found["pair_positions"]
    whole = isinstance(languages, list) and all(isinstance(code, str) for code in languages)
    if not whole or positions not in ("continuous", "reset"):
        raise UserError(f"The key `{NOTE}` of {path} is damaged.", "Export the checkpoint again.")
    return found


def _read_own(path: Path) -> ForeignCheckpoint:
    """A checkpoint of this project; the head of a fine-tuned one is left out."""
    weights, shape, facts = checkpoint.read(path)
    if "task" in facts:
        weights = {name: tensor for name, tensor in weights.items() if "head." not in name}
    vocabulary = _vocabulary(path, shape.vocabulary)
    languages = shape.languages if LANGUAGE in weights else ()
    return ForeignCheckpoint(
        path, weights, vocabulary, languages, shape.heads, shape.pair_positions
    )
