"""A process that has loaded Snakemake and forks for each command, which spares the tests its start.

It reads a call a line, `{"words": [...], "folder": ..., "path": [...], "environment": {...},
"out": ..., "err": ...}`, runs the words as Snakemake's command line in a fork, and answers with the
exit status. Nothing of `ernie_m` is loaded before the fork, so that each command reads the source
in its own copy of the repository.
"""

import faulthandler
import importlib
import json
import os
import sys

# Beside Snakemake's own modules, what it loads late and what every plan loads.
LOADED = (
    "snakemake.cli",
    "snakemake.report",
    "pydantic",
    "yaml",
    "difflib",
    "multiprocessing.pool",
    "smart_open",
    "jinja2",
)


def become(call):
    """Make this process the one that was asked for."""
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    for number, name in ((0, os.devnull), (1, call["out"]), (2, call["err"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.path[:0] = call["path"]
    sys.argv = call["words"]
    # Ends a command that hangs, with its stack.
    faulthandler.dump_traceback_later(call["longest"], exit=True)
    from snakemake.cli import main

    sys.exit(main())


def serve():
    """Answer calls until there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    for name in LOADED:
        importlib.import_module(name)
    serve()
