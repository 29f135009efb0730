"""Bring results back after a clone, a checkout or a change of machine.

Fetches what DVC has (`dvc pull`, or `dvc checkout` without a remote), checks every byte against the
records, and updates Snakemake's metadata for all results that this commit would make again exactly.
Stale results stay stale. Ends with what `snakemake` would now run: nothing, if all is current.

DVC has the files of the default run only; for results that came another way use --no-pull.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.audit import words
from ernie_m.audit.chain import Chain, Verdict, chain_of
from ernie_m.audit.checks import check
from ernie_m.audit.command import add_configuration, layers_for
from ernie_m.audit.keys import Layers
from ernie_m.audit.status import states
from ernie_m.audit.verify import hash_all
from ernie_m.errors import UserError
from ernie_m.records.graph import RESULTS, Graph, Reader, read_graph, runs
from ernie_m.words import plural, size

NOTHING = "Nothing to be done"
LOCK = Path("dvc.lock")
DONE = "Bookkeeping agrees for"


def tool(name: str, *arguments: str) -> str:
    """Run a tool of the environment; returns its output.

    Raises :class:`UserError` with the beginning and end of its output if it fails.
    """
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = f"{done.stdout}\n{done.stderr}".strip()
    if done.returncode:
        lines = printed.splitlines()
        told = lines if len(lines) <= 8 else [*lines[:3], "...", *lines[-5:]]
        called = " ".join([name, *arguments[:6], *(["..."] if arguments[6:] else [])])
        raise UserError(
            f"`{called}` failed:\n" + "\n".join(told),
            "Do as it says, then run the same command again.",
        )
    return printed


def behind(targets: Sequence[str]) -> Graph:
    """The jobs behind ``targets``, as far as there are records.

    Raises :class:`UserError` for a file that no record mentions.
    """
    reader = Reader(Path.cwd())
    graph = reader.graph(map(reader.record_of, targets))
    for target in targets:
        if not graph.nodes[reader.record_of(target)].data:
            raise UserError(
                f"No record tells of what is behind {target}.",
                "Correct its name (a file under results/), or restore everything: without --for.",
            )
    return graph


def fetch(targets: Sequence[str], force: bool) -> str:
    """Let DVC fetch the files; returns the command that did it."""
    if not LOCK.is_file():
        raise UserError(
            f"There is no {LOCK} here, so DVC knows of no results.",
            "Check out a commit that has it; for results that came another way use --no-pull.",
        )
    verb = "pull" if tool("dvc", "remote", "list").strip() else "checkout"
    known = [node for node in behind(targets).nodes.values() if node.data]
    wanted = sorted({str(Path(node.path).parent) for node in known})
    tool("dvc", verb, *(["--force"] if force else []), *wanted)
    return f"dvc {verb}"


def current(chain: Chain, layers: Layers | None) -> list[str]:
    """Records of the jobs whose results are here and current for this configuration and code."""
    found = states(chain, layers.config if layers else None)
    return [node.path for node in chain.nodes if found[node.path]["state"] == "current"]


def ends(graph: Graph, records: Sequence[str]) -> list[str]:
    """One output of each job whose files no other of these jobs reads."""
    own = set(records)
    last = [path for path in records if not own.intersection(graph.readers[path])]
    return [next(iter(graph.nodes[path].recorded)) for path in last]


def agree(graph: Graph, records: Sequence[str], overlays: Sequence[str]) -> None:
    """Let Snakemake treat these jobs as done, with the bytes that are here."""
    targets = ends(graph, records)
    if targets:
        given = ["--configfile", *overlays] if overlays else []
        tool(
            "snakemake", *targets, "--cores", "1", *given, "--touch", "--forceall", "--quiet", "all"
        )


def left_to_do(targets: Sequence[str], overlays: Sequence[str]) -> str:
    """The table of jobs of a dry run; empty if there is nothing to do."""
    given = ["--configfile", *overlays] if overlays else []
    printed = tool("snakemake", *targets, "--dry-run", *given)
    if NOTHING in printed:
        return f"{NOTHING}."
    _, _, rest = printed.partition("Job stats:")
    return "Snakemake would run:" + rest.split("\n\n")[0]


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m restore`; returns 0 when nothing is left to do."""
    parser = argument_parser("ernie-m restore", __doc__)
    parser.add_argument(
        "--for", dest="targets", nargs="+", default=[], metavar="FILE", help="only what is behind"
    )
    parser.add_argument("--run", default="default", help="name of the run (default: default)")
    add_configuration(parser)
    parser.add_argument("--no-pull", action="store_true", help="do not ask DVC for files")
    parser.add_argument("--force", action="store_true", help="let DVC replace files that differ")
    args = parser.parse_args(arguments)
    layers = layers_for(args.run, args.configfile)
    if layers is None:
        raise UserError(
            f"No file in config/ is of run `{args.run}`.",
            "Name its overlays by --configfile, in the top folder of the repository.",
        )
    if not args.no_pull:
        print(f"fetched by {fetch(args.targets, args.force)}")
    elif not args.targets and args.run not in runs(Path.cwd()):
        raise UserError(
            f"There are no results of run `{args.run}` in {RESULTS}/{args.run}/ to be checked.",
            "Copy them there with their records, or let DVC fetch them: without --no-pull.",
        )
    graph = behind(args.targets) if args.targets else read_graph(Path.cwd(), args.run)
    chain = chain_of(graph, graph.behind(*graph.nodes), f"{RESULTS}/{args.run}")
    count = hash_all(chain, 4)
    check(chain, layers.config)
    print(f"checked {size(count)} of {plural(len(chain.nodes), 'job')}")
    wrong = [found for found in chain.findings if found.verdict.value >= Verdict.BROKEN.value]
    if wrong:
        raise UserError(
            "What is here is not what was recorded:\n  " + "\n  ".join(words.alike(wrong)),
            "Replace it by what DVC has (--force), or make it anew by `snakemake`.",
        )
    records = current(chain, layers)
    agree(graph, records, layers.overlays)
    print(f"{DONE} {plural(len(records), 'job')}.")
    for line in words.alike(chain.findings):
        print(line)
    left = left_to_do(args.targets, layers.overlays)
    print(left)
    return 0 if left.startswith(NOTHING) else 4
