"""Mining translated pairs with a threshold tuned on dev, whatever the similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ernie_m.xtreme.catalogue import ENGLISH
from ernie_m.xtreme.files import Mined, MiningSentence
from ernie_m.xtreme.retrieval import best_threshold, greedy_pairs

# English texts and foreign texts in, scores float [n, m] out.
Similarity = Callable[[Sequence[str], Sequence[str]], np.ndarray]
# Scores are written with this many digits, and compared with the threshold as written.
DIGITS = 6


def sides(
    sentences: Sequence[MiningSentence],
) -> tuple[list[MiningSentence], list[MiningSentence]]:
    """English and foreign sentences."""
    english = [sentence for sentence in sentences if sentence.language == ENGLISH]
    foreign = [sentence for sentence in sentences if sentence.language != ENGLISH]
    return english, foreign


def _candidates(
    sentences: Sequence[MiningSentence], similarity: Similarity
) -> list[tuple[MiningSentence, MiningSentence, float]]:
    english, foreign = sides(sentences)
    scores = similarity([s.text for s in english], [s.text for s in foreign])
    return [(english[i], foreign[j], round(value, DIGITS)) for i, j, value in greedy_pairs(scores)]


def mine(
    dev: Sequence[MiningSentence], test: Sequence[MiningSentence], similarity: Similarity
) -> list[Mined]:
    """Pairs of ``test`` that reach the threshold of highest F1 on ``dev``, best first.

    ``source`` is the foreign sentence and ``target`` the English one, as in BUCC's gold files.
    """
    known = [(score, a.partner == b.id) for a, b, score in _candidates(dev, similarity)]
    gold = sum(sentence.partner is not None for sentence in sides(dev)[0])
    threshold = best_threshold(known, gold)
    return [
        Mined(source=foreign.id, target=english.id, score=score, threshold=threshold)
        for english, foreign, score in _candidates(test, similarity)
        if score >= threshold
    ]
