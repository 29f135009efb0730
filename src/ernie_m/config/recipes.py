"""Published settings of fine-tuning and prediction, by kind of task or by task.

``xtreme`` (sibling: XTREME): the benchmark's baselines, google-research/xtreme at 838c13b,
``scripts/*.sh`` and ``third_party/run_*.py``. ``ernie_m_base`` and ``ernie_m_large`` (authors):
PaddlePaddle/ERNIE at 5846cc3, ``ernie-m/scripts/{base,large}/*.sh`` and
``utils/finetune_args.py``. They have no script for PAWS-X, UD-POS and PAN-X, which take the values
of their kind; nor one for retrieval.
``xlmr``: what an author of XLM-R says of XNLI (facebookresearch/fairseq, issue 1367); other kinds
are as the benchmark fine-tuned XLM-R. Its vectors are those that reach the benchmark's published
numbers of XLM-R large, by google-research/xtreme, pull request 104, which was not merged.
Vectors of ``ernie_m_large`` are VECO's, which the paper is recalled to follow: alibaba/AliceMind
at 167f9d0, ``VECO/NLU/scripts/run_tatoeba.sh``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RecipeName = Literal["own", "xtreme", "xlmr", "ernie_m_base", "ernie_m_large"]
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
    "layer_decay": 1.0,
    "max_tokens": 128,
    "language_embedding": "none",  # such models have none; English alone would train its own
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
    "language_embedding": "none",
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

# The scripts of XTREME and VECO count layers from the output of the first, as 0. So XTREME's 7 is
# hidden state 8 here, the 13 that it takes of XLM-R large is 14, and VECO's 18 is 19. "Layer 10" of
# the pull request is read the same way, because it corrects that 13.
_VECTORS: Keys = {
    "layer": 8,
    "pooling": "mean",
    "skip_specials": False,
    "centre": False,
    "scoring": "cosine",
    "neighbours": 4,
}
_XTREME_DEEP: Keys = {"layer": 14}
_XLMR = Recipe(predict=_VECTORS, deep={"layer": 11})
_VECO = Recipe(deep={**_VECTORS, "layer": 19})

# An epoch is 5,000 batches there, drawn from all examples, and 30 of them are the most: 150,000
# updates, 49 passes over MultiNLI and 3.3 over its 15 languages. Only XNLI is spoken of; for other
# pairs an epoch is a pass here. Not told: schedule, clipping and lengths, which are XTREME's.
_XLMR_PAIR: Keys = {
    **_XTREME,
    "learning_rate": 5e-6,
    "batch_size": 128,
    "epochs": 30,
    "evaluations": 30,
    "patience": 5,
}
_XLMR_XNLI = Recipe({"epochs": 49, "evaluate_every": 5000}, {"epochs": 4})

_XTREME_RECIPES = {
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
    "retrieval": Recipe(predict=_VECTORS, deep=_XTREME_DEEP),
    "mining": Recipe(predict={**_VECTORS, "pooling": "cls"}, deep=_XTREME_DEEP),
}

RECIPES: dict[str, dict[str, Recipe]] = {
    "own": {},
    "xtreme": _XTREME_RECIPES,
    "xlmr": {
        "pair": Recipe(_XLMR_PAIR),
        "xnli": _XLMR_XNLI,
        **{name: _XTREME_RECIPES[name] for name in ("tagging", "panx", "qa")},
        "retrieval": _XLMR,
        "mining": _XLMR,
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
        "retrieval": _VECO,
        "mining": _VECO,
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
