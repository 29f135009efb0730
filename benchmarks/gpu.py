"""What the engine does on one GPU, in at most eight minutes: is it right, and how fast is it?

On sentences of random pieces by a vocabulary of XLM-R's size, so it needs no data: losses against
those of the CPU, bfloat16, FlexAttention against the mask, torch's head, compilations, resumption
to the same bits; then tokens a second of base and large in rows of 512 and their share of the
measured bfloat16 peak, generation, fine-tuning. Each part is a process of its own with a limit of
time: one that fails is told, and the others go on. Writes its section of docs/benchmarks.md after
each part, and ends with one line of JSON.

    make bench-gpu

With ``--device cpu`` the same parts run small, to see that they run, and the document stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.document import publish, table, write_section
from ernie_m.arguments import argument_parser
from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import OptimiserSettings
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.model.architecture import Architecture
from ernie_m.model.device import autocast, best_device, matrix_peak, matrix_type
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.flops import training_flops
from ernie_m.model.packing import Documents, sentences
from ernie_m.model.start import initialise
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.layout import FIRST_PIECE
from ernie_m.objectives.lengths import SINGLE_SPECIALS
from ernie_m.objectives.objectives import Masking
from ernie_m.pretrain.backtranslate import generate
from ernie_m.ragged import Ragged
from ernie_m.training.batches import Batch, DataLoader
from ernie_m.training.engine import Engine
from ernie_m.training.order import Texts
from ernie_m.training.prefetch import prefetched
from ernie_m.training.processes import Processes
from ernie_m.training.schedule import update
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.heads import TaskModel, loss
from ernie_m.xtreme.model.optimiser import optimiser

LANGUAGES = ("en", "de")
SIZES = {
    "base": {"layers": 12, "width": 768, "heads": 12, "ffn": 3072},
    "large": {"layers": 24, "width": 1024, "heads": 16, "ffn": 4096},
}
GOAL = 0.5  # of the matrix peak, by base
RATIO = 0.15
WHOLE = 480  # seconds of all parts together
Row = list[str]


@dataclass(frozen=True)
class Bench:
    """Models and batches on a device, of real sizes on a GPU."""

    device: torch.device

    @property
    def small(self) -> bool:
        """Whether only that it runs is of interest."""
        return self.device.type == "cpu"

    @property
    def row(self) -> int:
        """Tokens of a row."""
        return 64 if self.small else 512

    @property
    def vocabulary(self) -> int:
        """Ids."""
        return 1_000 if self.small else 250_002

    @property
    def seconds(self) -> float:
        """How long a speed is measured."""
        return 0.2 if self.small else 8.0

    def shape(self, size: str) -> Architecture:
        """Base or large, without dropout."""
        own = {"layers": 2, "width": 32, "heads": 2, "ffn": 64} if self.small else SIZES[size]
        flags = {"language_embeddings": True, "pair_positions": "reset", "tokenizer": ""}
        drop = {"dropout": 0.0, "attention_dropout": 0.0, "max_positions": 514}
        return Architecture(self.vocabulary, **own, **drop, **flags, languages=LANGUAGES)

    def model(self, size: str) -> LanguageModel:
        """A fresh model, the same each time."""
        torch.manual_seed(1)
        shape = self.shape(size)
        model = LanguageModel(shape)
        own = ModelSettings(
            layers=shape.layers, width=shape.width, heads=shape.heads, ffn=shape.ffn
        )
        initialise(model, own, torch.zeros(self.vocabulary))
        return model

    def engine(self, size: str, device: torch.device | None = None, **hardware: Any) -> Engine:
        """A training of a model."""
        processes = Processes(0, 1, device or self.device)
        settings = HardwareSettings(num_threads=torch.get_num_threads(), **hardware)
        engine = Engine(self.model(size), OptimiserSettings(), settings, processes)
        engine.losses.train()
        return engine

    def sentences(self, count: int, longest: int, seed: int) -> Ragged:
        """Random sentences of up to so many pieces."""
        rng = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.cumsum(rng.integers(4, longest + 1, count))])
        return Ragged(rng.integers(FIRST_PIECE, self.vocabulary - 1, offsets[-1]), offsets)

    def loader(self, rows: int) -> DataLoader:
        """Batches of so many rows, half of sentences and half of pairs under CAMLM's mask."""
        count = 4_000
        mono, *sides = (
            self.sentences(count, self.row // part, seed)
            for seed, part in enumerate((2, 4, 4), start=1)
        )
        sizes = np.array([count])
        texts = {
            "mmlm": Texts(mono, None, np.array([[0, 0]]), sizes, ("en",)),
            "camlm": Texts(*sides, np.array([[0, 1]]), sizes, ("en-de",), None, RATIO),
        }
        ratio = dict.fromkeys(OBJECTIVES, RATIO)
        masking = Masking(self.vocabulary - 1, ratio, 0.1, 0.1, "reset")
        shares = dict.fromkeys(texts, 1.0)
        return DataLoader(texts, shares, rows * self.row, self.row, 0.7, masking, seed=1)

    def wait(self) -> None:
        """Let the GPU finish what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds_of(self, work: Callable[[], Any]) -> float:
        """How long something takes."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started


def _gradients(engine: Engine, batch: Batch) -> list[Tensor]:
    """The loss of a step and its gradients, on the CPU."""
    found = [engine.backward(batch)]
    found += [p.grad for p in engine.model.parameters() if p.grad is not None]
    return [one.detach().cpu().double() for one in found]


def _apart(expected: list[Tensor], found: list[Tensor]) -> str:
    """How far a loss and all gradients are from others, relative."""
    loss_apart = abs(float(found[0] / expected[0]) - 1)
    gap = sum(float((a - b).square().sum()) for a, b in zip(expected[1:], found[1:], strict=True))
    whole = sum(float(a.square().sum()) for a in expected[1:])
    return f"loss {loss_apart:.1e}, gradients {(gap / whole) ** 0.5:.1e}"


def losses(bench: Bench) -> list[Row]:
    """A step of base in each way against the CPU's in float32."""
    batch = bench.loader(4).batch(0)
    expected = _gradients(bench.engine("base", torch.device("cpu"), precision="float32"), batch)
    rows = []
    divided = {"recompute": True, "forward_tokens": bench.row}
    ways: dict[str, dict[str, Any]] = {
        "float32": {"precision": "float32"},
        "bfloat16": {"precision": "bfloat16"},
        "float32, torch's head": {"precision": "float32", "head": "fused"},
        "bfloat16, torch's head": {"precision": "bfloat16", "head": "fused"},
        "float32, layers recomputed, passes of a row": {"precision": "float32", **divided},
    }
    for name, hardware in ways.items():
        told = _apart(expected, _gradients(bench.engine("base", **hardware), batch))
        rows.append([f"{name}, against the CPU's float32", told])
    return rows


def flex(bench: Bench) -> list[Row]:
    """FlexAttention, compiled, against the mask."""
    batch = bench.loader(8).batch(0)
    engines = [
        bench.engine("base", precision="float32", compile=not bench.small, attention=attention)
        for attention in ("sdpa", "flex")
    ]
    if bench.small:  # there it has no way back
        with torch.no_grad():
            one, two = (own.losses(batch.rows, batch.rows.scored()) for own in engines)
        return [["FlexAttention against the mask", f"losses {float((one - two).abs().max()):.1e}"]]
    one, two = (_gradients(engine, batch) for engine in engines)
    return [["FlexAttention against the mask, compiled, float32", _apart(one, two)]]


def compiled(bench: Bench) -> list[Row]:
    """Compilations over many batches, and what compiled layers compute."""
    loader, own = bench.loader(32), {"precision": "float32", "forward_tokens": 16 * bench.row}
    engines = [bench.engine("base", compile=on, **own) for on in (False, True)]
    one, two = (_gradients(engine, loader.batch(0)) for engine in engines)
    counters.clear()
    steps = 3 if bench.small else 30
    for step in range(1, steps + 1):
        engines[1].backward(loader.batch(step))
        engines[1].discard_gradients()
    more = counters["stats"]["unique_graphs"]
    return [
        ["compiled layers against eager ones, float32", _apart(one, two)],
        [f"graphs compiled in the {steps} batches after the first", str(more)],
    ]


def resume(bench: Bench) -> list[Row]:
    """A training that is interrupted and goes on, against one that is not."""
    loader, steps = bench.loader(16), 3

    def train(engine: Engine, first: int, last: int) -> Engine:
        for step in range(first, last):
            torch.manual_seed(step)
            engine.backward(loader.batch(step))
            engine.update(1e-4)
        return engine

    whole = train(bench.engine("base"), 0, 2 * steps).weights()
    state = train(bench.engine("base"), 0, steps).state()
    later = bench.engine("base")
    later.load(state)
    resumed = train(later, steps, 2 * steps).weights()
    same = all(torch.equal(whole[name], resumed[name]) for name in whole)
    return [["resumed after 3 of 6 steps: the same bits", "yes" if same else "NO"]]


def _speed(size: str, **hardware: Any) -> Callable[[Bench], list[Row]]:
    """A part that measures the training of a model."""

    def part(bench: Bench) -> list[Row]:
        rows = 64 if size == "base" else 32
        loader = bench.loader(2 * rows)
        own = {"forward_tokens": rows * bench.row, "precision": "bfloat16", **hardware}
        if bench.small:
            own |= {"precision": "float32", "attention": "sdpa"}
        engine = bench.engine(size, **own)
        tokens = flops = 0.0

        def make(step: int) -> Batch:
            batch = loader.batch(step)
            return batch if bench.small else batch.pinned()

        def run(first: int, last: int) -> None:
            nonlocal tokens, flops
            tokens = flops = 0.0
            for batch in prefetched(make, first, last):
                engine.backward(batch)
                engine.update(1e-4)
                tokens += float(batch.lengths.sum())
                scored = sum(batch.predicted.values())
                flops += training_flops(engine.model.shape, bench.vocabulary, batch.lengths, scored)

        warm = bench.seconds_of(lambda: run(0, 3))
        one = bench.seconds_of(lambda: run(3, 5)) / 2
        seconds = bench.seconds_of(lambda: run(5, 5 + max(2, round(bench.seconds / one))))
        peak = matrix_peak(bench.device, matrix_type(bench.device, own["precision"]))
        named = ", ".join(f"`{key}: {str(value).lower()}`" for key, value in hardware.items())
        told = f"{tokens / seconds:,.0f} tokens/s, {100 * flops / seconds / peak:.0f} % of the peak"
        if not bench.small:
            told += f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        return [[f"{size}, {named or 'as it is'}", f"{told}, first 3 steps {warm:.0f} s"]]

    return part


def generation(bench: Bench) -> list[Row]:
    """Back-translation by base."""
    model = bench.model("base").to(bench.device).eval()
    source = bench.sentences(200 if bench.small else 4_000, bench.row // 4, 7)
    zero = np.zeros(len(source), dtype=np.int64)
    generate(model, source.take(np.arange(50)), zero[:50], zero[:50] + 1, RATIO)
    made: list[Ragged] = []
    seconds = bench.seconds_of(lambda: made.append(generate(model, source, zero, zero + 1, RATIO)))
    tokens = len(source.tokens) + len(made[0].tokens) + SINGLE_SPECIALS * len(source)
    return [["generation by base", f"{tokens / seconds:,.0f} tokens/s"]]


def finetuning(bench: Bench) -> list[Row]:
    """Fine-tuning of base on sentence pairs as long as XNLI's, 32 a step."""
    task, settings = TASKS["xnli"], FinetuneSettings()
    shape = replace(bench.shape("base"), dropout=settings.dropout)
    model = TaskModel(shape, task, settings.dropout).to(bench.device)
    adam = optimiser(model, shape.layers, settings)
    count = 3_200
    text = bench.sentences(count, min(60, bench.row), 8)
    documents: Documents = sentences([text[i] for i in range(count)], [0] * count)
    one = Ragged(np.zeros(count, dtype=np.int64), np.arange(count + 1))
    features = Features(documents, one, one, np.arange(count))

    def run(steps: int) -> None:
        for step in range(steps):
            batch = features.batch(np.arange(32) + 32 * (step % 100))
            with autocast(bench.device, "auto"):
                logits = model(batch)
            loss(task, logits.float(), batch).backward()
            update(model, adam, settings.clip_norm)

    run(3)
    steps = 3 if bench.small else 100
    seconds = bench.seconds_of(lambda: run(steps))
    return [["fine-tuning of base", f"{32 * steps / seconds:,.0f} examples/s"]]


# Each with the most seconds that it may take.
PARTS: dict[str, tuple[Callable[[Bench], list[Row]], int]] = {
    "losses": (losses, 70),
    "flex": (flex, 70),
    "compiled": (compiled, 70),
    "resume": (resume, 50),
    "base": (_speed("base"), 50),
    "base, torch's head": (_speed("base", head="fused"), 50),
    "base, compiled": (_speed("base", compile=True), 80),
    "base, compiled, flex": (_speed("base", compile=True, attention="flex"), 80),
    "base, compiled, torch's head": (_speed("base", compile=True, head="fused"), 80),
    "large": (_speed("large", recompute=True), 60),
    "large, compiled": (_speed("large", compile=True, recompute=True), 90),
    "generation": (generation, 50),
    "fine-tuning": (finetuning, 40),
}


def measured(name: str, device: str, limit: float) -> list[Row]:
    """The rows of a part, from a process of its own; one row that says so where it failed."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", device, "--part", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return [[name, f"not done within {limit:.0f} s"]]
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        return [[name, f"failed: {''.join(last)[:200]}"]]
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def told(device: str, rows: list[Row]) -> str:
    """The section of the document."""
    where = "the CPU, small" if device == "cpu" else torch.cuda.get_device_name()
    return "\n".join(
        [
            f"By `make bench-gpu` on {where}, torch {torch.__version__}: random sentences and "
            "pairs, 250,002 pieces, rows of 512 tokens, matrix products in bfloat16 unless said "
            f"otherwise. The goal is {GOAL:.0%} of the measured matrix peak by base.",
            "",
            table(["", "found"], rows),
        ]
    )


def main() -> None:
    """Measure part by part, and write the section after each."""
    parser = argument_parser("python -m benchmarks.gpu", __doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--part", choices=PARTS, help="this one, here; prints its rows")
    parser.add_argument("--dry", action="store_true", help="leave docs/benchmarks.md as it is")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch can use here. `--device cpu` runs the parts small.")
    if args.part:
        device = best_device() if args.device == "cuda" else torch.device("cpu")
        print(json.dumps(PARTS[args.part][0](Bench(device))))
        return
    rows, ends = list[Row](), time.monotonic() + WHOLE
    for name, (_, limit) in PARTS.items():
        left = ends - time.monotonic()
        rows += measured(name, args.device, min(limit, left)) if left > 5 else [[name, "no time"]]
        if args.device == "cuda" and not args.dry:
            write_section("gpu", told(args.device, rows))
    publish("gpu", told(args.device, rows), rows, document=False)


if __name__ == "__main__":
    main()
