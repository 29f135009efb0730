"""`ernie-m <verb>`: the commands beside `make` and `snakemake`.

A verb is a module with ``main(arguments) -> int``, imported only when it is asked for: torch and
mlflow take seconds, and `ernie-m --help` must not.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from ernie_m.arguments import argument_parser
from ernie_m.errors import exit_status_of

# Family -> verb -> its module and a short description.
FAMILIES: dict[str, dict[str, tuple[str, str]]] = {
    "configuration": {
        "config": ("ernie_m.generate.command", "write or check the files made from the models"),
    },
    "evaluation": {
        "score": ("ernie_m.xtreme.scoring.command", "score predictions in the layout of XTREME"),
        "submission": (
            "ernie_m.xtreme.scoring.submission",
            "write a model's predictions in that layout",
        ),
        "claims": ("ernie_m.claims.command", "what a run found of the paper's claims, how surely"),
    },
    "planning": {
        "plan": ("ernie_m.planning.command", "what a configuration would cost, stage by stage"),
        "rehearse": ("ernie_m.rehearse.command", "run it whole, on small files made for it"),
        "card": ("ernie_m.report.data_card", "a data card for each training corpus of a run"),
    },
    "training": {
        "inspect-batch": ("ernie_m.training.inspect_batch", "what a step trains on, drawn"),
    },
    "lineage": {
        "audit": ("ernie_m.audit.command", "what stands behind a number, and whether it holds"),
        "status": ("ernie_m.audit.status", "which results are current, stale and why, missing"),
        "list": ("ernie_m.audit.runs", "the runs here; what two of them share"),
        "find": ("ernie_m.audit.find", "the runs with a score, a setting, bytes, a commit, code"),
        "verify": ("ernie_m.audit.verify", "hash all results, or all behind one"),
        "diff": ("ernie_m.audit.diff", "two numbers, runs or commits, and what explains them"),
        "impact": ("ernie_m.audit.impact", "which numbers would change with a file or a key"),
        "trace": ("ernie_m.audit.trace", "what is behind a result, or made of it, as a graph"),
        "sign": ("ernie_m.audit.sign", "the records of a run, so that none is replaced unseen"),
        "replay": ("ernie_m.replay.command", "the jobs behind a result again, and compare"),
        "restore": ("ernie_m.audit.restore", "results back after a clone or a checkout"),
    },
    "models": {
        "fill-mask": ("ernie_m.use.fill_mask", "what a model expects at the masks of a text"),
        "embed": ("ernie_m.use.embed", "how alike texts are to a model, or their vectors"),
        "translate-tokens": ("ernie_m.use.translate_tokens", "what back-translation generates"),
        "align": ("ernie_m.use.align", "likeness of two sentences' tokens, as a picture"),
    },
    "for others": {
        "export": ("ernie_m.export", "a checkpoint or its lineage in a form that others read"),
        "track": ("ernie_m.tracking.command", "enter a run in MLflow later, or in another store"),
    },
}
VERBS = {verb: entry for family in FAMILIES.values() for verb, entry in family.items()}

EXAMPLES = """\
examples:
  ernie-m audit xtreme/retrieval/de/accuracy
  ernie-m find 'xtreme/retrieval/de>60' pretrain.btmlm.steps=3500
  ernie-m impact pretrain.btmlm.steps
  ernie-m diff xtreme/retrieval@stage=camlm xtreme/retrieval
  ernie-m plan --configfile config/paper_base.yaml
  ernie-m export hf results/default/pretrain_btmlm/ernie_m
  ernie-m fill-mask "en:The device is <mask>."
  ernie-m config --check
  ernie-m audit --help

The pipeline itself is run by `make reproduce`, or by `snakemake --cores all` in the environment.
"""


def _verbs() -> str:
    lines = []
    for family, verbs in FAMILIES.items():
        lines.append(f"\n{family}:")
        lines += [f"  {verb:<16} {purpose}" for verb, (_, purpose) in verbs.items()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argument_parser(
        "ernie-m",
        f"Reproduction of ERNIE-M.\n{_verbs()}",
        usage="ernie-m <verb> [options]",
        epilog=EXAMPLES,
    )
    parser.add_argument("verb", choices=VERBS, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(arguments: Sequence[str] | None) -> int:
    given = _parser().parse_args(arguments)
    module, _ = VERBS[given.verb]
    return importlib.import_module(module).main(given.arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit status, 1 with a two-line message on bad input."""
    return exit_status_of(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
