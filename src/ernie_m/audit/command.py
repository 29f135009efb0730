"""Trace a number or a file back to the downloaded bytes, and check that it still holds.

WHAT is one of

  a file                      results/default/report_build/scores.csv, or a copy of one
  a number in a JSON file     results/.../metrics.json#valid/tlm/en-de
  a score                     xtreme/retrieval/de/accuracy    (or .../average; metric optional)
  a measure of a training     pretrain/btmlm/valid/tlm/en-de
  a digest, or its beginning  7a351eb0bb2e
  an MLflow run               the 32 digits of its id

Reads the records, and hashes the files that are here; works on a clone without data (recorded,
not checked) and without a workflow engine. Exit status: 0 VERIFIED, 3 INCOMPLETE (files are
missing, or the code was never committed), 4 STALE (code, settings or an input changed since),
5 BROKEN (a record is missing or was edited), 6 TAMPERED (a file differs from its record).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.audit import words
from ernie_m.audit.chain import Chain
from ernie_m.audit.facts import account, mark, seconds
from ernie_m.audit.keys import Layers, layers_of
from ernie_m.audit.locate import Cell, locate
from ernie_m.audit.signatures import SIGNERS
from ernie_m.records.record import Record
from ernie_m.words import duration, few, plural, shortened, size

SHOWN = 6  # findings and files listed without --full
LONGEST = 60  # characters of a setting's value
MAIN_PACKAGES = ("torch", "numpy", "sentencepiece", "datasets", "pyarrow")


def _claim(claim: dict[str, Any]) -> Iterator[str]:
    """The number, what it measures, and what to compare it with."""
    if "split" not in claim:
        number = f" = {claim['value']}" if claim.get("value") is not None else ""
        yield claim["what"] + number
        if "meaning" in claim:
            yield claim["meaning"]
        if "sha256" in claim:
            yield f"sha256 {claim['sha256']}, {size(claim['bytes'])}"
        return
    number = (
        "not here" if claim["value"] is None else f"{claim['value']:.4f}".rstrip("0").rstrip(".")
    )
    seed = f", seed {claim['seed']}" if claim["seed"] else ""
    yield f"{claim['what']} = {number}   ({claim['variant']}, {claim['stage']}{seed})"
    yield claim["meaning"] + (f" (from {claim['value_from']})" if "value_from" in claim else "")
    error = f", standard error {claim['standard_error']}" if "standard_error" in claim else ""
    count = f"{claim['n']} examples{error}; " if claim.get("n") else ""
    files = [f"{Path(file['path']).name} {file['sha256'][:12]}" for file in claim["split"]]
    yield f"split test: {count}" + ", ".join(files)
    seeds = claim.get("seeds", {})
    if len(seeds) > 1:
        values = ", ".join(f"{seed}: {value}" for seed, value in seeds.items())
        yield f"seeds {values}; mean {claim['mean']}, deviation {claim['deviation']}"
    elif seeds:
        yield "one seed, so no deviation"
    for path in claim.get("left_out", ()):
        yield f"{path} is not as its job recorded it, and is left out"
    for label, value in claim["published"]["figures"].items():
        yield f"published: {value}, {label}"
    yield f"published: {claim['published']['remark']}"


def _verdict(chain: Chain, full: bool) -> Iterator[str]:
    here = sum(digest is not None for digest in chain.hashed.values())
    jobs = plural(len(chain.nodes), "job")
    yield f"{chain.verdict.name}: {jobs}, {plural(here, 'file')} hashed."
    if offence := chain.offence:
        yield f"first: {words.finding(offence)}"
        rest = [finding for finding in chain.findings if finding is not offence]
        told = [words.finding(finding) for finding in rest] if full else words.alike(rest)
        yield from (f"also {line}" for line in (told if full else told[:SHOWN]))
        if len(told) > SHOWN and not full:
            yield f"and {len(told) - SHOWN} more; `--full` lists them"


def _anchors(anchors: Sequence[str]) -> Iterator[str]:
    """What outside the records confirms them."""
    if anchors:
        yield "by " + "; ".join(anchors)
    else:
        yield (
            "by nothing but its own records, which anybody who can write here can make; see "
            "`ernie-m sign` and `ernie-m replay`"
        )


def _commit(nodes: Sequence[Record]) -> str:
    """The commit that some jobs ran at, with `+` if the working tree had changes."""
    states = [node.run.git for node in nodes if node.data]
    commits = {state.commit for state in states}
    name = (commits.pop() or "no git")[:7] if len(commits) == 1 else f"{len(commits)} commits"
    return name + ("+" if any(state.dirty for state in states) else "")


def _line(chain: Chain, name: str, nodes: Sequence[Record]) -> str:
    outputs = [file for node in nodes for file in node.made_files]
    digest = outputs[0].sha256[:12] if len(nodes) == 1 and outputs else ""
    written = size(sum(file.bytes for file in outputs))
    time = duration(seconds(nodes))
    runs = {run for node in nodes if (run := node.run.notes.get("mlflow_run"))}
    tracked = f" mlflow {runs.pop()[:8]}" if len(runs) == 1 else ""
    state = f"{_commit(nodes):<10}{mark(chain, nodes)}{tracked}"
    return f"{name:<53}{digest:<13}{written:>8}{time:>8}  {state}"


def _spine(chain: Chain, full: bool) -> Iterator[str]:
    """The jobs from the download on, one line a stage."""
    stages: dict[str, list[Record]] = {}
    for node in reversed(chain.nodes):
        stages.setdefault(node.stage or node.job, []).append(node)
    for stage, nodes in stages.items():
        if full or len(nodes) == 1:
            yield from (_line(chain, node.job, [node]) for node in nodes)
        else:
            yield _line(chain, f"{stage} ({len(nodes)} jobs)", nodes)


def _source(source: dict[str, Any]) -> str:
    published, observed = source["sha256"], source["observed"]
    same = observed in (published, source["recorded"])
    seen = "not here" if observed is None else "the same" if same else observed
    published = published or "none, so that the first download is trusted"
    package = source["package"] and f"package {source['package']}"
    origin = source["url"] or source["path"] or package or source["file"]
    name = " ".join(filter(None, (source["id"], source["version"])))
    return (
        f"{name}, {source['licence']}, {source['home']}; {origin}, "
        f"retrieved {source['retrieved'][:10]}; sha256 published {published}, observed {seen}"
    )


def _foreign(path: str, digests: dict[str, str | None]) -> str:
    recorded, observed = digests["recorded"], digests["observed"]
    seen = {None: "not here", recorded: "the same"}.get(observed, observed)
    return f"{path}, made elsewhere; sha256 recorded {recorded}, observed {seen}"


def _short(value: Any) -> str:
    return shortened(words.value(value), LONGEST)


def _keys(keys: Sequence[dict[str, Any]], full: bool) -> Iterator[str]:
    """Keys that differ from their default or deviate from ERNIE-M; all keys with ``full``."""
    own = [key for key in keys if "default" in key and key["value"] != key["default"]]
    yield f"{len(keys)} reached this number, {len(own)} of them not as by default" + (
        "" if full else "; all of them, and what ERNIE-M has for them: --full"
    )
    for key in keys if full else own:
        default = f", default {_short(key['default'])}" if key in own else ""
        where = f"   ({key['where']}{default})" if key["where"] else ""
        paper = f"   ERNIE-M, {key['flag']}: {key['paper']}" if key["paper"] else ""
        yield f"{key['key']} = {_short(key['value'])}{where}{paper}"
    if not full:
        deviating = [key for key in keys if key["flag"] == "deviation" and key not in own]
        groups: dict[tuple[str, str], list[str]] = {}
        for key in deviating:
            name = f"{key['key']} = {_short(key['value'])}"
            groups.setdefault((key["where"] or "", key["paper"]), []).append(name)
        for (where, paper), names in groups.items():
            yield f"{', '.join(names)}   ({where or 'as recorded'})   ERNIE-M: {paper}"


def _code(code: dict[str, Any], full: bool) -> Iterator[str]:
    commits = ", ".join(commit[:12] for commit in code["commits"])
    state = f"with uncommitted changes: {', '.join(code['dirty'])}" if code["dirty"] else "clean"
    yield f"commit {commits}, {state}; {code['files']} files"
    yield "by stage: " + ", ".join(f"{stage} {sha[:7]}" for stage, sha in code["stages"].items())
    most = len(code["changed"]) if full else SHOWN
    yield "changed since: " + (few(code["changed"], most) or "nothing")


def _circumstances(facts: dict[str, list[str]], full: bool) -> Iterator[str]:
    first = ("system", "processor", "accelerator", "python", "packages pinned by")
    names = [name for name in first if name in facts]
    names += [name for name in facts if name not in first and (full or name in MAIN_PACKAGES)]
    # What differs between jobs may explain a difference, so it is always shown.
    names += [name for name in facts if name not in names and len(facts[name]) > 1]
    yield ", ".join(f"{name} {' / '.join(facts[name])}" for name in names)


def _seen(facts: dict[str, Any]) -> Iterator[str]:
    if not facts["compared"]:
        yield "the training text was not compared with tested text"
    elif facts["dropped"] is not None:
        told = ", ".join(f"{count:,} {reason}" for reason, count in facts["dropped"].items())
        yield f"rows kept out of training as repeating tested ones: {told or 'none'}"
    else:
        yield "the statistics of the text are not here, so their counts are not"
    if facts["test_in_choice"]:
        yield f"test files were read by {', '.join(facts['test_in_choice'])}, which choose a model"
    elif facts["test_readers"]:
        yield f"test files were read by {', '.join(facts['test_readers'])} only: none chose a model"


def _repeats(facts: dict[str, Any]) -> Iterator[str]:
    seeds = ", ".join(f"{stage} {seed}" for stage, seed in facts["seeds"].items())
    yield f"drawn with seeds: {seeds or 'nothing'}"
    resumed = ", ".join(f"{job} at step {step}" for job, step in facts["resumed_from"].items())
    yield f"resumed: {resumed or 'no job'}"
    threads = ", ".join(f"{stage} {count}" for stage, count in facts["threads"].items())
    device = (
        "on an accelerator, whose sums may differ from run to run; " if facts["accelerator"] else ""
    )
    yield (
        f"{device}the last bits of sums follow the processor, the packages and the threads "
        f"({threads or 'one each'})"
    )


def _next(steps: Sequence[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        cost = f" ({duration(step['seconds'])} last time)" if "seconds" in step else ""
        cost += f" ({size(step['bytes'])})" if "bytes" in step else ""
        yield f"{step['purpose']}{cost}:"
        yield f"  {step['command']}"


def screen(chain: Chain, told: dict[str, Any], full: bool) -> Iterator[str]:
    """The account as lines of text for people."""
    yield from words.section("meant", filter(None, [told["remark"]]))
    yield from words.section("claim", _claim(told["claim"]))
    yield from words.section("verdict", _verdict(chain, full))
    yield from words.section("anchored", _anchors(told["anchors"]))
    if not told["settings_compared"]:
        remark = "Settings were not compared: no file in config/ is of this run; name it behind "
        yield from words.section("", [remark + "--configfile."])
    yield from words.plain("spine", _spine(chain, full))
    own = [_source(source) for source in told["sources"]]
    own += [_foreign(path, digests) for path, digests in told["foreign"].items()]
    yield from words.section("sources", own)
    yield from words.section("keys", _keys(told["keys"], full))
    yield from words.section("code", _code(told["code"], full))
    yield from words.section("made on", _circumstances(told["circumstances"], full))
    yield from words.section("unseen", _seen(told["seen_text"]))
    yield from words.section("repeats", _repeats(told["repeats"]))
    if full:
        yield from words.section("made", _made(told["jobs"]))
    yield from words.plain("next", _next(told["next"]))


def _made(jobs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """When each job was run, as far back as its history goes."""
    for job in jobs:
        times = [f"{made['ended']} at {(made['commit'] or 'no git')[:7]}" for made in job["made"]]
        if times:
            yield f"{job['job']}: {', '.join(times)}"
        for replay in job["replays"]:
            yield f"again by {replay['by']}, {replay['ended']}: {replay['outcome']}"


def add_cell(parser: argparse.ArgumentParser, run: str | None = Cell.run) -> None:
    """Options that select one of a run's numbers; ``run`` is the default, None for all runs."""
    parser.add_argument("--run", default=run, help=f"name of the run (default: {run or 'all'})")
    parser.add_argument(
        "--variant", default=Cell.variant, help="variant, or `baseline` (default: ernie_m)"
    )
    parser.add_argument(
        "--stage",
        default=Cell.stage,
        help="initialise, camlm or btmlm (default: the last that there is); of a baseline its name",
    )
    parser.add_argument("--seed", type=int, help="seed of fine-tuning (default: the first)")


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """The option for runs whose configuration is not in `config/`."""
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        help="overlays that the run was made with (default: the file in config/ of this run)",
    )


def add_signers(parser: argparse.ArgumentParser) -> None:
    """The option that says whose signatures count."""
    parser.add_argument(
        "--signers", type=Path, help=f"file of allowed signers (default: {SIGNERS})"
    )


def layers_for(run: str, overlays: Sequence[Path] | None) -> Layers | None:
    """The configuration to compare a run with."""
    return Layers.read(*overlays) if overlays else layers_of(run)


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m audit`; returns the exit status."""
    parser = argument_parser("ernie-m audit", __doc__)
    parser.add_argument("what", metavar="WHAT", help="what is to be audited")
    add_cell(parser)
    add_configuration(parser)
    add_signers(parser)
    parser.add_argument("--full", action="store_true", help="list every job, key and finding")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)
    own = layers_for(args.run, args.configfile)
    store = own.config.tracking.uri if own else ""
    place = locate(args.what, Cell(args.run, args.variant, args.stage, args.seed), store)
    layers = own if place.run == args.run else layers_for(place.run, args.configfile)
    chain, told = account(place, layers, args.signers)
    if args.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print("\n".join(screen(chain, told, args.full)))
    return chain.verdict.value
