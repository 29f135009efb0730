"""What is fuzzed: files as they should be, and the code that reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from tests.fuzz.mutate import mutate_bytes, mutate_json
from tests.repository import ROOT

Consume = Callable[[random.Random, Path], object]
SHA, IDS = "a" * 64, 40


class Target:
    """Files in the working directory, of which one is damaged for each input, and their reader.

    ``make`` writes the files and returns the reader, which is told the damaged one, draws at random
    where it has a choice, and raises :class:`UserError` for what it refuses. ``damaged`` are
    patterns of the files to damage.
    """

    def __init__(self, make: Callable[[], Consume], *damaged: str) -> None:
        self.make, self.damaged = make, damaged

    def open(self) -> None:
        """Write the files, and remember them; raises what reading them as they are raises."""
        self.consume = self.make()
        paths = {path for pattern in self.damaged for path in Path().glob(pattern)}
        self.files = {path: path.read_bytes() for path in sorted(paths)}
        assert self.files
        for number, path in enumerate(self.files):
            self.consume(random.Random(number), path)

    def damage(self, draw: random.Random) -> Path:
        """Damage one of the files."""
        path = draw.choice(list(self.files))
        path.write_bytes(damaged(draw, path, self.files[path]))
        return path

    def restore(self, path: Path) -> None:
        """Undo :meth:`damage`."""
        path.write_bytes(self.files[path])


def damaged(draw: random.Random, path: Path, content: bytes) -> bytes:
    """Other bytes of a file: half of them other values, where it holds JSON, YAML or a header."""
    if draw.random() < 0.5:
        return mutate_bytes(draw, content)
    if path.suffix == ".jsonl":
        lines = content.decode().splitlines()
        at = draw.randrange(len(lines))
        lines[at] = mutate_json(draw, json.loads(lines[at]))
        text = "\n".join(lines) + "\n"
    elif path.suffix == ".json":
        text = mutate_json(draw, json.loads(content))
    elif path.suffix == ".yaml":
        text = mutate_json(draw, yaml.safe_load(content))  # YAML, too
        if draw.random() < 0.2:
            text = f"bomb: {bomb(draw)}\nrest: {text}" if draw.random() < 0.5 else bomb(draw)
    elif path.suffix == ".safetensors":
        return _with_header(draw, content)
    else:
        return mutate_bytes(draw, content)
    return text.encode(errors="surrogatepass")


def bomb(draw: random.Random) -> str:
    """YAML that stands for more than it has, holds itself, or has odd values."""
    start = draw.choice(("[x]", "{x: 1}"))
    group = draw.choice(("[{}]", "{{<<: [{}]}}"))
    names = "abcdefghij"
    lines = [f"run: &a {start}"]
    for before, name in pairwise(names):
        lines.append(f"{name}: &{name} {group.format(', '.join(9 * [f'*{before}']))}")
    others = ("&a [*a]", "&a {<<: *a}", "!!python/name:os.system", "!!int x", "2001-99-99")
    return draw.choice(("\n".join(lines), *others, "0x" + "f" * 5000, "a\n" * 3, "? [a]\n: b"))


def _with_header(draw: random.Random, content: bytes) -> bytes:
    """A safetensors file with other values in its header, or in the JSON within it."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts = header.get("__metadata__", {}).get("ernie_m", "").splitlines()
    if facts and draw.random() < 0.5:
        at = draw.randrange(len(facts))  # JSON, alone or after the name of the fact, or plain text
        key, equals, value = (
            facts[at].partition("=") if facts[at][0] != "{" else ("", "", facts[at])
        )
        try:
            other = mutate_json(draw, json.loads(value))
        except ValueError:
            other = mutate_bytes(draw, value.encode()).decode(errors="replace")
        facts[at] = key + equals + other.replace("\n", "")
        header["__metadata__"]["ernie_m"] = "\n".join(facts)
        text = json.dumps(header).encode()
    else:
        text = mutate_json(draw, header).encode(errors="surrogatepass")
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


# --- configuration -----------------------------------------------------------------------------


def configuration() -> Consume:
    """The default configuration, an overlay and the registries, up to the plan of the jobs."""
    from ernie_m.config.load import read
    from ernie_m.pipeline.stages import jobs, settings_text

    shutil.copytree(ROOT / "config", "config")
    overlays = {"corpora": "tiny", "corpora_paper": "paper_base"}  # of the registries
    overlays |= {"xtreme_sources": "xtreme", "checkpoints": "released", "claims": "ablation_laptop"}

    def consume(_: random.Random, path: Path) -> None:
        overlay = path.with_stem(overlays.get(path.stem, path.stem))
        config = read(overlay)
        for stage, instances in jobs(config).items():
            for instance in instances[:3]:
                settings_text(config, stage, instance)

    return consume


