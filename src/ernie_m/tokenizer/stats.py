"""Encoding statistics by language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ernie_m.catalogue.languages import units
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.vocabulary import UNK


class EncodingStats:
    """Running counts of tokens (all, unknown, truncated), sentences and words of each language."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def add(
        self, language: str, texts: Sequence[str], encoded: Ragged, max_tokens: int | None
    ) -> None:
        """Count one encoded column; sentences of more than ``max_tokens`` tokens are truncated,
        none where that is None."""
        excess = (
            np.maximum(encoded.lengths - max_tokens, 0) if max_tokens else np.zeros(0, np.int64)
        )
        counted = {
            "sentences": len(texts),
            "sentences_cut": int(np.count_nonzero(excess)),
            "tokens": len(encoded.tokens),
            "tokens_cut": int(excess.sum()),
            "unknown": int((encoded.tokens == UNK).sum()),
            "units": sum(units(language, text) for text in texts),
        }
        totals = self._counts.setdefault(language, dict.fromkeys(counted, 0))
        for name, value in counted.items():
            totals[name] += value

    def facts(self) -> dict[str, Any]:
        """By language: counts, share of unknown tokens, and tokens per word (per character where
        words are not spaced)."""
        return {
            language: counts
            | {
                "unknown_share": counts["unknown"] / max(counts["tokens"], 1),
                "tokens_per_unit": counts["tokens"] / max(counts["units"], 1),
            }
            for language, counts in self._counts.items()
        }
