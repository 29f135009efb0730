"""How fast the training engine is, side by side with Hugging Face in one run.

Takes the monolingual and parallel text of the default run, trains a vocabulary on it, and measures
in turns, so that a busy machine slows all alike: tokens without padding per second of our engine
and of `XLMRobertaForMaskedLM` in its `Trainer` at the same size on the same sentences; generation;
inference; scaling. Writes its section of docs/benchmarks.md and ends with one line of JSON.

    make bench-engine

With ``--large`` it measures instead what a training step of the large model holds in memory, on the
CPU: some minutes and 12 GB.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from benchmarks.document import machine, table, write_section
from benchmarks.runs import finished
from ernie_m.arguments import argument_parser
from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.model import ModelSettings
from ernie_m.config.pretrain import OptimiserSettings
from ernie_m.config.tokenizer import TrainSettings
from ernie_m.corpora.tables import read_table
from ernie_m.foreign import names
from ernie_m.model.architecture import Architecture
from ernie_m.model.device import best_device, matrix_peak, matrix_type
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.flops import training_flops
from ernie_m.model.packing import pack
from ernie_m.model.packing import sentences as documents_of
from ernie_m.model.start import initialise
from ernie_m.objectives import OBJECTIVES
from ernie_m.objectives.layout import BOS_ID, EOS_ID, FIRST_PIECE, PAD_ID
from ernie_m.objectives.lengths import SINGLE_SPECIALS, max_text_tokens
from ernie_m.objectives.objectives import Masking
from ernie_m.pretrain.backtranslate import generate
from ernie_m.ragged import Ragged
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.batches import DataLoader
from ernie_m.training.engine import Engine
from ernie_m.training.losses import TokenLosses
from ernie_m.training.order import Texts
from ernie_m.training.prefetch import prefetched
from ernie_m.training.processes import Processes

logger = logging.getLogger("bench-engine")
LANGUAGES = ("en", "de")
ROW, BATCH, MASKED = 128, 64, 0.15
SIZES = {
    "small": dict(layers=4, width=256, heads=4, ffn=1024),
    "base": dict(layers=12, width=768, heads=12, ffn=3072),
    "large": dict(layers=24, width=1024, heads=16, ffn=4096),
}


class Text:
    """Sentences of the default run as ids without special tokens, by a vocabulary of ``pieces``."""

    def __init__(self, results: Path, pieces: int, folder: Path) -> None:
        tokenizer = Tokenizer(train_vocabulary(results, pieces, folder))
        self.vocabulary = tokenizer.size
        mono, parallel = (
            results / "corpora_select" / corpus / "dealt/train.parquet"
            for corpus in (f"mono-{LANGUAGES[0]}", f"parallel-{'-'.join(LANGUAGES)}")
        )
        texts = (*read_table(mono, ["text"]), *read_table(parallel, ["source", "target"]))
        encoded = [
            [ids[: max_text_tokens("mmlm", ROW)] for ids in tokenizer.encode(own)] for own in texts
        ]
        self.mono, self.source, self.target = encoded

    def texts(self) -> dict[str, Texts]:
        """What each objective draws from."""

        def ragged(found: list[list[int]]) -> Ragged:
            return Ragged.of(found, self.vocabulary)

        half = max_text_tokens("camlm", ROW, MASKED)
        sides = [ragged([ids[:half] for ids in side]) for side in (self.source, self.target)]
        mono = Texts(
            ragged(self.mono), None, np.array([[0, 0]]), np.array([len(self.mono)]), ("en",)
        )
        pairs = Texts(*sides, np.array([[0, 1]]), np.array([len(self.source)]), ("en-de",))
        return {"mmlm": mono, "tlm": pairs, "camlm": replace(pairs, slot_ratio=MASKED)}


def train_vocabulary(results: Path, pieces: int, folder: Path) -> Path:
    """A vocabulary made by the pipeline's own stage, of the lines that the run has drawn."""
    path = folder / f"{pieces}.model"
    command = [sys.executable, "-m", "ernie_m.tokenizer.train"]
    command += ["--settings", TrainSettings(vocabulary_size=pieces).model_dump_json()]
    samples = sorted(results.glob("tokenizer_sample/*/*/lines.parquet"))
    command += ["--input", "samples", *map(str, samples)]
    command += ["--input", "quotas", str(results / "tokenizer_quotas/quotas.json")]
    command += ["--output", "model", str(path)]
    command += ["--output", "stats", str(folder / "stats.json")]
    command += ["--record", str(folder / "record.json")]
    subprocess.run(command, check=True, capture_output=True)
    return path


