"""A process that damages and reads files: `python -m tests.fuzz.worker TARGET SEED`, in a folder of
its own; a number of an input a line, an answer a line."""

import json
import random
import resource
import sys
import traceback
import warnings
from pathlib import Path

from ernie_m.errors import UserError
from tests.fuzz.targets import TARGETS

MEMORY = 2 << 30


def answer(target, seed: str, number: int) -> dict:
    """What became of one input; the damaged file stays where it ended in a traceback."""
    draw = random.Random(f"{seed}/{number}")
    path, fault = target.damage(draw), None
    try:
        status = target.consume(draw, path)
        found = "told" if isinstance(status, int) and status else "accepted"
    except (UserError, OSError):
        found = "told"
    except BaseException:
        found, fault = "traceback", traceback.format_exc()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if fault is None:
        target.restore(path)
    return {"found": found, "path": str(path), "fault": fault, "memory_mb": memory}


def main() -> None:
    """Answer until there are no more numbers."""
    name, seed = sys.argv[1:]
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr
    target = TARGETS[name]
    target.open()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    print(json.dumps({"found": "ready"}), file=out, flush=True)
    for line in sys.stdin:
        found = answer(target, f"{seed}/{name}", int(line))
        print(json.dumps(found), file=out, flush=True)
        if found["fault"]:
            Path(found["path"]).write_bytes(target.files[Path(found["path"])])


if __name__ == "__main__":
    main()
