"""Write a folder that `transformers` loads as XLM-R.

XLM-R's classes compute what our encoder computes. They have no language embedding; it is stored as
their token-type embedding, which is also added to each token: token type 0, the default, is no
language, type ``1 + i`` is language ``i``. So nothing is lost, and the default is the encoder
without language embedding, like the published ERNIE-M.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ernie_m.catalogue.tasks import Task
from ernie_m.checkpoints.tokenizer_json import tokenizer_json
from ernie_m.foreign import names
from ernie_m.foreign.names import LANGUAGE, NOTE, TOKEN_TYPES
from ernie_m.model.architecture import POSITION_OFFSET, Architecture
from ernie_m.model.encoder import LAYER_NORM_EPS
from ernie_m.tokenizer import pieces
from ernie_m.tokenizer.pieces import ModelProto

CLASSES = {
    "pair": "XLMRobertaForSequenceClassification",
    "tagging": "XLMRobertaForTokenClassification",
    "qa": "XLMRobertaForQuestionAnswering",
}
WEIGHTS = "model.safetensors"
NO_LANGUAGE = "none"
_SPECIALS = {
    **{"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"},
    **{"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"},
}


def token_types(weights: dict[str, Tensor], shape: Architecture, language: str) -> Tensor:
    """XLM-R's token-type embedding ``[1 + languages, D]``; row 0, the default, is ``language``'s.

    Raises :class:`UserError` for a language that the model does not know.
    """
    default = torch.zeros(1, shape.width)
    if LANGUAGE not in weights:
        return default
    if language != NO_LANGUAGE:
        default = weights[LANGUAGE][shape.language_index(language)].unsqueeze(0)
    return torch.cat([default, weights[LANGUAGE]])


def _config(shape: Architecture, kind: str, task: Task | None, language: str) -> dict[str, Any]:
    known = shape.languages if shape.language_embeddings else ()
    config: dict[str, Any] = {
        "architectures": [kind],
        "model_type": "xlm-roberta",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": shape.max_positions,
        "type_vocab_size": 1 + len(known),
        "hidden_act": "gelu",
        "layer_norm_eps": LAYER_NORM_EPS,
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": shape.attention_dropout,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        NOTE: {
            "default_language": language,
            "languages": list(known),
            "pair_positions": shape.pair_positions,
        },
    }
    if task is not None and task.labels:
        config["id2label"] = {str(index): label for index, label in enumerate(task.labels)}
        config["label2id"] = {label: index for index, label in enumerate(task.labels)}
    return config


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, model: bytes, path: Path, shape: Architecture) -> ModelProto:
    """Write the vocabulary in the formats that transformers reads; ``model`` is the SentencePiece
    model, copied unchanged. Raises :class:`UserError` for one that XLM-R's classes cannot hold."""
    proto = pieces.parse(model, path)
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    _write_json(folder / "tokenizer.json", tokenizer_json(proto))
    _write_json(folder / "special_tokens_map.json", _SPECIALS)
    _write_json(
        folder / "tokenizer_config.json",
        {
            **_SPECIALS,
            "tokenizer_class": "XLMRobertaTokenizer",
            "model_max_length": shape.max_positions - POSITION_OFFSET,
        },
    )
    return proto


def write_model(
    folder: Path,
    weights: dict[str, Tensor],
    shape: Architecture,
    language: str,
    task: Task | None = None,
) -> None:
    """Write configuration and weights of a pre-trained model (our names, with or without its head)
    or of a fine-tuned one; raises :class:`UserError` for an unknown language."""
    types = token_types(weights, shape, language)
    table, heads = names.body("xlm-roberta", shape.layers), {}
    if task is not None:
        kind, heads = CLASSES[task.kind], names.task_head(task.kind)
    elif names.HEAD_BIAS in weights:
        kind, heads = "XLMRobertaForMaskedLM", names.masked_lm_head()
    else:
        kind = "XLMRobertaModel"
    prefix = names.PREFIX["xlm-roberta"] if heads else ""
    found = {prefix + theirs: weights[ours] for ours, theirs in table.items()}
    found |= {theirs: weights[ours] for ours, theirs in heads.items()}
    found[prefix + TOKEN_TYPES] = types
    save_file(
        {name: found[name].contiguous() for name in sorted(found)},
        folder / WEIGHTS,
        {"format": "pt"},
    )
    _write_json(folder / "config.json", _config(shape, kind, task, language))
