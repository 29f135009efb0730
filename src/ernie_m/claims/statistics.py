"""Whether an effect lies on the claimed side, by replicates.

The replicates are the sample: arms of a replicate share its seed, so that their difference is one
draw. Languages are fixed, and their mean, or the slope over them, is the effect. The interval is
Student's t over replicates. It takes the draws for normal; with three of them it is wide, and
rightly so. A score is counted in whole examples, so that replicates may agree by chance: their
spread is taken to be at least that of rounding to one example.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev, variance
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


@dataclass(frozen=True)
class Spread:
    """The spread of a mean over replicates.

    ``deviation`` is the standard deviation of a replicate's effect. Where all replicates share a
    side that was fine-tuned several times, ``shared`` is the variance of that side's mean and
    ``freedom`` its degrees of freedom; more replicates do not lower it.
    """

    deviation: float
    shared: float = 0.0
    freedom: int = 1

    @classmethod
    def of(
        cls, values: Sequence[float], resolution: float = 0.0, shared: Sequence[float] = ()
    ) -> Spread:
        """That of two effects or more, at least as much as rounding to ``resolution``."""
        deviation = max(stdev(values), resolution / math.sqrt(12))
        if len(shared) < 2:
            return cls(deviation)
        return cls(deviation, variance(shared) / len(shared), len(shared) - 1)

    def error(self, count: int) -> float:
        """Standard error of the mean over ``count`` replicates."""
        return math.sqrt(self.deviation**2 / count + self.shared)

    def degrees(self, count: int) -> float:
        """Degrees of freedom of that error: those of the replicates, or of both (Welch and
        Satterthwaite)."""
        if not self.shared:
            return count - 1
        own = self.deviation**2 / count
        parts = own**2 / (count - 1) + self.shared**2 / self.freedom
        return (own + self.shared) ** 2 / parts

    def half(self, count: int, confidence: float) -> float:
        """Half of the interval of the mean: Student's t."""
        return self.error(count) * self._quantile(count, confidence)

    def visible(self, count: int, confidence: float) -> float:
        """The smallest distance from a boundary that ``count`` replicates would find with a power
        of 80 %: the noncentral t distribution."""
        quantile = self._quantile(count, confidence)
        return float(nctdtrinc(self.degrees(count), 1 - POWER, quantile)) * self.error(count)

    def needed(self, effect: float, confidence: float) -> int | None:
        """The replicates that would find an effect at this distance from the boundary; None if more
        than 1,000."""
        counts = range(2, MOST_REPLICATES + 1)

        def enough(count: int) -> bool:
            return self.visible(count, confidence) <= abs(effect)

        if self.shared:  # what is visible need not fall with every replicate
            return next(filter(enough, counts), None)
        first = bisect_left(counts, True, key=enough)
        return counts[first] if first < len(counts) else None

    def _quantile(self, count: int, confidence: float) -> float:
        return float(stdtrit(self.degrees(count), (1 + confidence) / 2))


def judge(
    values: Sequence[float],
    confidence: float,
    *,
    higher: bool = True,
    beyond: float = 0.0,
    paper: float | None = None,
    resolution: float = 0.0,
    shared: Sequence[float] = (),
) -> Judgement:
    """Judge effects by replicate. The claim holds where the whole interval lies on the claimed side
    of ``beyond``, and is contradicted where it lies on the other. Replicates are counted for the
    effect of the ``paper``, or for the observed one where the paper's is not on the claimed side,
    or was visible. ``shared`` are values of a side that all replicates share, by seed of
    fine-tuning."""
    if len(values) < 2:
        return Judgement(fmean(values) if values else None, None, None, None, "none", None)
    spread, mean = Spread.of(values, resolution, shared), fmean(values)
    half = spread.half(len(values), confidence)
    low, high = mean - half, mean + half
    found = Judgement(mean, low, high, spread.visible(len(values), confidence), "undecided", None)
    if low > beyond or high < beyond:
        return replace(found, verdict="holds" if (low > beyond) == higher else "contradicted")
    effects = [mean - beyond]
    if paper is not None and (paper > beyond if higher else paper < beyond):
        effects.insert(0, paper - beyond)
    counts = (spread.needed(effect, confidence) for effect in effects)
    # An effect as large as the paper's may have been visible with fewer.
    needed = next((n for n in counts if n is None or n > len(values)), None)
    return replace(found, needed=needed)
