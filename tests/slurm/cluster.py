"""A Slurm on this machine for the tests: real daemons and control groups, two nodes a partition.

    python -m tests.slurm.cluster up FOLDER
    python -m tests.slurm.cluster down FOLDER

Needs root and Debian's packages `munge slurm-wlm`. All that it writes lies in its folder, but for
the control groups that slurmd makes and links in /etc/slurm, where Slurm's commands look (the
executor hands them no SLURM_CONF); where a Slurm is configured already it refuses to start.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
# Where Debian puts daemons, which is not on every user's path.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
CONFIGURED = Path("/etc/slurm")
NODES = 2  # of each partition
KILL_WAIT = 60  # seconds from SIGTERM to SIGKILL; 30 on most clusters, but this machine is slow

SLURM_CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
KillWait={kill_wait}
OverTimeLimit=0
MinJobAge=7200
InactiveLimit=0
MpiDefault=none
JobRequeue=1
NodeName=DEFAULT CPUs=2 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
NodeName=node[1-{last}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports}]
PartitionName=DEFAULT MaxTime=INFINITE State=UP
{partitions}
"""
CONFIGURATION = {
    "slurm.conf": SLURM_CONF,
    "cgroup.conf": "ConstrainRAMSpace=yes\nConstrainSwapSpace=no\nConstrainCores=no\n",
    "gres.conf": "".join(
        f"NodeName=node[1-{{last}}] Name=gpu File=/dev/{device}\n" for device in ("null", "zero")
    ),
}


def missing() -> str:
    """What this machine lacks for the cluster, or nothing."""
    if os.geteuid() != 0:
        return "it needs root, for control groups"
    if not any(os.access(f"/sys/fs/cgroup{part}", os.W_OK) for part in ("/memory", "")):
        return "control groups cannot be made here"
    if (CONFIGURED / "slurm.conf").exists() and not _killed():
        return f"{CONFIGURED} is that of another Slurm"
    lacks = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    return f"{', '.join(lacks)} not found: apt-get install munge slurm-wlm" if lacks else ""


def _killed() -> bool:
    """Whether what is configured is a cluster of this module's that was killed."""
    path = CONFIGURED / "slurm.conf"
    try:
        os.kill(int((path.resolve().parent / "slurmctld.pid").read_text()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return path.is_symlink()
    return False


class Cluster:
    """The daemons whose files lie in ``folder``, for some partitions: batch1, batch2, ...

    A test that has one to itself is not disturbed by others: ``partition`` is the one meant here,
    counted from 1.
    """

    def __init__(self, folder: Path, partitions: int = 1, partition: int = 1) -> None:
        self.folder, self.partitions = folder, partitions
        self.partition, self.nodes = f"batch{partition}", self._nodes(partition)
        self.environment = {**os.environ, "PATH": PATH}

    @staticmethod
    def _nodes(partition: int) -> list[str]:
        return [f"node{NODES * (partition - 1) + number}" for number in range(1, NODES + 1)]

    def call(self, *words: str, check: bool = True) -> str:
        """Output of a command of Slurm's."""
        return subprocess.run(
            words, env=self.environment, check=check, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    def up(self) -> None:
        """Write the configuration and start all daemons; returns when the nodes take jobs."""
        of_partition = {number: self._nodes(number) for number in range(1, self.partitions + 1)}
        nodes = [node for some in of_partition.values() for node in some]
        for name in ("state", *(f"spool-{node}" for node in nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        ports = _free_ports(1 + len(nodes))
        values = {
            "folder": self.folder,
            "host": socket.gethostname(),
            "last": len(nodes),
            "partitions": "\n".join(
                f"PartitionName=batch{number} Nodes={','.join(some)} "
                f"Default={'YES' if number == 1 else 'NO'}"
                for number, some in of_partition.items()
            ),
            "kill_wait": KILL_WAIT,
            "ports": f"{ports[1]}-{ports[-1]}",
            "port": ports[0],
        }
        CONFIGURED.mkdir(exist_ok=True)
        for name, text in CONFIGURATION.items():
            (self.folder / name).write_text(text.format(**values))
            (CONFIGURED / name).unlink(missing_ok=True)  # left by a cluster that was killed
            (CONFIGURED / name).symlink_to(self.folder / name)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        self.folder.chmod(0o755)
        flags = [
            f"--{name.replace('_', '-')}={self.folder / 'munge'}{end}"
            for name, end in {
                "key_file": ".key",
                "socket": ".socket",
                "pid_file": ".pid",
                "log_file": ".log",
                "seed_file": ".seed",
            }.items()
        ]
        self.call("munged", "--force", *flags)
        self.call("slurmctld", "-i")
        for node in nodes:
            self.start(node)
        self.wait("idle")

    def start(self, node: str) -> None:
        """Start the daemon of a node."""
        self.call("slurmd", "-N", node)

    def fail(self, node: str) -> None:
        """Have a node fail: its daemon and its jobs, all on this node, die at once."""
        jobs = self.call("squeue", "-h", f"--nodelist={node}", "-o", "%A").split()
        self._kill(f"slurmd-{node}")
        steps = ["pgrep", "-f", rf"slurmstepd: \[({'|'.join(jobs)})\."]
        for pid in subprocess.run(steps, capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    def wait(self, state: str, seconds: float = 60) -> None:
        """Wait until all nodes of the partition are in a state."""
        end = time.monotonic() + seconds
        states = ("sinfo", "-h", "-N", "-o", "%T", f"--partition={self.partition}")
        while set(self.call(*states).split()) != {state}:
            if time.monotonic() > end:
                raise TimeoutError(self.call("sinfo", "-N", "-l"))
            time.sleep(0.2)

    def down(self) -> None:
        """Cancel all jobs and stop all daemons."""
        self.call("scancel", "--signal=KILL", "-u", "root", check=False)
        for path in sorted(self.folder.glob("*.pid"), reverse=True):  # slurmd before slurmctld
            self._kill(path.stem)
        for name in CONFIGURATION:
            (CONFIGURED / name).unlink(missing_ok=True)

    def _kill(self, name: str) -> None:
        pid = self.folder / f"{name}.pid"
        try:
            os.kill(int(pid.read_text()), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        pid.unlink()


def _free_ports(count: int) -> list[int]:
    """Free ports, one after the other."""
    for first in range(17_000, 30_000, count):
        ports = list(range(first, first + count))
        if not any(_in_use(port) for port in ports):
            return ports
    raise OSError("no free ports")


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    getattr(Cluster(Path(folder).resolve()), {"up": "up", "down": "down"}[command])()