# --- records -----------------------------------------------------------------------------------


def records() -> Consume:
    """A run of three jobs, and every command that reads its records."""
    from ernie_m import cli
    from ernie_m.records.graph import Reader
    from tests.audit import conftest

    conftest.run_jobs(Path.cwd(), SimpleNamespace(chdir=os.chdir))
    lineage = Path("results/tiny/report_build/lineage.jsonl")
    lineage.parent.mkdir(parents=True)
    paths = [Path(path) for path in Reader(Path()).all()]
    lines = [json.dumps(json.loads(path.read_text())) for path in paths]
    lineage.write_text("\n".join(lines) + "\n")
    commands = (
        *(
            ["audit", conftest.STATS],
            ["audit", conftest.CLEAN, "--json"],
            ["verify", "--run", "tiny"],
        ),
        *(["status", "--run", "tiny"], ["impact", conftest.WHEEL], ["trace", conftest.CLEAN]),
        *(["diff", conftest.ROWS, conftest.CLEAN], ["impact", "corpora.filter", "--run", "tiny"]),
    )

    def consume(draw: random.Random, _: Path) -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            return cli.main(draw.choice(commands))

    return consume


# --- encoded text ------------------------------------------------------------------------------


def shards() -> Consume:
    """Shards of one language and of a pair, read as a training reads them."""
    import numpy as np

    from ernie_m.ragged import Ragged
    from ernie_m.tokenizer.shards import Shard
    from ernie_m.training import corpora
    from tests.tokenizer.shards import write_shard

    side = Ragged.of([[5, 6, 7], [], [8] * 9], IDS)
    keys = np.arange(3, dtype=np.uint64)
    for languages in (("en",), ("en", "de")):
        path = Path(f"{'-'.join(languages)}.safetensors")
        write_shard(path, Shard(languages, SHA, keys, (side,) * len(languages)))

    def consume(_: random.Random, path: Path) -> None:
        paths, every = sorted(Path().glob("*.safetensors")), np.arange(3)
        mono, pairs = (corpora.read_shards(paths, sides, SHA, IDS) for sides in (1, 2))
        text = corpora.mono_texts(corpora.monolingual(mono, ["en", "de"], 5), ["en", "de"])
        both = corpora.parallel_texts(pairs, ["en", "de"], 5)
        for sequences in (text.source, both.source, both.target):
            assert (sequences.take(every[: len(sequences)]).tokens < IDS).all()
        corpora.unigram_counts([text, both], 2, IDS)

    return consume


def pseudo_tokens() -> Consume:
    """Two chunks of pseudo tokens beside their sentences."""
    import numpy as np

    from ernie_m.ragged import Ragged
    from ernie_m.tokenizer.shards import Shard
    from ernie_m.training import corpora
    from ernie_m.training.pseudo import Pseudo, write_pseudo

    side = Ragged.of([[5] * 10, [6] * 20, [7] * 10, [8] * 40], IDS)
    keys = np.arange(4, dtype=np.uint64)
    shard = Shard(("en",), SHA, keys, (side,))
    for chunk in (0, 1):
        mine = slice(2 * chunk, 2 * chunk + 2)
        made = Ragged.of([[9] * 2, [9] * 3] if chunk == 0 else [[9] * 2, [9] * 6], IDS)
        target = np.ones(2, dtype=np.int64)
        pseudo = Pseudo(np.arange(4)[mine], keys[mine], target, made, 0.15, ("en",), 4, 0)
        write_pseudo(Path(f"{chunk}.safetensors"), pseudo)

    def consume(_: random.Random, path: Path) -> None:
        files = sorted(Path().glob("*.safetensors"))
        text = corpora.pseudo_texts([shard], files, "train", ["en", "de"], 64, IDS)
        assert text.target is not None and text.target_rows is not None
        assert (text.target.take(np.arange(4)).tokens < IDS).all()
        assert (text.target_rows(np.arange(4)) < 2).all()

    return consume


# --- checkpoints -------------------------------------------------------------------------------


def checkpoints() -> Consume:
    """A checkpoint of this project."""
    import torch

    from ernie_m.model.architecture import Architecture
    from ernie_m.model.checkpoint import load, save
    from ernie_m.model.encoder import LanguageModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    shape = Architecture(IDS, 1, 8, 2, 16, 20, 0.0, 0.0, True, "reset", ("en", "de"), SHA)
    path = Path("model.safetensors")
    save(path, LanguageModel(shape), shape, {"stage": "camlm"})
    return lambda *_: load(path)


