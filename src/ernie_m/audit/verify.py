"""Hash every recorded file that is here, several at a time, and compare it with its record.

Covers all runs, one run (--run), or the chain behind one result. Exit status: 0 all is as recorded,
3 some files are missing, 4 something was made anew since, 5 a record is missing or edited, 6 a file
differs from its record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.audit import words
from ernie_m.audit.chain import Chain, chain_of
from ernie_m.audit.checks import check_files, check_links, check_sources
from ernie_m.audit.command import add_cell, add_signers
from ernie_m.audit.facts import chain_at
from ernie_m.audit.locate import Cell, locate
from ernie_m.audit.witnesses import check_witnesses
from ernie_m.records.graph import RESULTS, read_graph
from ernie_m.words import duration, plural, size


def hash_all(chain: Chain, workers: int) -> int:
    """Hash those outputs of a chain's jobs that are here; returns their number of bytes."""
    paths = [path for node in chain.nodes for path in node.recorded]
    with ThreadPoolExecutor(workers) as pool:  # hashing lets other threads run
        list(pool.map(chain.sha256, paths))
    files = (chain.graph.base / path for path in paths)
    return sum(file.stat().st_size for file in files if file.is_file())


def _text(chain: Chain, count: int, seconds: float, full: bool) -> Iterator[str]:
    findings = chain.findings
    yield from map(words.finding, findings) if full else words.alike(findings)
    here = sum(digest is not None for digest in chain.hashed.values())
    told = f"{plural(here, 'file')}, {size(count)}, in {duration(seconds)}"
    yield f"{chain.verdict.name}: {plural(len(chain.nodes), 'job')}, hashed {told}."


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m verify`; returns the exit status."""
    parser = argument_parser("ernie-m verify", __doc__)
    parser.add_argument(
        "what", metavar="WHAT", nargs="?", help="only what is behind this; as for `ernie-m audit`"
    )
    add_cell(parser, run=None)
    add_signers(parser)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="files at a time")
    parser.add_argument("--full", action="store_true", help="list every finding")
    args = parser.parse_args(arguments)
    if args.what:
        chain = chain_at(
            locate(args.what, Cell(args.run or Cell.run, args.variant, args.stage, args.seed))
        )
    else:
        graph = read_graph(Path.cwd(), args.run)
        target = "/".join(filter(None, (RESULTS, args.run)))
        chain = chain_of(graph, graph.behind(*graph.nodes), target)
    started = time.monotonic()
    count = hash_all(chain, max(1, args.jobs))
    check_files(chain)
    check_links(chain)
    check_sources(chain)
    anchors = check_witnesses(chain, "", args.signers)
    print("\n".join(_text(chain, count, time.monotonic() - started, args.full)))
    print(f"Anchored by {'; '.join(anchors) or 'nothing but its own records'}.")
    return chain.verdict.value
