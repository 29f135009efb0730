"""Write a checkpoint or the lineage of a result in a format that other tools read.

hf                     a checkpoint as a folder for transformers
sentence-transformers  a checkpoint as a folder for sentence-transformers
onnx                   an encoder as ONNX
ro-crate               lineage as Provenance Run Crate (RO-Crate, JSON-LD)
prov                   lineage as W3C PROV (PROV-JSON)
openlineage            lineage as OpenLineage events

`ernie-m export hf --help` lists the options of a form.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from ernie_m.arguments import argument_parser

# Form -> module with ``main(arguments)``, the form among them.
FORMS = {
    **dict.fromkeys(("hf", "sentence-transformers", "onnx"), "ernie_m.checkpoints.command"),
    **dict.fromkeys(("ro-crate", "prov", "openlineage"), "ernie_m.audit.export.command"),
}


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m export`; returns the exit status."""
    parser = argument_parser("ernie-m export", __doc__, usage="ernie-m export <form> [options]")
    parser.add_argument("form", choices=FORMS, help=argparse.SUPPRESS)
    form = parser.parse_args(arguments[:1]).form
    return importlib.import_module(FORMS[form]).main(arguments)
