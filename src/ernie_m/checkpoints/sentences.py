"""Write a folder that `sentence_transformers` loads: text to vector, as in the retrieval task.

The pooled layer becomes the last one; the layers above it are left out, because a sentence vector
does not need them. Special tokens have weight 0 in the mean.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ernie_m.checkpoints import huggingface
from ernie_m.config.export import ExportSettings
from ernie_m.model.architecture import POSITION_OFFSET, Architecture
from ernie_m.tokenizer import pieces
from ernie_m.tokenizer.pieces import ModelProto
from ernie_m.xtreme.vectors.retrieval import layer_index

WEIGHTS, POOLING = "1_WordWeights", "2_Pooling"
_CLASS = "sentence_transformers.models."


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def _write_token_weights(folder: Path, proto: ModelProto, skip: bool) -> None:
    """Write the weight of each piece in the mean over tokens."""
    vocabulary = pieces.piece_names(proto)
    skipped = ("<s>", "</s>") if skip else ()
    config = {
        "vocab": vocabulary,
        "word_weights": dict.fromkeys(skipped, 0.0),
        "unknown_word_weight": 1.0,
    }
    _write(folder / "config.json", config)
    weights = torch.tensor([[0.0 if name in skipped else 1.0] for name in vocabulary])
    save_file({"emb_layer.weight": weights}, folder / "model.safetensors")


def write_model(
    folder: Path,
    weights: dict[str, Tensor],
    shape: Architecture,
    settings: ExportSettings,
    proto: ModelProto,
) -> None:
    """Write all but the vocabulary; raises :class:`UserError` for a layer that does not exist."""
    layers = layer_index(settings.layer, shape.layers)
    body = {name: tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    huggingface.write_model(folder, body, replace(shape, layers=layers), settings.language)
    _write_token_weights(
        folder / WEIGHTS, proto, settings.pooling == "mean" and settings.skip_specials
    )
    _write(
        folder / POOLING / "config.json",
        {
            "word_embedding_dimension": shape.width,
            "pooling_mode_mean_tokens": settings.pooling == "mean",
            "pooling_mode_cls_token": settings.pooling == "cls",
        },
    )
    _write(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": f"{_CLASS}Transformer"},
            {"idx": 1, "name": "1", "path": WEIGHTS, "type": f"{_CLASS}WordWeights"},
            {"idx": 2, "name": "2", "path": POOLING, "type": f"{_CLASS}Pooling"},
        ],
    )
    length = shape.max_positions - POSITION_OFFSET
    _write(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
