"""How fast text is cleaned, encoded and compared, side by side with other libraries in one run.

    make bench-corpora

Takes text in the shape of CC-100, made from the default run's (benchmarks/web.py), and measures CPU
seconds of one process in turns: `corpora.filter` and `datatrove`; our tokenizer, HF `tokenizers`
and `datasets.map`; near-duplicates by our bands and by `datasketch`. Then memory of a filter job
against the size of its text. Writes its section of docs/benchmarks.md; the last line is JSON.
"""

from __future__ import annotations

import os

# One thread each; read when the libraries are loaded.
os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import json
import logging
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as parquet
from datasketch import MinHash, MinHashLSH
from datatrove.data import Document
from datatrove.pipeline.filters import (
    GopherQualityFilter,
    GopherRepetitionFilter,
    LambdaFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.lid import LID
from datatrove.utils.stats import MetricStats
from datatrove.utils.word_tokenizers import WordTokenizer
from transformers.convert_slow_tokenizer import XLMRobertaConverter

from benchmarks import web
from benchmarks.document import machine, publish, table
from benchmarks.runs import finished
from ernie_m.arguments import argument_parser
from ernie_m.atomic import partial
from ernie_m.catalogue.languages import LANGUAGES
from ernie_m.config.corpora import ExtractSettings, FilterSettings
from ernie_m.config.tokenizer import PackSettings, Rows
from ernie_m.corpora import dedup, extract
from ernie_m.corpora import filter as filter_stage
from ernie_m.corpora.documents import document_shingles
from ernie_m.corpora.duplicates import BAND_ROWS, BANDS, band_hashes, jaccard
from ernie_m.corpora.fingerprints import FingerprintWriter
from ernie_m.corpora.language_id import identifier
from ernie_m.corpora.streams import MONO, read_batches, write_blocks
from ernie_m.corpora.text import Letters, comparable, normalise
from ernie_m.job import Job
from ernie_m.tokenizer import pack
from ernie_m.tokenizer.vocabulary import Tokenizer

logger = logging.getLogger("bench-corpora")
CODES = ("en", "de", "ru")  # words between spaces, as datatrove's filters need them
RULES = FilterSettings(
    min_chars=10, min_script_share=0.5, language_identifier="fasttext", near_duplicates=False
)
THRESHOLD = 0.8
Files = Mapping[str, list[Path]]


def stage(run: Callable[[Job], None], instance: str, settings: Any, given: Files, made: Files):
    """A stage of ours in this process."""
    job = Job(run.__module__, instance, settings, 1, 1, dict(given), dict(made))
    run(job)
    for path in (path for paths in made.values() for path in paths):
        os.replace(partial(path), path)


def filtered(folder: Path) -> dict[str, list[Path]]:
    """The outputs of a filter job."""
    files = ("rows.arrow", "lines.arrow", "documents.arrow", "stats.json")
    return {name.partition(".")[0]: [folder / name] for name in files}


class Corpus:
    """One language: its packed text, and the rows that `corpora.extract` makes of it."""

    def __init__(self, folder: Path, code: str, page: web.Page, size: int) -> None:
        self.code, self.folder = code, folder / code
        self.folder.mkdir()
        packed = self.folder / "text.xz"
        self.bytes = web.write(packed, page, size)
        self.rows = self.folder / "rows" / "rows.parquet"
        self.rows.parent.mkdir()
        settings = ExtractSettings(format="cc100", languages=(code,))
        stage(extract.run, f"web/{code}", settings, {"file": [packed]}, {"rows": [self.rows]})
        self.lines = parquet.read_metadata(self.rows).num_rows

    def ours(self) -> int:
        """`corpora.filter`; returns how many lines stay."""
        made = filtered(self.folder)
        stage(filter_stage.run, f"mono-{self.code}/0", RULES, {"corpus": [self.rows]}, made)
        return int(json.loads(made["stats"][0].read_text())["rows_out"])

    def theirs(self, identify: LID) -> int:
        """datatrove's steps in a row, as its executor calls them; returns how many lines stay."""
        data: Any = None
        steps = pipeline(self, identify)
        for step in steps:
            data = step.run(data, 0, 1)
        deque(data, maxlen=0)
        kept: MetricStats = steps[-1].stats.stats["total"]
        return int(kept.total)


class NormalForm(BaseFormatter):
    """Our normal form as a step of datatrove's."""

    name = "normal form"

    def format(self, text: str) -> str:
        """One text."""
        return normalise(text)


class Words(WordTokenizer):
    """Words between spaces, as ours are; datatrove's own tokenizers do far more."""

    def word_tokenize(self, text: str) -> list[str]:
        """All of them."""
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        """Not asked for."""
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Not asked for."""
        raise NotImplementedError


class OneLabel(LID):
    """The same model, asked for the best label as ours is."""

    def predict(self, doc: Document) -> tuple[tuple[str, float], dict[str, float]]:
        """As datatrove's FT176LID."""
        label, score = identifier("fasttext")(doc.text)
        found = {label: score}
        return (label, score), {code: found.get(code, 0.0) for code in self.languages or ()}


def pipeline(corpus: Corpus, identify: LID) -> list[Any]:
    """The nearest that datatrove has to our filter, in our order."""
    language = LANGUAGES[corpus.code]

    def readable(doc: Document) -> bool:
        return RULES.min_chars <= len(doc.text) <= RULES.max_chars and "\ufffd" not in doc.text

    def own_script(doc: Document) -> bool:
        share = Letters.of(doc.text, language.scripts).script_share
        return share is not None and share >= RULES.min_script_share

    # Its check asks for another distribution of fastText than the one that is here.
    LanguageFilter._requires_dependencies = []
    languages = LanguageFilter(sorted(language.labels), language_threshold=0.3)
    languages.model = identify
    identify.languages = sorted(language.labels)
    return [
        ParquetReader(str(corpus.rows.parent)),
        NormalForm(),
        LambdaFilter(readable),
        LambdaFilter(own_script),
        languages,
        GopherQualityFilter(
            min_doc_words=None,
            max_doc_words=None,
            min_avg_word_length=None,
            max_avg_word_length=None,
            max_symbol_word_ratio=None,
            max_bullet_lines_ratio=None,
            max_ellipsis_lines_ratio=None,
            max_non_alpha_words_ratio=RULES.min_letter_share,
            min_stop_words=None,
            language=Words(),
        ),
        GopherRepetitionFilter(
            dup_line_frac=None,
            dup_para_frac=None,
            dup_line_char_frac=None,
            dup_para_char_frac=None,
            top_n_grams=(),
            dup_n_grams=((1, RULES.max_repetition),),
            language=Words(),
        ),
        ParquetWriter(str(corpus.folder / "datatrove"), compression=None),
    ]


def rounds(runs: Mapping[str, Callable[[], Any]], times: int) -> dict[str, tuple[float, Any]]:
    """CPU seconds (median of ``times``, taken in turns) and result of each."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for _ in range(times):
        for name, run in runs.items():
            started = time.process_time()
            results[name] = run()
            seconds[name].append(time.process_time() - started)
            logger.info("%s: %.2f s", name, seconds[name][-1])
    return {name: (statistics.median(own), results[name]) for name, own in seconds.items()}


def cleaning(corpora: Iterable[Corpus], times: int) -> list[dict[str, Any]]:
    """Lines per CPU second, and how many stay."""
    found = []
    for corpus in corpora:
        runs = {"ours": corpus.ours, "datatrove": lambda own=corpus: own.theirs(OneLabel())}
        measured = rounds(runs, times)
        for name, (seconds, kept) in measured.items():
            found.append(
                {
                    "language": corpus.code,
                    "library": name,
                    "lines_per_second": corpus.lines / seconds,
                    "kept": kept,
                    "lines": corpus.lines,
                }
            )
    return found


def converted(model: Path) -> Any:
    """The SentencePiece model as one of HF tokenizers, by transformers' own converter."""
    ids = {"<s>": 0, "</s>": 2}
    slow = SimpleNamespace(vocab_file=str(model), convert_tokens_to_ids=ids.get)
    return XLMRobertaConverter(slow).converted()


def tokenization(corpus: Corpus, texts: list[str], model: Path, times: int) -> dict[str, Any]:
    """Bytes of text per CPU second, from text to ids and from file to file, and how many texts get
    other ids from HF `tokenizers`."""
    size = sum(len(text.encode()) for text in texts)
    ours = Tokenizer(model)
    # It remembers words, and would know the text by heart in the second round.
    fresh = [converted(model) for _ in range(3 * times)]

    def hf(batch: list[str], encode: Callable[..., Any]) -> list[list[int]]:
        return [own.ids for own in encode(batch, add_special_tokens=False)]

    one = corpus.folder / "texts.parquet"
    rows = ((str(number), str(number), text) for number, text in enumerate(texts))
    write_blocks(one, rows, MONO, [corpus.code])
    datasets.disable_caching()
    datasets.disable_progress_bars()

    def packed() -> None:
        made = {name: [corpus.folder / f"packed-{name}"] for name in ("train", "valid", "manifest")}
        given = {"tokenizer": [model], "train": [one], "valid": [one]}
        length = Rows(row_length=512)
        settings = PackSettings(join=True, camlm=length, btmlm=length)
        stage(pack.run, f"mono-{corpus.code}/0", settings, given, made)

    def mapped() -> None:
        encode = fresh.pop().encode_batch_fast
        with tempfile.TemporaryDirectory(dir=corpus.folder) as cache:
            # As often as our stage reads its file: once as training, once as validation text.
            for part in ("train", "valid"):
                data = datasets.Dataset.from_parquet(str(one), cache_dir=f"{cache}/{part}")
                data.map(
                    lambda batch: {"ids": hf(batch["text"], encode)},
                    batched=True,
                    remove_columns=["id", "group", "text"],
                )

    runs = {
        "ours": lambda: ours.encode_ragged(texts),
        "tokenizers": lambda: hf(texts, fresh.pop().encode_batch),
        "tokenizers, fast": lambda: hf(texts, fresh.pop().encode_batch_fast),
        "our stage": packed,
        "datasets.map": mapped,
    }
    measured = rounds(runs, times)
    both = zip(measured["ours"][1], measured["tokenizers"][1], strict=True)
    twice = {"our stage", "datasets.map"}
    return {
        "texts": len(texts),
        "other_ids": sum(ids.tolist() != theirs for ids, theirs in both),
        "rates": {
            name: size * (1 + (name in twice)) / seconds for name, (seconds, _) in measured.items()
        },
    }


def near_duplicates(corpus: Corpus, times: int) -> dict[str, tuple[float, int]]:
    """CPU seconds and dropped documents."""
    (rows,) = filtered(corpus.folder)["rows"]
    made: list[tuple[int, list[str]]] = []
    for batch in read_batches(rows):
        columns = [batch.column(name).to_pylist() for name in ("position", "group", "text")]
        for _, own in groupby(zip(*columns, strict=True), key=lambda row: row[1]):
            document = list(own)
            made.append((document[0][0], [text for _, _, text in document]))

    def shingled() -> list[tuple[int, set[str]]]:
        sets = [
            (first, document_shingles(corpus.code, map(comparable, texts))) for first, texts in made
        ]
        return [(first, found) for first, found in sets if found]

    def ours() -> int:
        entries, drops = corpus.folder / "bands.arrow", corpus.folder / "alike.arrow"
        with FingerprintWriter(entries) as writer:
            firsts, sets = zip(*shingled(), strict=True)
            bands = band_hashes(sets) + np.arange(BANDS, dtype=np.uint64)
            writer.add(bands.reshape(-1), np.repeat(np.array(firsts, dtype=np.uint64), BANDS))
        documents = dedup.Documents([rows], corpus.code)
        return dedup.near_duplicates([entries], documents, THRESHOLD, drops)

    def theirs() -> int:
        index = MinHashLSH(num_perm=BANDS * BAND_ROWS, params=(BANDS, BAND_ROWS))
        known = dict(shingled())
        encoded = ([text.encode() for text in found] for found in known.values())
        hashes = MinHash.generator(encoded, num_perm=BANDS * BAND_ROWS)
        dropped = 0
        for (first, found), one in zip(known.items(), hashes, strict=True):
            candidates = index.query(one)
            dropped += any(jaccard(found, known[other]) >= THRESHOLD for other in candidates)
            index.insert(first, one)
        return dropped

    return rounds({"ours": ours, "datasketch": theirs}, times)


def peak_mib(corpus: Corpus) -> float:
    """Peak memory of a filter job of its own process."""
    command = [sys.executable, "-m", "ernie_m.corpora.filter"]
    command += ["--instance", f"mono-{corpus.code}/0", "--settings", RULES.model_dump_json()]
    command += ["--input", "corpus", str(corpus.rows)]
    for name, paths in filtered(corpus.folder / "alone").items():
        command += ["--output", name, str(paths[0])]
    command += ["--record", str(corpus.folder / "alone" / "record.json")]
    # Behind a shell, because Linux counts the memory of who starts a process as its own.
    words = f"{shlex.join(command)}; exit $?"
    subprocess.run(["sh", "-c", words], cwd=corpus.folder, check=True, capture_output=True)
    facts = json.loads(Path(command[-1]).read_text())
    return facts["run"]["memory_mb"] * 1e6 / 2**20


def measure(folder: Path, results: Path, size: int, times: int) -> dict[str, Any]:
    """Everything, on ``size`` bytes of text in each language."""
    corpora = [Corpus(folder, code, page, size) for code, page in web.pages(results, CODES).items()]
    cleaned = cleaning(corpora, times)
    model = results / "tokenizer_train/spm.model"
    tokens = {
        corpus.code: tokenization(corpus, web.once(results, corpus.code), model, times)
        for corpus in corpora
    }
    near = near_duplicates(corpora[0], times)
    (folder / "large").mkdir()
    large = Corpus(folder / "large", "en", web.pages(results, CODES)["en"], 8 * size)
    return {
        "bytes": {corpus.code: corpus.bytes for corpus in corpora},
        "vocabulary": Tokenizer(model).size,
        "cleaning": cleaned,
        "tokenization": tokens,
        "near_duplicates": near,
        "peak_mib": {str(one.bytes): peak_mib(one) for one in (corpora[0], large)},
    }


def section(found: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md."""
    rows = []
    for code in CODES:
        own, other = (one for one in found["cleaning"] if one["language"] == code)
        rows.append(
            [
                code,
                *(f"{one['lines_per_second']:,.0f}" for one in (own, other)),
                f"{own['lines_per_second'] / other['lines_per_second']:.1f}",
                *(f"{one['kept']:,} of {one['lines']:,}" for one in (own, other)),
            ]
        )
    header = ["cleaning, lines/s", "`corpora.filter`", "`datatrove`", "ratio"]
    cleaned = table([*header, "we keep", "it keeps"], rows)
    rows = []
    for code, one in found["tokenization"].items():
        ours, theirs, fast, packed, mapped = (rate / 1e6 for rate in one["rates"].values())
        numbers = (ours, theirs, ours / theirs, fast, ours / fast, packed, mapped, packed / mapped)
        rows.append([code, *(f"{number:.1f}" for number in numbers)])
    names = ["our tokenizer", "`encode_batch`", "ratio", "`encode_batch_fast`", "ratio"]
    names += ["`tokenizer.pack`", "`datasets.map`", "ratio"]
    encoded = table(["tokenization, MB/s", *names], rows)
    other, texts = (
        sum(one[name] for one in found["tokenization"].values()) for name in ("other_ids", "texts")
    )
    same = TOKENIZATION.format(other=other, texts=f"{texts:,}")
    (own, own_found), (other, other_found) = found["near_duplicates"].values()
    sizes = [f"{int(size) / 1e6:.0f} MB" for size in found["peak_mib"]]
    peaks = table(
        ["peak memory of `corpora.filter`", *sizes],
        [["MiB", *(f"{peak:.0f}" for peak in found["peak_mib"].values())]],
    )
    return "\n\n".join(
        [
            f"By `make bench-corpora` on {machine()}: medians of CPU time of one process, taken in "
            f"turns, on {sum(found['bytes'].values()) / 1e6:.0f} MB of text in the shape of CC-100 "
            f"with planted faults; vocabulary {found['vocabulary']:,}.",
            cleaned,
            CLEANING,
            encoded,
            same,
            "Near-duplicates among the English documents (16 bands of 4, the same shingles, "
            f"verified by exact Jaccard similarity): ours {own:.1f} s for {own_found:,} documents, "
            f"`datasketch` {other:.1f} s for {other_found:,}: ours is {other / own:.1f} times as "
            "fast. It keeps fingerprints in files and makes the shingles of candidates anew; "
            "datasketch's side has everything in memory.",
            peaks,
        ]
    )


CLEANING = """
Both read the same Parquet file and write a file of their own format. Both bring lines to normal
form and judge length, broken encoding, script, language (the same lid.176, asked for one label),
letters and repetition; normal form and script are our functions in both. datatrove's side is its
ParquetReader, two LambdaFilters, LanguageFilter, GopherQualityFilter and GopherRepetitionFilter
(one rule of each, words between spaces) and ParquetWriter, called as its executor calls them. Ours
leaves fingerprints of lines and examples of what it drops besides.
""".strip().replace("\n", " ")

TOKENIZATION = """
Paragraphs of five sentences, each sentence of the default text once. HF `tokenizers` has the same
unigram model by transformers' converter, one thread, and gives other ids to {other} of {texts}
paragraphs (of cuts with equal scores either may be taken); `encode_batch` is what transformers
calls, `encode_batch_fast` leaves out the offsets, as ours does; ours gives its ids in an array,
theirs in lists. `tokenizers` remembers words. `tokenizer.pack` and `datasets.map` (by
`encode_batch_fast`) go from Parquet to files of ids.
""".strip().replace("\n", " ")


def main() -> None:
    """Measure, write the section, print one line of JSON."""
    parser = argument_parser("python -m benchmarks.corpora", __doc__)
    parser.add_argument("--megabytes", type=float, default=4, help="text a language (4)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--results", type=Path, default=Path("results/default"), help="a run")
    parser.add_argument("--no-section", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logger.setLevel(logging.INFO)
    results = finished(given.results)
    with tempfile.TemporaryDirectory(prefix="bench-corpora-") as name:
        found = measure(Path(name), results, round(given.megabytes * 1e6), given.rounds)
    publish("corpora", section(found), found, document=not given.no_section)


if __name__ == "__main__":
    main()
