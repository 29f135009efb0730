"""Published settings of fine-tuning and prediction, by kind of task or by task.

``xtreme`` (sibling: XTREME): the benchmark's baselines, google-research/xtreme at 838c13b,
``scripts/*.sh`` and ``third_party/run_*.py``. ``ernie_m_base`` and ``ernie_m_large`` (authors):
PaddlePaddle/ERNIE at 5846cc3, ``ernie-m/scripts/{base,large}/*.sh`` and
``utils/finetune_args.py``. They have no script for PAWS-X, UD-POS and PAN-X, which take the values
of their kind; nor one for retrieval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RecipeName = Literal["own", "xtreme", "ernie_m_base", "ernie_m_large"]
Keys = Mapping[str, Any]
# Layers of the large models, XLM-R's and ERNIE-M's; the base models have 12.
DEEP = 24


@dataclass(frozen=True)
class Recipe:
    """Keys of ``finetune`` and of ``predict``; ``all_languages`` are those of ``finetune`` that
    differ when the training text is in all languages, ``deep`` those of ``predict`` that differ for
    an encoder of :data:`DEEP` layers or more."""

    finetune: Keys = field(default_factory=dict)
    all_languages: Keys = field(default_factory=dict)
    predict: Keys = field(default_factory=dict)
    deep: Keys = field(default_factory=dict)


_XTREME: Keys = {
    "batch_size": 32,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "dropout": 0.1,
    "warmup_share": 0.0,
    "max_tokens": 128,
}
_XTREME_TAGGING: Keys = {**_XTREME, "learning_rate": 2e-5, "epochs": 10}
_ERNIE_M: Keys = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-6,
    "clip_norm": 1.0,
    "dropout": 0.1,
    "warmup_share": 0.1,
    "layer_decay": 0.8,
}
_ERNIE_M_PAIR: Keys = {
    **_ERNIE_M,
    "learning_rate": 5e-5,
    "epochs": 5,
    "batch_size": 32,
    "max_tokens": 256,
    "weight_decay": 0.0,
    "evaluate_every": 1000,
}
_ERNIE_M_TAGGING: Keys = {
    **_ERNIE_M,
    "learning_rate": 4e-4,
    "epochs": 10,
    "batch_size": 8,
    "max_tokens": 512,
    "weight_decay": 0.01,
    "evaluate_every": 100,
}
_ERNIE_M_QA: Keys = {
    **_ERNIE_M,
    "epochs": 2,
    "batch_size": 32,
    "max_tokens": 384,
    "window_step": 128,
    "max_query_tokens": 64,
    "weight_decay": 0.0,
    "evaluate_every": 100,
}
_ERNIE_M_ANSWERS: Keys = {"max_answer_tokens": 100, "n_best": 20, "max_context": True}

# XTREME counts layers from the output of the first, as 0: its 7 is hidden state 8 here, and the 13
# that it takes of XLM-R large is 14.
_XTREME_VECTORS: Keys = {"layer": 8, "skip_specials": False, "centre": False, "neighbours": 4}
_XTREME_DEEP: Keys = {"layer": 14}

RECIPES: dict[str, dict[str, Recipe]] = {
    "own": {},
    "xtreme": {
        "pair": Recipe({**_XTREME, "learning_rate": 2e-5, "epochs": 5, "evaluate_every": 100}),
        "pawsx": Recipe({"evaluate_every": 200}),
        "tagging": Recipe({**_XTREME_TAGGING, "evaluate_every": 500}),
        "panx": Recipe({"evaluate_every": 1000}),
        "qa": Recipe(
            {
                **_XTREME,
                "learning_rate": 3e-5,
                "epochs": 3,
                "max_tokens": 384,
                "window_step": 128,
                "max_query_tokens": 64,
                "warmup_steps": 500,
                "weight_decay": 1e-4,
                "selection": "last",
            },
            predict={"max_answer_tokens": 30, "n_best": 20, "max_context": True},
        ),
        "retrieval": Recipe(
            predict={**_XTREME_VECTORS, "pooling": "mean", "scoring": "cosine"}, deep=_XTREME_DEEP
        ),
        "mining": Recipe(predict={**_XTREME_VECTORS, "pooling": "cls"}, deep=_XTREME_DEEP),
    },
    "ernie_m_base": {
        "pair": Recipe(_ERNIE_M_PAIR, {"epochs": 2, "batch_size": 128}),
        "tagging": Recipe(_ERNIE_M_TAGGING, {"learning_rate": 3e-4}),
        "qa": Recipe({**_ERNIE_M_QA, "learning_rate": 3e-4}, predict=_ERNIE_M_ANSWERS),
    },
    "ernie_m_large": {
        "pair": Recipe(_ERNIE_M_PAIR, {"epochs": 1, "batch_size": 128}),
        "tagging": Recipe(_ERNIE_M_TAGGING, {"learning_rate": 2e-4, "layer_decay": 0.9}),
        "qa": Recipe(
            {**_ERNIE_M_QA, "learning_rate": 8e-5, "layer_decay": 0.9}, predict=_ERNIE_M_ANSWERS
        ),
    },
}


def finetune_keys(name: str, kind: str, task: str, all_languages: bool) -> dict[str, Any]:
    """Keys of ``finetune`` that recipe ``name`` sets for a task."""
    found: dict[str, Any] = {}
    for recipe in _recipes(name, kind, task):
        found |= recipe.finetune
        found |= recipe.all_languages if all_languages else {}
    return found


def predict_keys(name: str, kind: str, task: str, layers: int) -> dict[str, Any]:
    """Keys of ``predict`` that recipe ``name`` sets for a task and an encoder of ``layers``."""
    found: dict[str, Any] = {}
    for recipe in _recipes(name, kind, task):
        found |= recipe.predict
        found |= recipe.deep if layers >= DEEP else {}
    return found


def _recipes(name: str, kind: str, task: str) -> list[Recipe]:
    """The kind's recipe, then what the task's own lays over it."""
    return [recipe for key in (kind, task) if (recipe := RECIPES[name].get(key))]
