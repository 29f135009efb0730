"""Print an estimate of what a configuration costs, stage by stage, without running anything.

Rates come from src/ernie_m/planning/throughputs.yaml, which says how they were measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from ernie_m.arguments import argument_parser
from ernie_m.config.load import read
from ernie_m.corpus import Corpus
from ernie_m.planning.estimate import Cost, Estimate, Throughputs
from ernie_m.training.by_step import phases
from ernie_m.training.sampling import sampling_shares
from ernie_m.words import amount

EXAMPLES = """\
examples:
  ernie-m plan --configfile config/paper_base.yaml
  ernie-m plan --configfile config/paper_large.yaml --accelerator a100 --utilisation 0.3
  ernie-m plan --configfile config/paper_base.yaml --json"""

_COLUMNS = ("jobs", "read", "written", "tokens", "FLOPs", "core hours", "GPU hours")


def or_dash(number: float | None, words: Callable[[float], str]) -> str:
    """A formatted number, ``-`` where it is unknown."""
    return "-" if number is None else words(number)


def hours(number: float) -> str:
    """``12,300``, ``0.4``."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _cells(cost: Cost) -> list[str]:
    return [
        f"{cost.jobs:,}",
        *(or_dash(number, amount) for number in (cost.read, cost.written, cost.tokens)),
        or_dash(cost.flops, "{:.1e}".format),
        *(or_dash(number, hours) for number in (cost.core_hours, cost.gpu_hours)),
    ]


def _total(costs: Sequence[Cost]) -> Cost:
    def add(name: str) -> float | None:
        values = [value for cost in costs if (value := getattr(cost, name)) is not None]
        return sum(values) if values else None

    fields = ("read", "written", "tokens", "flops", "core_hours", "gpu_hours")
    return Cost("together", sum(c.jobs for c in costs), **{name: add(name) for name in fields})


def table(estimate: Estimate, accelerator: str, utilisation: float) -> str:
    """The costs as a text table."""
    costs = estimate.costs()
    rows = [(cost.stage, _cells(cost)) for cost in (*costs, _total(costs))]
    lines = [f"{'stage':<24}" + "".join(f"{name:>12}" for name in _COLUMNS)]
    lines += [f"{stage:<24}" + "".join(f"{cell:>12}" for cell in cells) for stage, cells in rows]
    written = or_dash(_total(costs).written, amount)
    measured = estimate.table.measured
    lines += [
        "",
        f"Disk at the peak: {written}B, all that is written, because nothing is deleted.",
        f"GPU hours: {accelerator}, {estimate.rate / utilisation:.3g} FLOP/s, "
        f"{utilisation:.0%} of them used.",
        f"Rates of text: {measured.command}; {measured.where}.",
    ]
    return "\n".join([*lines, *_generation(estimate), *_sampling(estimate)])


def _generation(estimate: Estimate) -> list[str]:
    """The saving from generating only for sentences that stage 2 reads."""
    left, gpu_hours = estimate.not_generated()
    if not left:
        return []
    return [
        f"Generation leaves out {amount(left)} tokens of monolingual text that no step of stage 2 "
        f"draws: {or_dash(gpu_hours, hours)} GPU hours less."
    ]


def _sampling(estimate: Estimate) -> list[str]:
    """Sampling shares of languages and pairs in the first step of stage 1, largest first."""
    settings, corpora = estimate.config.pretrain.camlm, estimate.config.corpora
    lines = []
    for kind, names in (("languages", "mono"), ("pairs", "parallel")):
        sizes = {
            corpus.text: sum(row.text_bytes or 0 for row in corpora.sources(str(corpus)))
            for corpus in map(Corpus.parse, corpora.names)
            if corpus.kind == names and corpora.sources(str(corpus))
        }
        if sizes and not all(sizes.values()):
            lines.append(f"Sampling of {kind}: not known, because rows lack `text_bytes`.")
        elif sizes:
            alpha = phases(settings.alpha)[0][1]
            shares = sampling_shares(sizes, alpha)
            ranked = sorted(shares, key=lambda name: (-shares[name], name))
            shown = ", ".join(f"{name} {shares[name]:.1%}" for name in ranked[:8])
            lines.append(f"Sampling of {len(sizes)} {kind} at alpha {alpha:g}: {shown} ...")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Print the plan; raises :class:`UserError` for a configuration that cannot be used."""
    rates = Throughputs.read()
    parser = argument_parser("ernie-m plan", __doc__, epilog=EXAMPLES)
    parser.add_argument("--configfile", nargs="+", default=[], help="overlays, as for snakemake")
    parser.add_argument("--accelerator", choices=rates.accelerators, default="h100")
    parser.add_argument(
        "--utilisation", type=float, default=0.4, help="share of the peak that is reached (0.4)"
    )
    parser.add_argument("--json", action="store_true", help="print the same for a machine")
    args = parser.parse_args(arguments)
    if not 0 < args.utilisation <= 1:
        parser.error("--utilisation is a share above 0 and up to 1")
    config = read(*args.configfile)
    estimate = Estimate(config, rates, args.accelerator, args.utilisation)
    if args.json:
        costs = estimate.costs()
        print(json.dumps([asdict(cost) for cost in (*costs, _total(costs))], indent=1))
    else:
        print(table(estimate, args.accelerator, args.utilisation))
    return 0
