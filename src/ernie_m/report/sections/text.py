"""What became of the text: filters, the deal, tokens, cuts, pseudo tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ernie_m.corpus import Corpus
from ernie_m.pipeline.plan import DEALT
from ernie_m.report import training
from ernie_m.report.evidence import TRAINED, Artifact, Evidence
from ernie_m.report.scores import MAIN_VARIANT
from ernie_m.report.sections.run import languages, pairs


def cleaning(evidence: Evidence) -> dict[str, Any]:
    """Rows read, kept and dropped by reason, and an example of each drop, by corpus: of n-way rows
    (``rows-de``), and of what training text is chosen from."""
    found: dict[str, dict[str, Any]] = {}
    for stage in ("corpora_filter", "corpora_select"):
        for artifact in evidence.shown(stage, "stats"):
            stats, name = artifact.json(), artifact.parts["corpus"]
            own = found.setdefault(
                name,
                {"name": name, "rows_in": 0, "dropped": Counter(), "examples": {}, "paths": []},
            )
            if (
                stage == "corpora_filter" or artifact.parts["shard"] == DEALT
            ):  # others are what the filter has left
                own["rows_in"] += stats["rows_in"]
            own["dropped"].update(stats["dropped"])
            own["examples"] = {
                reason: _text_of(examples[0]) for reason, examples in stats["examples"].items()
            } | own["examples"]
            own["paths"].append(artifact.path)
    codes = languages(evidence)
    order = [f"{kind}-{code}" for kind in ("rows", "mono") for code in codes]
    rows = [found[name] for name in training.in_order(found, order)]
    for row in rows:
        row["rows_out"] = row["rows_in"] - sum(row["dropped"].values())
    shares = [1 - row["rows_out"] / row["rows_in"] if row["rows_in"] else 0.0 for row in rows]
    return {
        "rows": list(zip(rows, shares, strict=True)),
        "reasons": _reasons(row["dropped"] for row in rows),
        "most": max(shares, default=0.0),
    }


def _text_of(example: dict[str, str]) -> str:
    """The text of a dropped row, or both sides of a pair."""
    return " / ".join(
        text for name, text in example.items() if name in ("text", "source", "target")
    )


def _reasons(drops: Iterable[dict[str, int]]) -> list[str]:
    """Reasons by how much they dropped altogether."""
    totals: Counter[str] = Counter()
    for own in drops:
        totals.update(own)
    return sorted(totals, key=lambda reason: (-totals[reason], reason))


def division(evidence: Evidence) -> dict[str, Any]:
    """How n-way rows were dealt, with drops of training text, by language and by pair."""
    stats = evidence.only("corpora_deal", "stats")
    if stats is None:
        return {}
    codes = training.in_order(stats["languages"], languages(evidence))
    names = training.in_order(stats["pairs"], pairs(evidence))
    own = {code: stats["languages"][code] for code in codes}
    sizes = {name: stats["pairs"][name] for name in names}
    return {
        **stats,
        "languages": own,
        "pairs": sizes,
        "reasons": _reasons(entry["dropped"] for entry in own.values()),
        "pair_reasons": _reasons(entry["dropped"] for entry in sizes.values()),
        "most_pairs": max((entry["pairs"]["train"] for entry in sizes.values()), default=0),
    }


def encoded(evidence: Evidence) -> Iterator[tuple[Artifact, dict[str, int]]]:
    """The manifests of encoded text, of the shards of corpora, with the tokens of each part."""
    for artifact in evidence.shown("tokenizer_pack", "manifest"):
        parts = artifact.json()["parts"].items()
        yield artifact, {part: sum(file["tokens"] for file in files) for part, files in parts}


def tokens_of_text(evidence: Evidence) -> dict[str, Any]:
    """What the tokenizer makes of each language, and the tokens it is trained on alone."""
    stats = evidence.only("tokenizer_train", "stats") or {"languages": {}}
    found: dict[str, dict[str, Any]] = {
        code: {"vocabulary": own, "tokens": 0, "paths": []}
        for code, own in stats["languages"].items()
    }
    for artifact, parts in encoded(evidence):
        corpus = Corpus.parse(artifact.parts["corpus"])
        if corpus.is_mono:
            empty: dict[str, Any] = {"vocabulary": None, "tokens": 0, "paths": []}
            own = found.setdefault(corpus.text, empty)
            own["tokens"] += parts["train"]
            own["paths"].append(artifact.path)
    return {code: found[code] for code in training.in_order(found, languages(evidence))}


def generated(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Pseudo tokens by variant, over all chunks, and the files that count them."""
    found: dict[str, dict[str, Any]] = {}
    for artifact in evidence.shown("pretrain_backtranslate", "stats"):
        stats = artifact.json()
        own = found.setdefault(artifact.parts["variant"], {"paths": []})
        own["paths"].append(artifact.path)
        for key in ("sentences", "source_tokens", "pseudo_tokens"):
            own[key] = own.get(key, 0) + stats[key]
        own["sentences_there"] = stats["sentences_there"]  # the same for every chunk
    return found


def cuts(evidence: Evidence) -> list[dict[str, Any]]:
    """Texts and tokens that were cut: as they were encoded, and by each objective of a stage of the
    main variant, whose rows have less room."""
    names = ("texts", "texts_cut", "tokens", "tokens_cut")
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str, counts: Iterable[int], path: str) -> None:
        row = rows.setdefault(name, {"name": name, "paths": [], **dict.fromkeys(names, 0)})
        row["paths"].append(path)
        for key, number in zip(names, counts, strict=True):
            row[key] += number

    stored = ("sentences", "sentences_cut", "tokens", "tokens_cut")
    for artifact, _ in encoded(evidence):
        for own in artifact.json()["statistics"].values():
            add("encoding", (own[key] for key in stored), artifact.path)
    for number, stage in enumerate(TRAINED, 1):
        for artifact in evidence.shown(stage, "metrics"):
            if artifact.record.instance == MAIN_VARIANT:
                for objective, own in artifact.json()["cut"].items():
                    name = f"stage {number}, {objective.upper()}"
                    add(name, (own[key] for key in names), artifact.path)
    return list(rows.values())
