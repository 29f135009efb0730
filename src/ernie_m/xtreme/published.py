"""Scores that others published on the tasks that this project has too, in percent, single models.

From the tables in the authors' repository (github.com/PaddlePaddle/ERNIE, folder ernie-m), which
also have the rows of the models that ERNIE-M is compared with; the last one is of XTREME's
leaderboard. Of Tatoeba only averages are published. Of PAWS-X there is no row for the base size.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from ernie_m.xtreme.catalogue import ENGLISH

# How a model was fine-tuned, or how an encoder for retrieval was made.
SETTINGS = {
    "english": "trained on English",
    "all": "trained in all languages",
    "pretrained": "encoder as pre-trained",
    "finetuned": "encoder fine-tuned on XNLI",
    "aligned": "encoder fine-tuned for retrieval",
}

_XNLI = "en fr es de el bg ru tr ar vi th zh hi sw ur average"
_MLQA = "en es de ar hi vi zh average"
_PAWSX = "en de es fr ja ko zh average"
_CONLL = "en nl es de average"


@dataclass(frozen=True)
class Published:
    """``setting`` is one of :data:`SETTINGS`; ``scores`` are by language, and ``average``."""

    model: str
    setting: str
    scores: dict[str, float]

    @property
    def transfer(self) -> float | None:
        """Mean over languages other than English; None where there are only averages."""
        others = [score for name, score in self.scores.items() if name not in (ENGLISH, "average")]
        return fmean(others) if others else None

    @property
    def gap(self) -> float | None:
        """English less the mean over the other languages."""
        return None if self.transfer is None else self.scores[ENGLISH] - self.transfer

    @property
    def label(self) -> str:
        """Model and setting in words."""
        return f"{self.model}, {SETTINGS[self.setting]}"

    @property
    def ours(self) -> bool:
        """Whether it is a model that this project reproduces."""
        return self.model.startswith("ERNIE-M")


def _row(model: str, setting: str, columns: str, values: str) -> Published:
    scores = dict(zip(columns.split(), map(float, values.split()), strict=True))
    return Published(model, setting, scores)


def _xnli(model: str, setting: str, values: str) -> Published:
    return _row(model, setting, _XNLI, values)


def _mlqa(model: str, values: str) -> Published:
    return _row(model, "english", _MLQA, values)


def _pawsx(model: str, setting: str, values: str) -> Published:
    return _row(model, setting, _PAWSX, values)


def _conll(model: str, setting: str, values: str) -> Published:
    return _row(model, setting, _CONLL, values)


def _average(model: str, setting: str, value: float) -> Published:
    return Published(model, setting, {"average": value})


# By task and metric.
PUBLISHED: dict[tuple[str, str], tuple[Published, ...]] = {
    ("xnli", "accuracy"): (
        _xnli(
            "XLM-R base",
            "english",
            "85.8 79.7 80.7 78.7 77.5 79.6 78.1 74.2 73.8 76.5 74.6 76.7 72.4 66.5 68.3 76.2",
        ),
        _xnli(
            "ERNIE-M base",
            "english",
            "85.5 80.1 81.2 79.2 79.1 80.4 78.1 76.8 76.3 78.3 75.8 77.4 72.9 69.5 68.8 77.3",
        ),
        _xnli(
            "XLM-R large",
            "english",
            "89.1 84.1 85.1 83.9 82.9 84.0 81.2 79.6 79.8 80.8 78.1 80.2 76.9 73.9 73.8 80.9",
        ),
        _xnli(
            "ERNIE-M large",
            "english",
            "89.3 85.1 85.7 84.4 83.7 84.5 82.0 81.2 81.2 81.9 79.2 81.0 78.6 76.2 75.4 82.0",
        ),
        _xnli(
            "XLM-R base",
            "all",
            "85.4 81.4 82.2 80.3 80.4 81.3 79.7 78.6 77.3 79.7 77.9 80.2 76.1 73.1 73.0 79.1",
        ),
        _xnli(
            "ERNIE-M base",
            "all",
            "86.2 82.5 83.8 82.6 82.4 83.4 80.2 80.6 80.5 81.1 79.2 80.5 77.7 75.0 73.3 80.6",
        ),
        _xnli(
            "XLM-R large",
            "all",
            "89.1 85.1 86.6 85.7 85.3 85.9 83.5 83.2 83.1 83.7 81.5 83.7 81.6 78.0 78.1 83.6",
        ),
        _xnli(
            "ERNIE-M large",
            "all",
            "89.5 86.5 86.9 86.1 86.0 86.8 84.1 83.8 84.1 84.5 82.1 83.5 81.1 79.4 77.9 84.2",
        ),
    ),
    ("pawsx", "accuracy"): (
        _pawsx("XLM-R large", "english", "94.7 89.7 90.1 90.4 78.7 79.0 82.3 86.4"),
        _pawsx("ERNIE-M large", "english", "96.0 91.9 91.4 92.2 83.9 84.5 86.9 89.5"),
        _pawsx("ERNIE-M large", "all", "96.5 93.5 93.3 93.8 87.9 88.4 89.2 91.8"),
    ),
    ("conll", "f1"): (
        _conll("XLM-R base", "english", "92.25 78.08 76.53 69.60 79.11"),
        _conll("ERNIE-M base", "english", "92.78 78.01 79.37 68.08 79.56"),
        _conll("XLM-R large", "english", "92.92 80.80 78.64 71.40 80.94"),
        _conll("ERNIE-M large", "english", "93.28 81.45 78.83 72.99 81.64"),
        _conll("XLM-R base", "all", "91.08 89.09 87.28 83.17 87.66"),
        _conll("ERNIE-M base", "all", "93.04 91.73 88.33 84.20 89.32"),
        _conll("XLM-R large", "all", "92.00 91.60 89.52 84.60 89.43"),
        _conll("ERNIE-M large", "all", "94.01 93.81 89.23 86.20 90.81"),
    ),
    ("mlqa", "f1"): (
        _mlqa("XLM-R base", "77.1 67.4 60.9 54.9 59.4 64.5 61.8 63.7"),
        _mlqa("ERNIE-M base", "81.6 70.9 65.8 61.8 65.4 70.0 65.6 68.7"),
        _mlqa("ERNIE-M large", "84.4 74.8 70.8 67.4 72.6 75.0 71.1 73.7"),
    ),
    ("mlqa", "exact_match"): (
        _mlqa("XLM-R base", "64.6 49.6 46.7 36.6 42.9 44.7 39.3 46.3"),
        _mlqa("ERNIE-M base", "68.5 52.6 50.7 41.9 47.5 49.2 41.0 50.2"),
        _mlqa("ERNIE-M large", "71.5 56.6 55.9 47.2 54.7 53.7 47.5 55.3"),
    ),
    ("tatoeba", "accuracy"): (
        _average("XLM-R large", "pretrained", 75.2),
        _average("ERNIE-M large", "finetuned", 87.9),
        _average("ERNIE-M large", "aligned", 93.3),
    ),
}

# ERNIE-M's entry, by XTREME's groups, and the mean of the nine tasks; trained on translations too.
LEADERBOARD = {
    "classification": 87.9,
    "tagging": 75.6,
    "qa": 72.3,
    "retrieval": 91.9,
    "overall": 80.9,
}