def architecture(size: str, vocabulary: int) -> Architecture:
    """A model of one of the SIZES, without dropout."""
    return Architecture(
        vocabulary=vocabulary,
        **SIZES[size],
        max_positions=514,
        dropout=0.0,
        attention_dropout=0.0,
        language_embeddings=True,
        pair_positions="reset",
        languages=LANGUAGES,
        tokenizer="",
    )


def our_model(size: str, vocabulary: int) -> LanguageModel:
    """A fresh model of ours."""
    torch.manual_seed(1)
    model = LanguageModel(architecture(size, vocabulary))
    initialise(model, ModelSettings(**SIZES[size]), torch.zeros(vocabulary))
    return model


def their_model(size: str, vocabulary: int) -> XLMRobertaForMaskedLM:
    """A fresh model of theirs, of the same size."""
    own = SIZES[size]
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        num_hidden_layers=own["layers"],
        hidden_size=own["width"],
        num_attention_heads=own["heads"],
        intermediate_size=own["ffn"],
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return XLMRobertaForMaskedLM(config)


def dataloader(text: Text | Noise, objective: str, tokens: int, row: int = ROW) -> DataLoader:
    """Batches of one objective."""
    masking = Masking(
        mask_id=text.vocabulary - 1,
        ratio=dict.fromkeys(OBJECTIVES, MASKED),
        random_share=0.1,
        keep_share=0.1,
        pair_positions="reset",
    )
    found = {objective: text.texts()[objective]}
    return DataLoader(found, {objective: 1.0}, tokens, row, 1.0, masking, seed=1)


def wait(device: torch.device) -> None:
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Ours:
    """Our engine on one objective, measured step by step."""

    def __init__(
        self, text: Text | Noise, size: str, objective: str, tokens: int, **hardware: Any
    ) -> None:
        self.dataloader = dataloader(text, objective, tokens, hardware.pop("row", ROW))
        self.device = best_device()
        settings = HardwareSettings(num_threads=torch.get_num_threads(), **hardware)
        model = our_model(size, text.vocabulary)
        processes = Processes(0, 1, self.device)
        self.engine = Engine(model, OptimiserSettings(), settings, processes)
        self.engine.losses.train()
        self.step = 0
        self.flops = 0.0
        self.run(2)

    def run(self, steps: int) -> float:
        """Tokens per second of so many steps."""
        tokens, self.flops = 0, 0.0
        wait(self.device)
        started = time.perf_counter()
        for batch in prefetched(self.dataloader.batch, self.step, self.step + steps):
            self.engine.backward(batch)
            self.engine.update(1e-4)
            tokens += int(batch.lengths.sum())
            scored = sum(batch.predicted.values())
            shape = self.engine.model.shape
            self.flops += training_flops(shape, shape.vocabulary, batch.lengths, scored)
        wait(self.device)
        self.step += steps
        seconds = time.perf_counter() - started
        self.flops /= seconds
        return tokens / seconds


