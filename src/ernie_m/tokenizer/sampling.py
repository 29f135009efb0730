"""How often each language or pair is drawn: p ~ (n / sum n) ** alpha (XLM, section 3.1).

``n`` counts stored sequences, as XLM and fairseq do; the manifests of the encoded corpora have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def sampling_shares(sizes: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Probability of each name; names without text get none. Raises ``ValueError`` when all are
    empty."""
    total = sum(sizes.values())
    if total <= 0:
        raise ValueError("there is nothing to draw from")
    weights = {name: (size / total) ** alpha if size else 0.0 for name, size in sizes.items()}
    scale = sum(weights.values())
    return {name: weight / scale for name, weight in weights.items()}


def sequence_counts(manifests: Iterable[Path], kind: str) -> dict[str, int]:
    """Training sequences of every language (``mono``) or pair (``parallel``), summed over the
    manifests of its shards."""
    counts: dict[str, int] = {}
    for path in manifests:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["kind"] == kind:
            name = "-".join(manifest["languages"])
            sequences = sum(part["sentences"] for part in manifest["parts"]["train"])
            counts[name] = counts.get(name, 0) + sequences
    return counts
