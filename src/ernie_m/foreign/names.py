"""Tensor names of XLM-R, ERNIE-M (transformers) and PaddleNLP for ours.

All have the same network under different names. PaddleNLP also stores the weights of linear layers
transposed, ``[in, out]``.

Sources: the modelling files of transformers (``xlm_roberta``; ``ernie_m`` up to 4.x) and of
PaddleNLP 2.8.
"""

from __future__ import annotations

from typing import Literal

# Key of our exports' config.json for what XLM-R's configuration has no key for.
NOTE = "ernie_m"

Layout = Literal["xlm-roberta", "ernie_m", "paddle"]

# Our module names -> theirs, relative to a layer.
_XLMR_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
_PADDLE_LAYER = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.out_proj",
    "attention_norm": "norm1",
    "ffn_in": "linear1",
    "ffn_out": "linear2",
    "ffn_norm": "norm2",
}
# transformers' port nests the projections in one more attention module.
_ERNIE_LAYER = _PADDLE_LAYER | {
    f"attention.{ours}": f"self_attn.self_attn.{theirs}_proj"
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"))
}
_LAYERS: dict[Layout, tuple[str, dict[str, str]]] = {
    "xlm-roberta": ("encoder.layer", _XLMR_LAYER),
    "ernie_m": ("encoder.layers", _ERNIE_LAYER),
    "paddle": ("encoder.layers", _PADDLE_LAYER),
}
# Prefix of the encoder's tensors in a model with a head.
PREFIX: dict[Layout, str] = {
    "xlm-roberta": "roberta.",
    "ernie_m": "ernie_m.",
    "paddle": "ernie_m.",
}
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
DECODER = ("lm_head.decoder.weight", "lm_head.decoder.bias")

WORD, POSITION = "encoder.embeddings.word.weight", "encoder.embeddings.position.weight"
LANGUAGE = "encoder.embeddings.language.weight"
HEAD_BIAS = "head.bias"


def body(layout: Layout, layers: int) -> dict[str, str]:
    """Our name -> their name, without prefix, of every tensor of the encoder but the language
    embedding, which only pre-training has."""
    norm = "embeddings.LayerNorm" if layout == "xlm-roberta" else "embeddings.layer_norm"
    modules = {"encoder.embeddings.norm": norm}
    stack, layer = _LAYERS[layout]
    for index in range(layers):
        for ours, theirs in layer.items():
            modules[f"encoder.layers.{index}.{ours}"] = f"{stack}.{index}.{theirs}"
    names = {
        WORD: "embeddings.word_embeddings.weight",
        POSITION: "embeddings.position_embeddings.weight",
    }
    return names | _tensors(modules)


def masked_lm_head() -> dict[str, str]:
    """The same for XLM-R's LM head; the other layouts have none."""
    modules = {"head.dense": "lm_head.dense", "head.norm": "lm_head.layer_norm"}
    return {HEAD_BIAS: "lm_head.bias"} | _tensors(modules)


def task_head(kind: str) -> dict[str, str]:
    """The same for a fine-tuned head (kinds pair, tagging and qa), as named in transformers."""
    modules = {
        "pair": {"head.pooler": "classifier.dense", "head.out": "classifier.out_proj"},
        "tagging": {"head.out": "classifier"},
        "qa": {"head.out": "qa_outputs"},
    }
    return _tensors(modules[kind])


def transposed(name: str) -> bool:
    """Whether PaddleNLP stores our tensor ``name`` transposed: weights of linear layers."""
    return name.endswith(".weight") and not ("embeddings" in name or "norm." in name)


def _tensors(modules: dict[str, str]) -> dict[str, str]:
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in modules.items()
        for part in ("weight", "bias")
    }
