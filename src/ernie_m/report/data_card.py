"""Write a data card for each training corpus of a finished run: the sources of the text and their
licences, how much there was, what was dropped and why, with examples of both.

Cards are Markdown files in `results/<run>/cards/`, made from the statistics of the stages; nothing
reads them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ernie_m.arguments import argument_parser
from ernie_m.arrow import pa, pq
from ernie_m.config.corpora import DatasetRow
from ernie_m.config.load import read
from ernie_m.config.root import Config
from ernie_m.corpora.hashing import hash64
from ernie_m.corpus import Corpus
from ernie_m.errors import UserError, parsed
from ernie_m.pipeline import plan
from ernie_m.report import markdown
from ernie_m.training.by_step import phases
from ernie_m.training.sampling import sampling_shares
from ernie_m.words import shortened

SHOWN = 5
_WIDTH = 160

EXAMPLES = """\
examples:
  ernie-m card
  ernie-m card mono-de parallel-en-de --configfile config/tiny.yaml"""


@dataclass
class Step:
    """One stage's counts: rows before and after, drops and examples by reason."""

    name: str
    before: int
    after: int
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add the drops of one statistics file."""
        self.dropped.update(facts["dropped"])
        for reason, examples in facts["examples"].items():
            self.examples.setdefault(reason, []).extend(examples)


class Results:
    """The files of a run that the cards need."""

    def __init__(self, config: Config) -> None:
        self.config, self.folder = config, Path("results", config.run)

    def json(self, *parts: str) -> Any:
        """A statistics file; raises :class:`UserError` if its stage has not been run."""
        path = self.folder.joinpath(*parts)
        try:
            return parsed(path, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{path} is not there.",
                "Run `snakemake --cores all tokenizer` with the same --configfile first.",
            ) from None

    @cached_property
    def _shards(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for job in plan.filtered(self.config) + plan.shards(self.config):
            corpus, shard = job.split("/")
            found.setdefault(corpus, []).append(shard)
        return {corpus: list(dict.fromkeys(shards)) for corpus, shards in found.items()}

    def files(self, stage: str, corpus: str, name: str) -> list[Path]:
        """The named file of each shard of a corpus."""
        return [self.folder / stage / corpus / shard / name for shard in self._shards[corpus]]

    def steps(self, corpus: str) -> list[Step]:
        """The stages that dropped rows, in order."""
        codes, dealt = Corpus.parse(corpus).languages, self.config.corpora.is_dealt(corpus)
        read = [f"rows-{code}" for code in codes] if dealt else []
        steps = [self._filtered(name) for name in read]
        if dealt:
            steps += self._dealt(corpus)
        if self.config.corpora.sources(corpus):
            steps.append(self._filtered(corpus))
        selected = Step("corpora_select", 0, 0)
        for shard in self._shards[corpus]:
            self._count(selected, "corpora_select", corpus, shard)
        return [*steps, selected]

    def _filtered(self, corpus: str) -> Step:
        step = Step(f"corpora_filter, {corpus}", 0, 0)
        for shard in self._shards[corpus]:
            if shard != plan.DEALT:
                self._count(step, "corpora_filter", corpus, shard)
        return step

    def _count(self, step: Step, *job: str) -> None:
        facts = self.json(*job, "stats.json")
        step.before += facts["rows_in"]
        step.after += facts["rows_in"] - sum(facts["dropped"].values())
        step.add(facts)

    def _dealt(self, corpus: str) -> Iterator[Step]:
        stats = self.json("corpora_deal", "stats.json")
        for code in Corpus.parse(corpus).languages:
            own = stats["languages"][code]
            train = own["rows"]["train"]
            step = Step(
                f"corpora_deal, {code}, training part", train, train - sum(own["dropped"].values())
            )
            step.add(own)
            yield step
        if pair := stats["pairs"].get(Corpus.parse(corpus).text):
            after = sum(pair["pairs"].values())
            step = Step("corpora_deal, pairs", after + sum(pair["dropped"].values()), after)
            step.add(pair)
            yield step


def sequence_counts(manifests: Iterable[Path], kind: str) -> dict[str, int]:
    """Number of training sequences of every language (``mono``) or pair (``parallel``), summed over
    the manifests of its shards."""
    counts: dict[str, int] = {}
    for path in manifests:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["kind"] == kind:
            name = "-".join(manifest["languages"])
            sequences = sum(part["sentences"] for part in manifest["parts"]["train"])
            counts[name] = counts.get(name, 0) + sequences
    return counts


def _source(row: DatasetRow) -> Iterator[str]:
    origin = str(row.url or row.path or row.hub or f"PyPI package {row.package}")
    name, version = markdown.words(row.id), markdown.words(row.version)
    yield f"- **{name}** {version}: {markdown.address(origin)}"
    yield f"  Licence {markdown.words(row.licence)}; home {markdown.address(row.home)}."
    if row.head_bytes:
        yield f"  The first {row.head_bytes:,} bytes of the file, where it has more."
    digest = row.sha256 or "none published; the first download is trusted"
    yield f"  SHA-256 {digest}."


def _example(example: Mapping[str, str]) -> str:
    texts = (text for name, text in example.items() if name not in ("id", "like"))
    return " / ".join(markdown.code(shortened(text, _WIDTH)) for text in texts)


def _samples(paths: Sequence[Path]) -> Iterator[str]:
    """A few training rows, chosen by the hash of their ids from the first block of each file."""
    found: list[tuple[int, str]] = []
    for path in paths:
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise UserError(
                f"{path} is not a whole Parquet file ({error}).",
                "Delete it and run the stage that makes it again.",
            ) from None
        if file.num_row_groups:
            rows = file.read_row_group(0).slice(0, 10_000).to_pylist()
            texts = (
                {key: row[key] for key in row if key not in ("id", "group")} | {"id": row["id"]}
                for row in rows
            )
            found += [(hash64("card", text["id"]), _example(text)) for text in texts]
            found = sorted(found)[:SHOWN]
    yield from (f"- {line}" for _, line in found)


def _drops(step: Step) -> Iterator[str]:
    yield f"\n### {step.name}\n"
    yield f"{step.before:,} rows came, {step.after:,} stayed."
    if step.dropped:
        yield "\n| Reason | Rows | For example |\n| --- | --- | --- |"
        for reason, count in step.dropped.most_common():
            first = min(step.examples[reason], key=lambda example: hash64(*example.values()))
            shown = _example(first).replace("|", "\\|")
            yield f"| {reason} | {count:,} | {shown} |"


def _problems(rows: Sequence[DatasetRow], steps: Sequence[Step]) -> Iterator[str]:
    for row in rows:
        if row.note:
            yield f"- {markdown.words(row.id)}: {markdown.words(row.note)}"
    for step in steps:
        for reason, count in step.dropped.most_common(1):
            if count > 0.1 * step.before:
                share = count / step.before
                yield f"- {step.name} dropped {share:.0%} of the rows as `{reason}`: look at them."
    if any(row.sha256 is None for row in rows):
        yield "- Upstream publishes no digest: that these are the intended bytes is taken on trust."


def card(results: Results, corpus: str) -> str:
    """The card of one corpus, as Markdown."""
    config = results.config
    kind, codes = Corpus.parse(corpus)
    rows = [
        row
        for row in config.corpora.rows().values()
        if row in config.corpora.sources(corpus)
        or (row.content == "rows" and set(codes) <= set(row.languages))
    ]
    steps = results.steps(corpus)
    alike = [name for name in config.corpora.names if name.startswith(kind)]
    found = {name: results.files("tokenizer_pack", name, "manifest.json") for name in alike}
    manifests = [parsed(path, path.read_text("utf-8")) for path in found[corpus]]
    counts = sequence_counts((path for paths in found.values() for path in paths), kind)
    name, shown = "-".join(codes), list[str]()
    for _, alpha in phases(config.pretrain.camlm.alpha):
        share = sampling_shares(counts, alpha)[name]
        shown.append(f"{share:.2%} among {len(counts)} (alpha {alpha:g})")
    tokens = sum(part["tokens"] for one in manifests for part in one["parts"]["train"])
    lines = [
        f"# {corpus}",
        "",
        f"Training text of the run `{config.run}` in {' and '.join(codes)}: {counts[name]:,} "
        f"sequences, {tokens:,} tokens. Stage 1 draws it with probability {', then '.join(shown)}.",
        "\n## Sources\n",
        *(line for row in rows for line in _source(row)),
        "\n## Samples\n",
        *_samples(results.files("corpora_select", corpus, "train.parquet")),
        "\n## What was dropped",
        *(line for step in steps for line in _drops(step)),
        "\n## Known problems\n",
        *(list(_problems(rows, steps)) or ["- None was found."]),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the cards; raises :class:`UserError` for a corpus that the run does not have."""
    parser = argument_parser("ernie-m card", __doc__, epilog=EXAMPLES)
    parser.add_argument("corpora", nargs="*", metavar="corpus", help="all where none is named")
    parser.add_argument("--configfile", nargs="+", default=[], help="overlays, as for snakemake")
    given = parser.parse_args(arguments)
    results = Results(read(*given.configfile))
    known = results.config.corpora.names
    for corpus in given.corpora:
        if corpus not in known:
            raise UserError(
                f"This run has no corpus `{corpus}`.", f"Name one of {', '.join(known)}."
            )
    for corpus in given.corpora or known:
        path = results.folder / "cards" / f"{corpus}.md"
        text = card(results, corpus)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0
