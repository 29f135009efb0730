"""Signed seals: the seal of every record of a run in one file, and whose signature it bears."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ernie_m.errors import UserError
from ernie_m.records.graph import RESULTS
from ernie_m.records.record import Record
from ernie_m.records.writer import git

SEALS = "SEALS"
SIGNATURE = "SEALS.sig"
SIGNERS = Path("config/allowed_signers")
NAMESPACE = "ernie-m"  # a signature is of this namespace, or it was made for something else


@dataclass(frozen=True)
class Signed:
    """The seals of a run by path of record, who signed them and when; ``fault`` if nobody did."""

    by: str = ""
    when: str = ""
    seals: dict[str, str] = field(default_factory=dict)
    fault: str = ""


def ssh_keygen(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y`; raises :class:`UserError` where it is not installed."""
    words = ["ssh-keygen", "-Y", *arguments]
    try:
        return subprocess.run(words, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError(
            "Signatures need `ssh-keygen`, which is not installed.",
            "Install OpenSSH (8.2 or later).",
        ) from None


def seals_text(records: Iterable[Record], run: str, when: str) -> str:
    """The file that is signed: a line of what and when, then seal and path of each record."""
    lines = sorted(f"{record.seal}  {record.path}" for record in records)
    return "\n".join([f"# {RESULTS}/{run}, {when}", *lines]) + "\n"


def at_head(base: Path, path: str) -> str | None:
    """Text of a file below ``base`` as it was last committed; None if it was not."""
    return git("-C", str(base), "show", f"HEAD:./{path}")


def signed_seals(base: Path, run: str, signers: Path | None = None) -> Signed | None:
    """What was signed of a run, None if nothing was.

    ``signers`` names those whose signatures count; by default :data:`SIGNERS` below ``base``.
    """
    file = base / RESULTS / run / SEALS
    signature = file.with_name(SIGNATURE)
    if not signature.is_file() or not file.is_file():
        gone = at_head(base, file.relative_to(base).as_posix())
        return Signed(fault="it is committed, and not here with its signature") if gone else None
    content, own = file.read_bytes(), ["-n", NAMESPACE, "-s", str(signature)]
    if ssh_keygen("check-novalidate", *own, given=content).returncode:
        return Signed(fault=f"{file.relative_to(base)} is not what its signature was made for")
    trusted = signers or base / SIGNERS
    named = ["-f", str(trusted)]
    found = (
        ssh_keygen("find-principals", "-s", str(signature), *named) if trusted.is_file() else None
    )
    by = found.stdout.decode().splitlines() if found and not found.returncode else []
    if not by or ssh_keygen("verify", *own, *named, "-I", by[0], given=content).returncode:
        return Signed(fault=f"it is signed by nobody whom {signers or SIGNERS} names")
    text = content.decode()
    return Signed(by[0], *seals_in(text))


def seals_in(text: str) -> tuple[str, dict[str, str]]:
    """When a file :data:`SEALS` was made, and the seals in it by path of record."""
    head, _, rest = text.partition("\n")
    pairs = (line.partition("  ") for line in rest.splitlines())
    return head.rpartition(", ")[2], {path: seal for seal, _, path in pairs if path}


def signers_state() -> str:
    """How far the list of signers is itself to be trusted: empty if it is as committed."""
    changed = git("status", "--porcelain", "--", SIGNERS.as_posix())
    return f"; {SIGNERS} is not as committed" if changed or changed is None else ""
