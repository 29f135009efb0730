"""Write the lineage of a result in a standard format, from the records alone.

ro-crate     Provenance Run Crate 0.5 on RO-Crate 1.1 (JSON-LD); written as ro-crate-metadata.json
             into the folder that results/ is in, it makes that folder the crate
prov         W3C PROV (PROV-JSON)
openlineage  OpenLineage events (JSON lines): a start and an end for each job

Nothing is run or hashed. The digests are those of the records: `ernie-m audit` says whether they
still hold.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.atomic import write_atomic
from ernie_m.audit.export.facts import Pedigree
from ernie_m.audit.facts import chain_at
from ernie_m.audit.locate import Cell, locate

# Format -> module with `text(pedigree) -> str`; each imports its own library.
FORMATS = {
    "ro-crate": "ernie_m.audit.export.crate",
    "prov": "ernie_m.audit.export.provenance",
    "openlineage": "ernie_m.audit.export.events",
}
REPORT = "results/default/report_build/report.html"


def pedigree(what: str) -> Pedigree:
    """The lineage of what a user points at; raises :class:`UserError` when there is none."""
    return Pedigree.of(chain_at(locate(what, Cell())))


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m export`; returns the exit status."""
    parser = argument_parser("ernie-m export", __doc__)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument(
        "what",
        nargs="?",
        default=REPORT,
        help=f"a result, as for `ernie-m audit`: a path, a number, a digest (default: {REPORT})",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    args = parser.parse_args(arguments)
    found = pedigree(args.what)
    text = importlib.import_module(FORMATS[args.format]).text(found)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, text)
        print(f"{args.out}: {len(found.jobs)} jobs behind {found.target}", file=sys.stderr)
    else:
        print(text, end="")
    return 0
