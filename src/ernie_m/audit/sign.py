"""Sign the records of a run, so that none of them can be replaced unseen.

Writes `results/RUN/SEALS`, the seal of every record of the run, and its signature `SEALS.sig`, by
`ssh-keygen -Y sign` with the key that git signs with (`user.signingkey`), or the first in ~/.ssh.
`ernie-m audit` and `ernie-m verify` accept the signatures of those whom `config/allowed_signers`
names, one a line: `jane@example.org ssh-ed25519 AAAA...`. Commit all three files.

Anybody can check a signature without this program:
  ssh-keygen -Y verify -n ernie-m -f config/allowed_signers -I jane@example.org
    -s results/default/SEALS.sig < results/default/SEALS
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ernie_m.arguments import argument_parser
from ernie_m.atomic import complete, partial
from ernie_m.audit import words
from ernie_m.audit.chain import Verdict, chain_of
from ernie_m.audit.checks import check
from ernie_m.audit.command import layers_for
from ernie_m.audit.signatures import (
    NAMESPACE,
    SEALS,
    SIGNATURE,
    SIGNERS,
    seals_text,
    signed_seals,
    ssh_keygen,
)
from ernie_m.errors import UserError
from ernie_m.records.graph import RESULTS, SHARED, read_graph
from ernie_m.records.record import Record
from ernie_m.records.writer import git
from ernie_m.words import plural

KEYS = ("id_ed25519", "id_ecdsa", "id_ed25519_sk", "id_ecdsa_sk", "id_rsa")


def key_of(given: Path | None) -> Path:
    """The file of the key to sign with; raises :class:`UserError` if there is none."""
    configured = git("config", "--type=path", "user.signingkey")
    files = [given] if given else [Path(configured)] if configured else []
    files += [Path.home() / ".ssh" / name for name in KEYS] if not files else []
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise UserError(
            f"There is no key to sign with: {', '.join(map(str, files))}.",
            "Make one by `ssh-keygen -t ed25519`, or name one by --key.",
        )
    return found


def records_of(run: str) -> list[Record]:
    """The records of a run that are here, those of the downloads behind it among them.

    Raises :class:`UserError` where what is here does not hold.
    """
    base = Path.cwd()
    graph = read_graph(base, run)
    chain = chain_of(graph, graph.behind(*graph.nodes), f"{RESULTS}/{run}")
    layers = layers_for(run, None)
    check(chain, layers.config if layers else None)
    wrong = [found for found in chain.findings if found.verdict.value >= Verdict.BROKEN.value]
    if wrong:
        raise UserError(
            "What is here does not hold, and is not signed:\n  " + "\n  ".join(words.alike(wrong)),
            "Make it anew, or take the recorded bytes back by `ernie-m restore`.",
        )
    folders = {f"{RESULTS}/{run}/", *(f"{RESULTS}/{stage}/" for stage in SHARED)}
    return [node for node in chain.nodes if node.path.startswith(tuple(folders))]


def write_signature(file: Path, key: Path) -> None:
    """Sign ``partial(file)`` and put both in place; raises :class:`UserError` if it fails."""
    made = partial(file).with_name(partial(file).name + ".sig")
    made.unlink(missing_ok=True)
    done = ssh_keygen("sign", "-n", NAMESPACE, "-f", str(key), str(partial(file)))
    if done.returncode:
        partial(file).unlink()
        raise UserError(
            f"`ssh-keygen -Y sign` failed: {done.stderr.decode(errors='replace').strip()}.",
            "Name another key by --key, or load this one into the agent by `ssh-add`.",
        )
    made.replace(partial(file.with_name(SIGNATURE)))
    complete(file)
    complete(file.with_name(SIGNATURE))


def main(arguments: Sequence[str]) -> int:
    """Command line of `ernie-m sign`; returns the exit status."""
    parser = argument_parser("ernie-m sign", __doc__)
    parser.add_argument("--run", default="default", help="name of the run (default: default)")
    parser.add_argument("--key", type=Path, help="private key, or public one of a key in the agent")
    args = parser.parse_args(arguments)
    key, records = key_of(args.key), records_of(args.run)
    file = Path(RESULTS, args.run, SEALS)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    partial(file).write_text(seals_text(records, args.run, when), encoding="utf-8")
    write_signature(file, key)
    print(f"{file}: {plural(len(records), 'record')} signed with {key}")
    signed = signed_seals(Path.cwd(), args.run)
    if signed is None or signed.fault:
        public = key if key.suffix == ".pub" else key.with_name(f"{key.name}.pub")
        words_of_key = public.read_text().split()[:2] if public.is_file() else ["KEY"]
        mail = git("config", "user.email") or "you@example.org"
        print(f"{SIGNERS} does not name this key, so it counts for nobody yet. Add the line")
        print(f"  {mail} {' '.join(words_of_key)}")
    else:
        print(f"as {signed.by}, whom {SIGNERS} names")
    return 0