def foreign() -> Consume:
    """Folders as transformers and PaddleNLP leave them, in each form of weights."""
    import pickle

    import sentencepiece
    import torch
    from safetensors.torch import save_file

    from ernie_m.foreign.weights import read_foreign
    from ernie_m.tokenizer.pieces import piece_names, read_proto
    from tests.checkpoints.test_foreign import ERNIE_CONFIG, divide, ernie_weights

    torch.set_num_threads(1)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([chr(97 + n % 26) * (1 + n % 5) for n in range(500)]),
        **{"model_writer": model, "vocab_size": 40, "hard_vocab_limit": False},
        **{"num_threads": 1, "minloglevel": 2},
    )
    folders = [Path(name) for name in ("whole", "parts", "torch", "paddle", "json")]
    for folder in folders:
        folder.mkdir()
        (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
        (folder / "config.json").write_text(json.dumps(ERNIE_CONFIG))
        names = piece_names(read_proto(folder / "sentencepiece.bpe.model"))
        (folder / "vocab.txt").write_text("\n".join(names) + "\n")
    weights = ernie_weights(len(names))
    for folder in folders[:2]:
        save_file(weights, folder / "model.safetensors")
    divide(folders[1])
    torch.save(weights, folders[2] / "pytorch_model.bin")
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    (folders[3] / "model_state.pdparams").write_bytes(pickle.dumps(arrays, protocol=4))
    save_file(weights, folders[4] / "model.safetensors")
    (folders[4] / "sentencepiece.bpe.model").unlink()
    normalizer = {"type": "Precompiled", "precompiled_charsmap": ""}
    vocabulary = {"type": "Unigram", "vocab": [[name, -1.0] for name in names]}
    (folders[4] / "tokenizer.json").write_text(
        json.dumps({"model": vocabulary, "normalizer": normalizer})
    )

    return lambda _, path: read_foreign(path.parent)


# --- downloads ---------------------------------------------------------------------------------

_TMX = """<?xml version="1.0"?><!DOCTYPE tmx><tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en"><seg>One.</seg></tuv><tuv xml:lang="de"><seg>Eins.</seg></tuv></tu>
</body></tmx>"""


def archives() -> Consume:
    """Downloaded files of each format, most of them packed."""
    from ernie_m.config.corpora import ExtractSettings
    from ernie_m.corpora.extract import rows_of
    from ernie_m.corpora.readers.leftovers import Leftovers
    from tests.corpora.synthetic import write_wheel

    text = "".join(f"Sentence {n}.\n" + "\n" * (n % 3 == 0) for n in range(60))
    pairs = "".join(f"Sentence {n}.\tSatz {n}.\n" for n in range(60))
    page = json.dumps({"raw_content": "One.\nTwo.", "url": "https://a.example/", "title": "x"})
    rows = [{"id": n, "group": "g", "en": f"One {n}.", "de": f"Eins {n}."} for n in range(9)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    table = "id\tgroup\ten\tde\n" + "".join(f"{n}\tg\tOne {n}.\tEins {n}.\n" for n in range(9))
    made: list[tuple[str, str, bytes, tuple[str, ...], str | None]] = [
        ("cc100", "a.xz", lzma.compress(text.encode()), ("en",), None),
        ("ccnet", "b.gz", gzip.compress((page + "\n").encode()), ("en",), None),
        ("ccnet_text", "c.gz", gzip.compress(text.encode()), ("en",), None),
        ("tmx", "d.gz", gzip.compress(_TMX.encode()), ("en", "de"), None),
        ("tmx", "d.tmx", _TMX.encode(), ("en", "de"), None),
        ("bitext", "e.gz", gzip.compress(pairs.encode()), ("en", "de"), None),
        ("wikimatrix", "f.gz", gzip.compress(b"1.2\ta\tb\n1.1\tc\td\n"), ("en", "de"), None),
        ("table", "g.jsonl", lines.encode(), ("de",), "jsonl"),
        ("table", "h.tsv", table.encode(), ("de",), "tsv"),
        ("table", "i.csv", table.replace("\t", ",").encode(), ("de",), "csv"),
        ("pair_table", "j.jsonl", lines.encode(), ("en", "de"), "jsonl"),
    ]
    for _, name, content, _, _ in made:
        Path(name).write_bytes(content)
    with zipfile.ZipFile("k.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for code, word in (("en", "One"), ("de", "Eins")):
            file.writestr(f"x.de-en.{code}", f"{word}.\n" * 20)
    with tarfile.open("l.tgz", "w:gz") as tar:
        for code in ("en", "de"):
            entry = tarfile.TarInfo(f"x.de-en.{code}")
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"One.\n"))
    write_wheel(Path("m.whl"), ("en", "de"))
    forms = {name: (form, codes, kind) for form, name, _, codes, kind in made}
    forms |= {name: ("moses", ("en", "de"), None) for name in ("k.zip", "l.tgz")}
    forms["m.whl"] = "homeassistant", ("de",), None

    def consume(_: random.Random, path: Path) -> None:
        form, codes, kind = forms[path.name]
        settings: dict[str, Any] = {"format": form, "kind": kind, "languages": codes}
        rules = ExtractSettings(**settings)
        left = Leftovers(path, rules.max_bad_lines)
        for _row in rows_of(path, "x", codes, rules, left):
            pass
        left.judge()

    return consume


# --- evaluation --------------------------------------------------------------------------------


def labels() -> Consume:
    """Predictions and labels of a task of each kind, in the benchmark's layout."""
    from ernie_m.catalogue.tasks import TASKS
    from ernie_m.xtreme.scoring import command
    from ernie_m.xtreme.scoring.leaderboard import file_name

    names = ("pawsx", "panx", "bucc2018", "tatoeba", "xquad")
    contents = {"pair": "0\n1\n", "tagging": "O\nB-PER\n\nO\n", "mining": "a-1\ten-1\n"}
    contents["retrieval"] = "0\n1\n"
    paragraph = {"context": "One two.", "qas": [{"id": "q", "question": "What?", "answers": []}]}
    paragraph["qas"][0]["answers"] = [{"text": "two", "answer_start": 4}]
    squad = json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}], "version": "1"})
    tasks = [TASKS[name] for name in names]
    for task in tasks:
        foreign = [code for code in task.languages if code != "en" or task.trained]
        for folder in ("predictions", "labels"):
            for code in foreign:
                path = Path(folder, file_name(task, code))
                path.parent.mkdir(parents=True, exist_ok=True)
                answers = squad if folder == "labels" else json.dumps({"q": "two"})
                path.write_text(answers if task.kind == "qa" else contents[task.kind])

    def consume(_: random.Random, path: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            command.main(["--predictions", "predictions", "--labels", "labels", "--json"])

    return consume


def examples() -> Consume:
    """Published files that tasks are read from."""
    from ernie_m.catalogue.tasks import TASKS
    from ernie_m.xtreme.files import Label, SentencePair, read_lines
    from ernie_m.xtreme.tasks import conllu, panx, squad
    from ernie_m.xtreme.tasks.upstream import File

    words = "".join(
        f"{n}\tword{n}\tword\t{tag}\t_\t_\t{n - 1}\tdep\t_\t_\n"
        for n, tag in enumerate(("DET", "NOUN", "VERB"), start=1)
    )
    paragraph = {"context": "One two.", "qas": [{"id": "q", "question": "What?", "answers": []}]}
    paragraph["qas"][0]["answers"] = [{"text": "two", "answer_start": 4}]
    Path("a.conllu").write_text(
        f"# text = x\n{words}\n1-2\tfused\t_\t_\t_\t_\t_\t_\t_\t_\n{words}\n"
    )
    Path("b.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph, paragraph]}]}))
    Path("c.tsv").write_text("en:One\tB-PER\nen:two\tO\n\nen:Three\tO\n")
    Path("d.jsonl").write_text('{"id": "a", "label": "x"}\n' * 3)
    Path("e.jsonl").write_text('{"id": "a", "english": "One.", "text": "Eins."}\n' * 3)

    def consume(_: random.Random, path: Path) -> None:
        file = File(path, path.name)
        readers: dict[str, Callable[[], object]] = {
            "a": lambda: list(conllu.sentences(file, "en", TASKS["udpos"].labels)),
            "b": lambda: list(squad.questions(squad.rows(file), "b.json")),
            "c": lambda: list(panx._rows(file)),
            "d": lambda: read_lines(path, Label),
            "e": lambda: read_lines(path, SentencePair),
        }
        readers[path.stem]()

    return consume


TARGETS = {
    "configuration": Target(configuration, "config/*.yaml"),
    "records": Target(records, "results/**/record.json", "results/**/*.jsonl"),
    "shards": Target(shards, "*.safetensors"),
    "pseudo_tokens": Target(pseudo_tokens, "*.safetensors"),
    "checkpoints": Target(checkpoints, "*.safetensors"),
    "foreign": Target(foreign, "*/*"),
    "archives": Target(archives, "*"),
    "labels": Target(labels, "*/*/*"),
    "examples": Target(examples, "*"),
}
