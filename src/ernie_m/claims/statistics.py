"""Whether an effect lies on the claimed side, by replicates.

The replicates are the sample: arms of a replicate share its seed, so that their difference is one
draw. Languages are fixed, and their mean, or the slope over them, is the effect. The interval is
Student's t over replicates. It takes the draws for normal; with three of them it is wide, and
rightly so. A score is counted in whole examples, so that replicates may agree by chance: their
spread is taken to be at least that of rounding to one example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.special import nctdtrinc, stdtrit

POWER = 0.8
MOST_REPLICATES = 1000
Verdict = Literal["holds", "contradicted", "undecided", "none"]


@dataclass(frozen=True)
class Judgement:
    """What the replicates say of a claim.

    ``low`` and ``high`` are the ends of the interval, ``visible`` is the distance from the boundary
    that this design would find with a power of 80 %; None where there are fewer than two
    replicates. ``needed`` is the number of replicates that would find the effect, None where the
    claim is decided, and where no number up to 1,000 would.
    """

    mean: float | None
    low: float | None
    high: float | None
    visible: float | None
    verdict: Verdict
    needed: int | None

    @property
    def words(self) -> str:
        """The verdict in words."""
        if self.verdict == "none":
            return "no verdict: " + (
                "no numbers" if self.mean is None else "one replicate decides nothing"
            )
        if self.verdict != "undecided":
            return f"{self.verdict} here"
        needed = f"about {self.needed:,}" if self.needed else f"more than {MOST_REPLICATES:,}"
        return f"undecided (needs {needed} replicates)"


def spread(values: Sequence[float], resolution: float = 0.0) -> float:
    """Standard deviation of two values or more, at least that of rounding to ``resolution``."""
    return max(stdev(values), resolution / math.sqrt(12))


def interval(
    values: Sequence[float], confidence: float, resolution: float = 0.0
) -> tuple[float, float]:
    """Ends of the interval of the mean of two values or more: Student's t."""
    error = _error(spread(values, resolution), len(values))
    half = error * _quantile(len(values), confidence)
    return fmean(values) - half, fmean(values) + half


def visible(deviation: float, count: int, confidence: float) -> float:
    """The smallest distance from a boundary that ``count`` replicates would find with a power of
    80 %: the noncentral t distribution, for draws of this standard deviation."""
    shift = float(nctdtrinc(count - 1, 1 - POWER, _quantile(count, confidence)))
    return shift * _error(deviation, count)


def needed(deviation: float, effect: float, confidence: float) -> int | None:
    """The replicates that would find an effect at this distance from the boundary; None if more
    than 1,000."""
    counts = range(2, MOST_REPLICATES + 1)
    return next((n for n in counts if visible(deviation, n, confidence) <= abs(effect)), None)


def judge(
    values: Sequence[float],
    confidence: float,
    *,
    higher: bool = True,
    beyond: float = 0.0,
    paper: float | None = None,
    resolution: float = 0.0,
) -> Judgement:
    """Judge effects by replicate. The claim holds where the whole interval lies on the claimed side
    of ``beyond``, and is contradicted where it lies on the other. Replicates are counted for the
    effect of the ``paper``, or for the observed one where there is none, or it was visible."""
    if len(values) < 2:
        return Judgement(fmean(values) if values else None, None, None, None, "none", None)
    deviation = spread(values, resolution)
    low, high = interval(values, confidence, resolution)
    found = Judgement(
        fmean(values), low, high, visible(deviation, len(values), confidence), "undecided", None
    )
    if low > beyond or high < beyond:
        verdict: Verdict = "holds" if (low > beyond) == higher else "contradicted"
        return Judgement(found.mean, low, high, found.visible, verdict, None)
    effects = [effect - beyond for effect in (paper, found.mean) if effect is not None]
    counts = (needed(deviation, effect, confidence) for effect in effects)
    # An effect as large as the paper's may have been visible with fewer.
    count = next(n for n in counts if n is None or n > len(values))
    return Judgement(found.mean, low, high, found.visible, "undecided", count)


def _quantile(count: int, confidence: float) -> float:
    return float(stdtrit(count - 1, (1 + confidence) / 2))


def _error(deviation: float, count: int) -> float:
    return deviation / math.sqrt(count)
