"""What was run: in a few lines, and when, where and with what."""

from __future__ import annotations

from typing import Any

from ernie_m.corpus import Corpus
from ernie_m.report import training
from ernie_m.report.evidence import Evidence
from ernie_m.words import count, duration


def languages(evidence: Evidence) -> list[str]:
    """Languages of the run, in the order of its configuration."""
    return list(evidence.settings("pretrain_initialise").get("languages", []))


def pairs(evidence: Evidence) -> list[str]:
    """Sentence pairs of the run, in the order of its jobs."""
    kind = "parallel-"
    corpora = [record.instance for record in evidence.jobs("corpora_dedup")]
    return [name.removeprefix(kind) for name in corpora if name.startswith(kind)]


def summary(
    evidence: Evidence, trained: list[training.Trained]
) -> list[tuple[str, str, list[str]]]:
    """The run in a few lines: what was trained on what, and the files that say so."""
    shape = evidence.settings("pretrain_initialise")
    tokenizer = evidence.only("tokenizer_train", "stats") or {}
    text = evidence.paths("corpora_select", "stats")
    pieces = f"{count(tokenizer.get('size', 0))}"
    facts = [
        ("Languages", " ".join(languages(evidence)) if text else "", text),
        ("Training text", _amount(evidence) if text else "", text),
        (
            "Vocabulary",
            f"{pieces} pieces" if tokenizer else "",
            evidence.paths("tokenizer_train", "stats"),
        ),
        ("Encoder", _encoder(shape, trained), trained[-1].paths[:1] if trained else []),
        ("Start", _start(evidence), []),
    ]
    for stage in trained:
        shares = stage.record.settings["objectives"]
        on = [name.upper() for name, share in shares.items() if share]
        words = f"{' + '.join(on)}, {count(stage.metrics['steps'])} steps, "
        words += f"{count(stage.metrics['tokens'])} tokens, {duration(stage.record.seconds)}"
        facts.append((f"Stage {trained.index(stage) + 1}, {stage.label}", words, stage.paths[:1]))
    return [(name, words, paths) for name, words, paths in facts if words]


def _amount(evidence: Evidence) -> str:
    """How much monolingual and parallel text there is to train on."""
    rows = {"mono": 0, "parallel": 0}
    for shard in evidence.shown("corpora_select", "stats"):
        rows[Corpus.parse(shard.parts["corpus"]).kind] += shard.json()["rows"]["train"]
    return f"{count(rows['mono'])} monolingual rows, {count(rows['parallel'])} sentence pairs"


def _encoder(shape: dict[str, Any], trained: list[training.Trained]) -> str:
    if not shape:
        return ""
    size = trained[-1].metrics.get("parameters") if trained else None
    words = f"{shape['layers']} layers, width {shape['width']}, {shape['heads']} heads"
    return words + (f", {count(size)} parameters" if size else "")


def _start(evidence: Evidence) -> str:
    if evidence.start is None:
        return ""
    name, digest = evidence.start.path, evidence.start.sha256[:12]
    return f"{name}, sha256 {digest}; “as released” below means as these weights came"


def circumstances(evidence: Evidence) -> list[tuple[str, str]]:
    """When, where and with what the jobs ran; from the volatile part of the records."""
    runs = [record.run for record in evidence.records]
    commits = {
        (run.git.commit or "unknown")[:12] + (" with uncommitted changes" if run.git.dirty else "")
        for run in runs
    }
    packages: dict[str, set[str]] = {}
    for run in runs:
        for name, version in run.packages.items():
            packages.setdefault(name, set()).add(version)
    versions = (f"{name} {' / '.join(sorted(own))}" for name, own in sorted(packages.items()))
    facts = [
        ("First job", min((run.started for run in runs), default="")),
        ("Last job", max((run.ended for run in runs), default="")),
        ("Code", ", ".join(sorted(commits))),
        ("Python", ", ".join(sorted({run.python for run in runs} - {""}))),
        ("Packages", ", ".join(versions)),
        ("Machine", "; ".join(sorted({run.host for run in runs} - {""}))),
    ]
    return [(name, words) for name, words in facts if words]