class Clock(TrainerCallback):
    """Time between the first step, which warms up, and the last."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            self.started = time.perf_counter()
        self.ended = time.perf_counter()


class Theirs:
    """Hugging Face's Trainer on the same sentences, padded to the longest of a batch."""

    def __init__(self, text: Text, size: str, grouped: bool) -> None:
        self.text, self.grouped = text, grouped
        self.model = their_model(size, text.vocabulary)
        self.tokens: list[int] = []
        self.random = torch.Generator().manual_seed(1)

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad to the longest and mask as BERT does."""
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row["input_ids"]) for row in rows], batch_first=True, padding_value=PAD_ID
        )
        mask = (ids != PAD_ID).long()
        self.tokens.append(int(mask.sum()))
        inner = (mask == 1) & (ids != BOS_ID) & (ids != EOS_ID)
        chosen = inner & (torch.rand(ids.shape, generator=self.random) < MASKED)
        labels = torch.where(chosen, ids, torch.full_like(ids, -100))
        hidden = torch.where(chosen, torch.full_like(ids, self.text.vocabulary - 1), ids)
        return {"input_ids": hidden, "attention_mask": mask, "labels": labels}

    def run(self, steps: int) -> float:
        """Tokens per second of so many steps after the first."""
        rows = [{"input_ids": [BOS_ID, *ids, EOS_ID]} for ids in self.text.mono]
        clock = Clock()
        self.tokens = []
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                max_steps=steps + 1,
                per_device_train_batch_size=BATCH,
                train_sampling_strategy="group_by_length" if self.grouped else "random",
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
            )
            Trainer(
                self.model,
                arguments,
                data_collator=self.collate,
                train_dataset=rows,
                callbacks=[clock],
            ).train()
        # The loader is a batch ahead at times; what was collated first was trained first.
        return sum(self.tokens[1 : steps + 1]) / (clock.ended - clock.started)


def rounds(runs: dict[str, Callable[[], float]], times: int) -> dict[str, float]:
    """Median of ``times`` measurements each, taken in turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(times):
        for name, run in runs.items():
            found[name].append(run())
            logger.info("%d %s: %.0f tokens/s", number + 1, name, found[name][-1])
    return {name: statistics.median(values) for name, values in found.items()}


def same_losses(text: Text) -> float:
    """Largest difference of the losses of the same batch under the same weights."""
    ours, theirs = our_model("small", text.vocabulary), their_model("small", text.vocabulary)
    theirs.load_state_dict(renamed(ours), strict=False)
    theirs.eval()
    with torch.no_grad():
        ours.encoder.embeddings.language.weight.zero_()
        documents = dataloader(text, "mmlm", 1000).documents(0)
        batch = pack(documents, 128, one_per_row=True)
        own = TokenLosses(ours.eval())(batch, batch.scored())
        mask = (batch.documents >= 0).long()
        scores = theirs(input_ids=batch.ids, attention_mask=mask).logits.flatten(0, 1)
        asked = batch.scored()
        other = torch.nn.functional.cross_entropy(
            scores[asked.where], asked.labels, reduction="none"
        )
    return float((own - other).abs().max())


def renamed(model: LanguageModel) -> dict[str, Tensor]:
    """Our weights under their names."""
    own, prefix = model.state_dict(), names.PREFIX["xlm-roberta"]
    body = names.body("xlm-roberta", model.shape.layers)
    given = {prefix + theirs: own[ours] for ours, theirs in body.items()}
    given |= {theirs: own[ours] for ours, theirs in names.masked_lm_head().items()}
    word, bias = names.DECODER
    types = {prefix + names.TOKEN_TYPES: torch.zeros(1, model.shape.width)}
    return given | types | {word: own[names.WORD], bias: own[names.HEAD_BIAS]}


class Inference:
    """Last hidden states of sentences: ours packed, theirs padded, both in batches by length."""

    def __init__(self, text: Text) -> None:
        self.ours = our_model("small", text.vocabulary).eval()
        self.theirs = their_model("small", text.vocabulary).eval()
        found = [[BOS_ID, *ids, EOS_ID] for ids in text.mono[:2000]]
        self.sentences = sorted(found, key=len)
        self.tokens = sum(map(len, found))

    def _batches(self) -> list[list[list[int]]]:
        return [self.sentences[at : at + BATCH] for at in range(0, len(self.sentences), BATCH)]

    @torch.inference_mode()
    def run_ours(self) -> float:
        """Tokens per second of our encoder."""
        started = time.perf_counter()
        for batch in self._batches():
            self.ours.encoder(pack(documents_of(batch, [0] * len(batch)), 128))
        return self.tokens / (time.perf_counter() - started)

    @torch.inference_mode()
    def run_theirs(self) -> float:
        """Tokens per second of theirs."""
        started = time.perf_counter()
        for batch in self._batches():
            ids = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(row) for row in batch], batch_first=True, padding_value=PAD_ID
            )
            self.theirs.roberta(input_ids=ids, attention_mask=(ids != PAD_ID).long())
        return self.tokens / (time.perf_counter() - started)


