"""Score predictions in the layout of XTREME's leaderboard, <folder>/<task>/test-<language>.tsv (for
questions .json), as the benchmark defines it: every task in all of its languages, averages that
include English, means of groups, and the mean of the nine tasks when all nine are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.catalogue.tasks import TASKS, XTREME
from ernie_m.xtreme.scoring.leaderboard import score_folders

EXAMPLES = """\
examples:
  ernie-m score --predictions predictions --labels labels
  ernie-m score --predictions predictions --labels labels --json > scores.json"""


def _tables(scores: dict[str, Any]) -> Iterator[str]:
    for name, task in scores["tasks"].items():
        metrics = list(task["average"])
        yield f"{name}  {task['score']:.4f}"
        yield f"  {'':10}" + "".join(f"{metric:>13}" for metric in metrics) + f"{'n':>9}"
        rows = {**task["languages"], "average": task["average"]}
        for language, row in rows.items():
            cells = "".join(f"{row[metric]:13.4f}" for metric in metrics)
            yield f"  {language:10}{cells}{row.get('n', ''):>9}"
        yield ""
    for group, value in scores["groups"].items():
        members = [name for name in XTREME if TASKS[name].category == group]
        yield f"{group:16}{value:9.4f}  mean of {', '.join(members)}"
    if "overall" in scores:
        yield f"{'XTREME':16}{scores['overall']:9.4f}  mean of the nine tasks"
    else:
        missing = [name for name in XTREME if name not in scores["tasks"]]
        yield f"No mean of the nine tasks: there is no {', '.join(missing)}."


def main(arguments: Sequence[str]) -> int:
    """Print the scores; raises :class:`~ernie_m.errors.UserError` for files that do not fit."""
    parser = argument_parser("ernie-m score", __doc__, epilog=EXAMPLES)
    parser.add_argument("--predictions", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    scores = score_folders(args.predictions, args.labels)
    if args.json:
        print(json.dumps(scores, indent=1))
    else:
        print("\n".join(_tables(scores)))
    return 0
