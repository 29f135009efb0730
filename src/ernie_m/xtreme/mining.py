"""Mining translated pairs with a threshold tuned on dev, whatever the similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ernie_m.xtreme.catalogue import ENGLISH
from ernie_m.xtreme.files import Mined, MiningSentence

# English texts and foreign texts in, scores float [n, m] out.
Similarity = Callable[[Sequence[str], Sequence[str]], np.ndarray]
# Scores are written with this many digits, and compared with the threshold as written.
DIGITS = 6


def greedy_pairs(scores: np.ndarray) -> list[tuple[int, int, float]]:
    """One-to-one pairs (row, column, score), best first.

    Candidates are each row's best column and each column's best row; a candidate is taken unless
    a better one took its row or column (XTREME's "max" retrieval).
    """
    rows = np.arange(scores.shape[0])
    columns = np.arange(scores.shape[1])
    candidates = {(int(i), int(j)) for i, j in zip(rows, scores.argmax(axis=1), strict=True)}
    candidates |= {(int(i), int(j)) for i, j in zip(scores.argmax(axis=0), columns, strict=True)}
    order = sorted(candidates, key=lambda pair: (-scores[pair], pair))
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs = []
    for i, j in order:
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((i, j, float(scores[i, j])))
    return pairs


def best_threshold(scored: Sequence[tuple[float, bool]], gold: int) -> float:
    """Score from which on pairs are kept, so that F1 is highest on dev.

    ``scored`` are (score, is a true pair); ``gold`` is the number of true pairs. Half-way between
    the last pair kept and the next. Infinite when no true pair was found.
    """
    ordered = sorted(scored, key=lambda pair: -pair[0])
    best, threshold, correct = 0.0, float("inf"), 0
    for kept, (value, right) in enumerate(ordered, start=1):
        correct += right
        following = ordered[kept][0] if kept < len(ordered) else value
        f1 = 2 * correct / (kept + gold)
        # Pairs of one score are kept or dropped together.
        if f1 > best and (kept == len(ordered) or following < value):
            best, threshold = f1, (value + following) / 2
    return threshold


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
