"""Bitext mining with a threshold tuned on dev, for any similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ernie_m.catalogue.tasks import ENGLISH
from ernie_m.xtreme.files import Mined, MiningSentence

# Scores of candidate pairs (English, foreign): each sentence with its best partner.
Candidates = Mapping[tuple[int, int], float]
Comparison = Callable[[Sequence[str], Sequence[str]], Candidates]
# Scores are rounded to this many digits before they are compared with the threshold.
DIGITS = 6


def candidates(blocks: Iterable[np.ndarray]) -> Candidates:
    """Scores of each row's best column and each column's best row, the first among equals, from
    blocks of rows of a score matrix, float ``[n, m]``."""
    pairs: dict[tuple[int, int], float] = {}
    rows, best, done = np.zeros(0, dtype=np.int64), np.zeros(0), 0
    for block in blocks:
        here, columns = np.arange(len(block)), np.arange(block.shape[1])
        column = block.argmax(axis=1)
        scores = block[here, column].tolist()
        pairs |= dict(zip(_cells(done + here, column), scores, strict=True))
        row = block.argmax(axis=0)
        highest = block[row, columns]
        if done:
            rows = np.where(highest > best, done + row, rows)
            best = np.maximum(highest, best)
        else:
            rows, best = row, highest
        done += len(block)
    return pairs | dict(zip(_cells(rows, np.arange(len(rows))), best.tolist(), strict=True))


def _cells(rows: np.ndarray, columns: np.ndarray) -> Iterable[tuple[int, int]]:
    return zip(rows.tolist(), columns.tolist(), strict=True)


def greedy_pairs(candidates: Candidates) -> list[tuple[int, int, float]]:
    """One-to-one pairs (row, column, score), best first: a candidate is taken unless a better one
    took its row or column (XTREME's "max" retrieval)."""
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs = []
    for (i, j), score in sorted(candidates.items(), key=lambda item: (-item[1], item[0])):
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((i, j, score))
    return pairs


def best_threshold(scored: Sequence[tuple[float, bool]], gold: int) -> float:
    """The score threshold with the highest F1 on dev.

    ``scored`` are (score, is a true pair); ``gold`` is the number of true pairs. The threshold lies
    half-way between the last pair kept and the next; it is infinite when no true pair was found.
    """
    ordered = sorted(scored, key=lambda pair: -pair[0])
    best, threshold, correct = 0.0, float("inf"), 0
    for kept, (value, right) in enumerate(ordered, start=1):
        correct += right
        following = ordered[kept][0] if kept < len(ordered) else value
        f1 = 2 * correct / (kept + gold)
        # Pairs with equal scores are kept or dropped together.
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


def _by_text(sentences: Sequence[MiningSentence]) -> dict[str, MiningSentence | None]:
    """Sentence by text; None for a repeated text, which no single sentence stands for."""
    found: dict[str, MiningSentence | None] = {}
    for sentence in sentences:
        found[sentence.text] = None if sentence.text in found else sentence
    return found


def _pairs(
    sentences: Sequence[MiningSentence], compare: Comparison
) -> list[tuple[MiningSentence, MiningSentence, float]]:
    """Pairs with their scores, best first; repeated texts of a side are compared, but are in no
    pair (XTREME)."""
    english, foreign = (_by_text(side) for side in sides(sentences))
    ours, theirs = list(english.values()), list(foreign.values())
    return [
        (a, b, round(value, DIGITS))
        for i, j, value in greedy_pairs(compare(list(english), list(foreign)))
        if (a := ours[i]) and (b := theirs[j])
    ]


def mine(
    dev: Sequence[MiningSentence], test: Sequence[MiningSentence], compare: Comparison
) -> list[Mined]:
    """Pairs of ``test`` that reach the threshold tuned on ``dev``, best first.

    ``source`` is the foreign sentence and ``target`` the English one, as in BUCC's gold files.
    """
    dev_pairs = [(score, a.partner == b.id) for a, b, score in _pairs(dev, compare)]
    gold = sum(sentence.partner is not None for sentence in sides(dev)[0])
    threshold = best_threshold(dev_pairs, gold)
    return [
        Mined(source=foreign.id, target=english.id, score=score, threshold=threshold)
        for english, foreign, score in _pairs(test, compare)
        if score >= threshold
    ]
