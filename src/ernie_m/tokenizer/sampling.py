"""Sampling probability of each language or pair: p ~ (n / sum n) ** alpha (XLM, section 3.1).

``n`` is the number of encoded sequences, as in XLM and fairseq; the manifests of tokenizer.pack
have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def sampling_shares(sizes: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Probability of each name; 0 for names without text. Raises ``ValueError`` when all are
    empty."""
    total = sum(sizes.values())
    if total <= 0:
        raise ValueError("there is nothing to draw from")
    weights = {name: (size / total) ** alpha if size else 0.0 for name, size in sizes.items()}
    scale = sum(weights.values())
    return {name: weight / scale for name, weight in weights.items()}


def sequence_counts(manifests: Iterable[Path], kind: str) -> dict[str, int]:
    """Number of training sequences of every language (``mono``) or pair (``parallel``), summed over
    the manifests of its shards."""
    counts: dict[str, int] = {}
    for path in manifests:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["kind"] == kind:
            name = "-".join(manifest["languages"])
            sequences = sum(part["sentences"] for part in manifest["parts"]["train"])
            counts[name] = counts.get(name, 0) + sequences
    return counts
