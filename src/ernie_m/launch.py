"""Starts the processes of a long stage: alone, by `torchrun`, or as a step of a Slurm job.

A scheduler warns a job by a signal, and the process that can save its work has to get it. Slurm
signals what `srun` started and none of its children, so below a workflow engine and a shell nothing
arrives. In a Slurm job a stage therefore becomes `srun` of itself: a step of its own, on as many
nodes as it asks for, without a shell between. This module loads nothing that computes.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys

from ernie_m.errors import UserError

# Set in a step that was started here, so that its processes start no further one.
STEP = "ERNIE_M_STEP"
# What a new step needs to know of the job around it; the rest describes the step that calls.
_KEPT = ("SLURM_JOB_ID", "SLURM_CONF")
# `torch.distributed` reads the first of each, Slurm says the second.
_RANKS = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_NTASKS"}
# Of `torchrun`: what it hands on to its processes, and how long it waits before it kills them.
_ON_A_SIGNAL = ("--signals-to-handle=SIGTERM,SIGINT,SIGUSR1", "--shutdown-timeout=600")


def in_step() -> bool:
    """Whether a step of Slurm's has started this process."""
    return STEP in os.environ


def know_rank() -> None:
    """Set ``RANK`` and the like where a step of Slurm's has started this process."""
    if in_step():
        os.environ.update({name: os.environ[said] for name, said in _RANKS.items()})


def launch(module: str, threads: int, nodes: int = 1, processes_per_node: int = 1) -> None:
    """Replace this process by the processes of its stage, each with ``threads`` CPU threads;
    returns in each of them, and where nothing is to be started.

    Raises :class:`UserError` if several nodes are wanted where nothing can start processes on them.
    """
    if "RANK" in os.environ:
        return
    stage = [sys.executable, "-m", module, *sys.argv[1:]]
    if "SLURM_JOB_ID" in os.environ and shutil.which("srun"):
        _become_step(stage, threads, nodes, processes_per_node)
    if nodes > 1:
        raise UserError(
            f"`hardware.nodes` is {nodes}, and this is no job of Slurm.",
            "Use `--profile profiles/slurm`, or start the stage's command under torchrun on each "
            "node, with --nnodes and --nproc-per-node of `hardware`.",
        )
    if processes_per_node > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # otherwise torchrun sets it, with a warning
        torchrun = ["-m", "torch.distributed.run", "--standalone", *_ON_A_SIGNAL]
        count = ["--nproc-per-node", str(processes_per_node)]
        os.execv(sys.executable, [sys.executable, *torchrun, *count, *stage[1:]])


def _become_step(stage: list[str], threads: int, nodes: int, processes_per_node: int) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(("SLURM_", "SRUN_"))
    }
    # Rank 0 is on the first node of the job, where this runs.
    environment |= {STEP: "1", "MASTER_ADDR": socket.gethostname(), "MASTER_PORT": _free_port()}
    step = [
        # The first process writes for some time after the others have ended.
        *("srun", "--overlap", "--unbuffered", "--kill-on-bad-exit=1", "--wait=0"),
        f"--nodes={nodes}",
        *(f"--ntasks={nodes * processes_per_node}", f"--ntasks-per-node={processes_per_node}"),
        f"--cpus-per-task={threads}",
    ]
    os.execvpe("srun", [*step, *stage], environment)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return str(probe.getsockname()[1])


def queue_again() -> bool:
    """Have Slurm queue this job again, after it saved its state; whether it will.

    False outside of such a step, and for a job that was cancelled or is out of time: its signal is
    an end, not a warning.
    """
    if not in_step():
        return False
    job = os.environ["SLURM_JOB_ID"]
    state = _ask("squeue", "--noheader", "--format=%T", f"--jobs={job}")
    return state is not None and state == "RUNNING" and _ask("scontrol", "requeue", job) is not None


def _ask(*words: str) -> str | None:
    """What a command of Slurm's prints, or None if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
