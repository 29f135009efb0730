"""Write or check the files that are generated from the config models and the table of stages.

The models in src/ernie_m/config/ are the one place where a key, its default, its limits and its
meaning are declared, src/ernie_m/pipeline/stages.py that where a stage is. From them this command
writes

  config/config.yaml      every default under its description
  config/schema.json      what an editor needs to complete and check the YAML files
  docs/configuration.md   the tables
  dvc.yaml                the milestones of the default run; metrics, plots and artifacts stay

and in the overlays (config/tiny.yaml and others) it renews the descriptions above the keys. Values,
the header and the remarks behind values stay as you wrote them there.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.config.base import deep_merge
from ernie_m.config.load import BASE, load, read_yaml
from ernie_m.config.root import Config
from ernie_m.errors import UserError
from ernie_m.generate.commented import commented_yaml, remarks_in
from ernie_m.generate.dvc import dvc_stages
from ernie_m.generate.tables import tables

OVERLAYS = tuple(
    Path("config", f"{name}.yaml")
    for name in (
        *("tiny", "xtreme", "local", "paper_base", "paper_large"),
        *("released", "released_xlmr", "ablation", "ablation_laptop", "one_gpu", "one_gpu_small"),
    )
)
SCHEMA = Path("config/schema.json")
DOCS = Path("docs/configuration.md")
DVC = Path("dvc.yaml")
# Between them are the milestones; the rest is written by hand.
DVC_BEGIN, DVC_END = "stages:\n", "# Numbers within the milestones' results"
BEGIN = "<!-- The tables below are written by `ernie-m config --write`. -->"

HEADER = """\
The default run: a laptop with two cores, minutes.

Written by `ernie-m config --write` from the models in src/ernie_m/config/. To try another value, \
put the key into a file of your own and run `snakemake --cores all --configfile mine.yaml`; \
keys that it leaves out stay as they are here."""

EXAMPLES = """\
examples:
  ernie-m config --write    after a change of a model or of an overlay
  ernie-m config --check    show what --write would change; status 1 if anything"""


def main(arguments: Sequence[str]) -> int:
    """Write the generated files or compare them; returns 1 when the comparison finds a difference.

    Raises :class:`UserError` outside the repository and for a bad overlay.
    """
    parser = argument_parser("ernie-m config", __doc__, epilog=EXAMPLES)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write the files that differ")
    what.add_argument("--check", action="store_true", help="print the differences, write nothing")
    given = parser.parse_args(arguments)
    changed = {path: text for path, text in generated().items() if _now(path) != text}
    for path, text in changed.items():
        if given.write:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
        else:
            print(_difference(path, text))
    if given.check and changed:
        print("Bring them in step by: ernie-m config --write")
    return 1 if given.check and changed else 0


def generated() -> dict[Path, str]:
    """What each generated file should hold; paths are relative to the top of the repository."""
    if not BASE.parent.is_dir():
        raise UserError(
            f"There is no folder {BASE.parent}/ here.",
            "Run the command from the top folder of the repository.",
        )
    values = Config().model_dump(mode="json")
    overlays = {path: _overlay(path, values) for path in OVERLAYS if path.exists()}
    return {
        BASE: commented_yaml(Config, values, HEADER, {}),
        **overlays,
        SCHEMA: _schema(),
        DVC: _dvc(_now(DVC)),
        DOCS: _now(DOCS).partition(BEGIN)[0] + BEGIN + "\n\n" + tables(Config, values),
    }


def _overlay(path: Path, values: dict[str, Any]) -> str:
    own = read_yaml(path)
    load(deep_merge(values, own))
    header, remarks = remarks_in(_now(path))
    return commented_yaml(Config, own, header, remarks)


def _dvc(text: str) -> str:
    head, end = text.partition(DVC_BEGIN)[0], text.partition(DVC_END)
    return head + dvc_stages(Config()) + "\n" + end[1] + end[2]


def _schema() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Config.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def _now(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _difference(path: Path, wanted: str) -> str:
    lines = difflib.unified_diff(
        _now(path).splitlines(), wanted.splitlines(), str(path), "wanted", lineterm=""
    )
    return "\n".join(lines)
