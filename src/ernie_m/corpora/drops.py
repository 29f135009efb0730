"""Drop counts by reason, with a few examples of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from ernie_m.corpora.hashing import hash64

EXAMPLES = 5
# Characters shown of a text: one dropped as too long may have megabytes.
EXAMPLE_CHARACTERS = 2_000


class DropCounts:
    """Counts by reason, and a few examples that do not depend on the order of the rows."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)

    def add(self, reason: str, **example: str) -> None:
        """Count one drop; ``example`` (id and texts) may be kept as one of the examples."""
        self.counts[reason] += 1
        kept = self._examples[reason]
        key = hash64(*example.values())
        if len(kept) < EXAMPLES or key < kept[-1][0]:
            shown = {name: text[:EXAMPLE_CHARACTERS] for name, text in example.items()}
            kept.append((key, shown))
            kept.sort(key=lambda entry: entry[0])
            del kept[EXAMPLES:]

    def facts(self) -> dict[str, Any]:
        """``{"dropped": {reason: count}, "examples": {reason: [...]}}``."""
        return {
            "dropped": dict(sorted(self.counts.items())),
            "examples": {
                reason: [example for _, example in kept]
                for reason, kept in sorted(self._examples.items())
            },
        }

    def sentence(self) -> str:
        """``12 too short, 3 no letters``."""
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())
