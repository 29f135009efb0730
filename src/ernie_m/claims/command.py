"""What a run found of the paper's claims: effect, interval and verdict of each, by score.

A verdict is on this run, at its size. Numbers are those of the stage `claims_judge`; each has its
audit: `ernie-m audit results/RUN/claims_judge/claims.json#claims/ID/scores/SCORE/mean`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ernie_m import marks
from ernie_m.arguments import argument_parser
from ernie_m.atomic import write_atomic
from ernie_m.bounded import parse_json, read_text
from ernie_m.errors import UserError
from ernie_m.outside import shown
from ernie_m.records.digest import file_sha256
from ernie_m.records.graph import RESULTS, read_graph, runs
from ernie_m.records.record import RECORD, Record
from ernie_m.report import markdown
from ernie_m.report.verdicts import HEAD, scores_of
from ernie_m.words import count

Rows = list[dict[str, Any]]
# What is read of a row here, and a file of an older version may lack.
READ = {"at", "words", "unit", "languages", "visible", "low", "paper", "note", "source", "claim"}


def place_of(run: str) -> str:
    """Path of a run's verdicts."""
    return f"{RESULTS}/{run}/claims_judge/claims.json"


def read(run: str) -> tuple[dict[str, Any], Rows]:
    """The verdicts of a run, whole and as rows; raises :class:`UserError` where it has none, or a
    file that is damaged or not as its job recorded it."""
    path = Path(place_of(run))
    if not path.is_file():
        have = [name for name in runs(Path.cwd()) if Path(place_of(name)).is_file()]
        raise UserError(
            f"Run `{run}` has judged no claims: there is no {path}.",
            f"Name another by --run: {', '.join(have)}."
            if have
            else "Run a configuration that has both sides of a claim: `snakemake --cores all "
            "--configfile config/ablation_laptop.yaml`.",
        )
    try:
        document = dict(parse_json(read_text(path)))
        rows = list(scores_of(document, place_of(run)))
        if any(READ - row.keys() for row in rows) or "confidence" not in document:
            raise KeyError
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path} is not the file of verdicts that it should be.",
            f"Make it anew: `snakemake --cores all --forcerun {path}` and the run's --configfile.",
        ) from None
    record = Record.read(path.with_name(RECORD), str(path.with_name(RECORD)))
    if record.data and record.recorded.get(str(path)) != file_sha256(path):
        raise UserError(
            f"{path} is not as its job recorded it.",
            f"`ernie-m audit {path}` says what is wrong; `ernie-m restore --for {path}` brings the "
            "recorded bytes back, if DVC has them.",
        )
    return document, rows


def _by_claim(rows: Rows) -> Iterator[tuple[dict[str, Any], Rows]]:
    for _, own in groupby(rows, key=lambda row: row["id"]):
        found = list(own)
        yield found[0], found


def text(rows: Rows) -> Iterator[str]:
    """Lines for the terminal."""
    yield from dict.fromkeys(row["at"] for row in rows)
    for claim, own in _by_claim(rows):
        yield f"\n{claim['id']}: {claim['claim']} {claim['source']}"
        for row in own:
            effect, span, seen, paper = row["shown"]
            about = f"{effect} ({span})" if row["low"] is not None else effect
            about += f", paper {paper}" if row["paper"] is not None else ""
            about += f", sees {seen}" if row["visible"] is not None else ""
            yield f"  {row['score']:<16} {row['words']}"
            yield f"  {'':<16} {about}; {row['unit']}"


def page(run: str, document: dict[str, Any], rows: Rows) -> Iterator[str]:
    """Lines of the document on a run's verdicts: numbers, machine, commit, and their limits."""
    graph = read_graph(Path.cwd(), run)
    maker = graph.makers.get(place_of(run))
    if maker is None:
        raise UserError(
            f"No record says how {place_of(run)} was made.",
            "`ernie-m restore` brings the records of results that a remote has.",
        )
    behind = graph.behind(maker.path)
    commits = {
        (node.run.git.commit or "none")[:12] + (" with changes" if node.run.git.dirty else "")
        for node in behind
    }
    machines = sorted({node.run.host for node in behind if node.stage.startswith("pretrain_")})
    digest = maker.recorded[place_of(run)]
    yield "# The paper's claims, judged"
    yield f"\nWritten by `ernie-m claims --run {run} --markdown docs/claims.md`;"
    yield "[evaluation.md](evaluation.md#the-papers-claims) says how claims are judged.\n"
    yield f"- Size: {'; '.join(dict.fromkeys(row['at'] for row in rows))}"
    yield f"- Machine: {markdown.words('; '.join(machines))}"
    yield f"- Commit: {', '.join(sorted(commits))}"
    yield f"- Verdicts: `{place_of(run)}`, sha256 `{digest[:16]}`"
    yield f"\nIntervals are of {100 * document['confidence']:g} %.\n"
    yield "| " + " | ".join(("claim", *HEAD)) + " |"
    yield "| --- " * (len(HEAD) + 1) + "|"
    for row in rows:
        score, verdict = f"{row['score']}, {row['unit']}", row["words"]
        cells = (markdown.code(row["id"]), markdown.words(score), *row["shown"])
        yield "| " + " | ".join((*cells, markdown.words(verdict))) + " |"
    yield from _by_language(rows)
    yield "\n## The claims\n"
    for claim, _ in _by_claim(rows):
        words = " ".join(filter(None, (claim["claim"], claim["source"], claim["note"])))
        yield f"- {markdown.code(claim['id'])}: {markdown.words(words)}"
    yield f"\nMarks: {marks.legend()}."
    yield "\n## What this cannot say\n"
    yield from (f"- {line}" for line in _limits(document, rows))


def _by_language(rows: Rows) -> Iterator[str]:
    """Of each slope the effects that it is drawn through, those with the most pairs first."""
    for row in rows:
        own = sorted(row["languages"].items(), key=lambda item: -item[1]["pairs"])
        if own:
            cells = (f"{name} {at['effect']:+.3g} ({count(at['pairs'])} pairs)" for name, at in own)
            words = f"{row['score']}, mean difference by language: {', '.join(cells)}."
            yield f"\n{markdown.code(row['id'])}, {markdown.words(words)}"


def _limits(document: dict[str, Any], rows: Rows) -> Iterator[str]:
    chance = 1 - document["confidence"]
    judged = sum(row["visible"] is not None for row in rows)
    yield "It is one size and one text; nothing is said of another."
    yield (
        "Replicates differ in initial weights, sampling, masks and generation. All share one "
        "division of the text and the same test files, whose chance is in no interval."
    )
    yield (
        f"Each verdict stands by itself. Without any effect {judged} comparisons would have "
        f"{chance * judged:.1f} decided by chance."
    )
    yield (
        "Student's t takes the draws for normal. With few replicates an interval is wide, and an "
        "undecided claim is not a refuted one."
    )
    yield "Stand-in tasks have the shape of XTREME's, not its text; their points are not its own."
    if any(row["kind"] == "ratio" for row in rows):
        yield "Cost is counted in FLOPs, rows taken as full; it is not a time."


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m claims`; returns the exit status."""
    parser = argument_parser("ernie-m claims", __doc__)
    parser.add_argument("--run", default="default", help="the run; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a document instead")
    given = parser.parse_args(arguments)
    document, rows = read(given.run)
    if given.markdown:
        write_atomic(given.markdown, "\n".join(page(given.run, document, rows)) + "\n")
        print(f"wrote {given.markdown}")
    elif given.json:
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print(shown("\n".join(text(rows))))
    return 0