class Generation:
    """Back-translation as the pipeline does it: chunks side by side, a process of one thread each.

    Tokens are counted as in training, special ones included.
    """

    def __init__(self, text: Text) -> None:
        source = [ids[:100] for ids in text.mono + text.source][:8000]
        processes = torch.get_num_threads()
        self.chunks = [
            Ragged.of(source[number::processes], text.vocabulary) for number in range(processes)
        ]
        self.pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_generating,
            initargs=(text.vocabulary,),
        )
        self.run()

    def run(self) -> float:
        """Tokens per second."""
        started = time.perf_counter()
        tokens = sum(self.pool.map(_generate, self.chunks))
        return tokens / (time.perf_counter() - started)


def _start_generating(vocabulary: int) -> None:
    global generator
    torch.set_num_threads(1)
    generator = our_model("small", vocabulary).eval()


def _generate(source: Ragged) -> int:
    zero = np.zeros(len(source), dtype=np.int64)
    found = generate(generator, source, zero, zero + 1, MASKED)
    return len(source.tokens) + len(found.tokens) + SINGLE_SPECIALS * len(source)


def scaling(text: Text, small: Text, steps: int) -> list[list[str]]:
    """Rows of the table of tokens per second over batch, row length, vocabulary, accumulation."""
    cases: dict[str, tuple[Text, int, dict[str, Any]]] = {
        "batch 1,024 tokens, rows of 128, 16,000 pieces": (text, 1024, {}),
        "batch 4,096 tokens": (text, 4096, {}),
        "batch 4,096 tokens in passes of 1,024": (text, 4096, {"forward_tokens": 1024}),
        "batch 4,096 tokens, layers recomputed": (text, 4096, {"recompute": True}),
        "rows of 256": (text, 1024, {"row": 256}),
        "4,000 pieces": (small, 1024, {}),
    }
    rows = []
    for name, (source, tokens, options) in cases.items():
        speed = Ours(source, "small", "mmlm", tokens, **options).run(max(2, steps * 1024 // tokens))
        rows.append([name, f"{speed:,.0f}"])
        logger.info("%s: %.0f tokens/s", name, speed)
    return rows


class Noise:
    """Sentences of random ids as long as rows of 512, by the vocabulary of XLM-R."""

    vocabulary = 250_002

    def texts(self) -> dict[str, Texts]:
        """What MMLM draws from."""
        ids = np.random.default_rng(1).integers(FIRST_PIECE, self.vocabulary - 1, (64, 510))
        ragged = Ragged(ids.ravel(), np.arange(65) * 510)
        return {"mmlm": Texts(ragged, None, np.array([[0, 0]]), np.array([64]), ("en",))}


def memory_of_large() -> dict[str, float]:
    """Peak in GiB of two steps of large, each of two passes of a row of 512 tokens; the second has
    everything at once: weights, both moments, gradients and what a pass leaves."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = Ours(Noise(), "large", "mmlm", 1024, row=512, forward_tokens=512, recompute=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    parameters = sum(weight.numel() for weight in ours.engine.model.parameters())
    return {"peak": peak / 2**20, "state": 16 * parameters / 2**30, "parameters": parameters / 1e6}


def report_of_large(found: dict[str, float]) -> str:
    """The section of the document."""
    return (
        f"By `python -m benchmarks.engine --large` on {machine()}, torch {torch.__version__}, "
        "float32: a training step of 24 layers, width 1024 and 250,002 pieces "
        f"({found['parameters']:.0f} million parameters), rows of 512 tokens, one a pass "
        "(`forward_tokens: 512`), with `recompute: true`, reaches a peak of "
        f"**{found['peak']:.1f} GiB** of resident memory; {found['state']:.1f} of these are "
        "weights, gradients and the moments of AdamW. It was measured on the CPU: a GPU adds its "
        "context, and with bfloat16 a copy of the weights in 16 bits."
    )


def measure(text: Text, small: Text, steps: int, times: int) -> tuple[dict[str, float], list]:
    """Figures by name, and the rows of scaling."""
    tokens = round(BATCH * float(np.mean([len(ids) + 2 for ids in text.mono])))
    mmlm, camlm = (Ours(text, "small", name, tokens) for name in ("mmlm", "camlm"))
    default, grouped = Theirs(text, "small", False), Theirs(text, "small", True)
    inference, generation = Inference(text), Generation(text)
    figures = rounds(
        {
            "ours": lambda: mmlm.run(steps),
            "hf_default": lambda: default.run(steps),
            "hf_length_grouped": lambda: grouped.run(steps),
            "camlm": lambda: camlm.run(steps),
            "generation": generation.run,
            "inference_ours": inference.run_ours,
            "inference_hf": inference.run_theirs,
        },
        times,
    )
    generation.pool.shutdown()
    figures["flops"] = mmlm.flops
    figures["peak"] = matrix_peak(mmlm.device, matrix_type(mmlm.device, "auto"), seconds=2)
    figures["loss_difference"] = same_losses(text)
    return figures, scaling(text, small, steps)


def report(figures: dict[str, float], rows: list, ratios: dict[str, float]) -> str:
    """The section of the document."""
    told = [
        ("our engine, MMLM", "ours"),
        ("our engine, CAMLM", "camlm"),
        ("Hugging Face Trainer, padded to the longest of a batch", "hf_default"),
        ("Hugging Face Trainer, grouped by length", "hf_length_grouped"),
        ("our back-translation, a chunk a core", "generation"),
        ("our encoder, inference", "inference_ours"),
        ("transformers' encoder, inference", "inference_hf"),
    ]
    lines = [
        f"By `make bench-engine` on {machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}. Layers 4, width 256, 16,000 pieces, English interface text of the "
        "default run, float32. Medians of measurements taken in turns.",
        "",
        table(["", "tokens/s without padding"], [[n, f"{figures[k]:,.0f}"] for n, k in told]),
        "",
        f"Our engine against the Trainer: {ratios['ratio_hf_default']:.1f} times as fast as its "
        f"default, {ratios['ratio_hf_length_grouped']:.1f} times with length grouping. A CAMLM "
        f"step takes {ratios['camlm_cost']:.2f} times an MMLM step of the same tokens; generation "
        f"makes {ratios['ratio_generation']:.1f} times the tokens of training. Training reaches "
        f"{100 * ratios['share_of_peak']:.0f} % of the measured matrix peak. Losses of the same "
        f"batch differ by {figures['loss_difference']:.1e} at most.",
        "",
        table(["our engine, MMLM", "tokens/s"], rows),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the section, print a line of JSON."""
    parser = argument_parser("python -m benchmarks.engine", __doc__)
    parser.add_argument("--results", type=Path, default=Path("results/default"), help="a run")
    parser.add_argument("--steps", type=int, default=30, help="steps of a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turns")
    parser.add_argument("--dry", action="store_true", help="leave docs/benchmarks.md as it is")
    parser.add_argument("--large", action="store_true", help="memory of the large model instead")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logger.setLevel(logging.INFO)
    if args.large:
        found = memory_of_large()
        if not args.dry:
            write_section("large", report_of_large(found))
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
        return
    results = finished(args.results)
    with tempfile.TemporaryDirectory() as folder:
        text, small = (Text(results, pieces, Path(folder)) for pieces in (16000, 4000))
    figures, rows = measure(text, small, args.steps, args.rounds)
    ratios = {
        "ratio_hf_default": figures["ours"] / figures["hf_default"],
        "ratio_hf_length_grouped": figures["ours"] / figures["hf_length_grouped"],
        "camlm_cost": figures["ours"] / figures["camlm"],
        "ratio_generation": figures["generation"] / figures["ours"],
        "share_of_peak": figures["flops"] / figures["peak"],
    }
    if not args.dry:
        write_section("engine", report(figures, rows, ratios))
    print(json.dumps({name: round(value, 4) for name, value in (ratios | figures).items()}))


if __name__ == "__main__":
    main()
