"""The paper's scores on the tasks that XTREME has too: trained on English, single model.

From the table in the authors' repository (github.com/PaddlePaddle/ERNIE, folder ernie-m). Of
Tatoeba only the average is published, for an encoder fine-tuned on XNLI before; of PAWS-X there is
no row for the base size.
"""

from __future__ import annotations

_XNLI = "en fr es de el bg ru tr ar vi th zh hi sw ur average"
_MLQA = "en es de ar hi vi zh average"
_PAWSX = "en de es fr ja ko zh average"


def _row(columns: str, values: str) -> dict[str, float]:
    return dict(zip(columns.split(), map(float, values.split()), strict=True))


# (task, metric) -> size of the encoder -> score by language, in percent.
PUBLISHED: dict[tuple[str, str], dict[str, dict[str, float]]] = {
    ("xnli", "accuracy"): {
        "base": _row(
            _XNLI,
            "85.5 80.1 81.2 79.2 79.1 80.4 78.1 76.8 76.3 78.3 75.8 77.4 72.9 69.5 68.8 77.3",
        ),
        "large": _row(
            _XNLI,
            "89.3 85.1 85.7 84.4 83.7 84.5 82.0 81.2 81.2 81.9 79.2 81.0 78.6 76.2 75.4 82.0",
        ),
    },
    ("mlqa", "f1"): {
        "base": _row(_MLQA, "81.6 70.9 65.8 61.8 65.4 70.0 65.6 68.7"),
        "large": _row(_MLQA, "84.4 74.8 70.8 67.4 72.6 75.0 71.1 73.7"),
    },
    ("mlqa", "exact_match"): {
        "base": _row(_MLQA, "68.5 52.6 50.7 41.9 47.5 49.2 41.0 50.2"),
        "large": _row(_MLQA, "71.5 56.6 55.9 47.2 54.7 53.7 47.5 55.3"),
    },
    ("pawsx", "accuracy"): {"large": _row(_PAWSX, "96.0 91.9 91.4 92.2 83.9 84.5 86.9 89.5")},
    ("tatoeba", "accuracy"): {"large": {"average": 87.9}},
}
