"""Fine-tune a pre-trained encoder for retrieval, on the parallel text of pre-training.

Inputs: ``model`` (a pre-trained checkpoint), ``tokenizer``, ``train`` and ``valid`` (shards, of
which the parallel ones are read). Outputs: ``model`` (the best step), ``curves``, ``metrics``.

The paper's second Tatoeba result is said to come from a binary cross-entropy with hardest
negatives; the details are not known. Here, in a batch of pairs of one language pair, the positives
are the true pairs, and the hard negative of each sentence is the most similar one that is not its
translation. The probability of a translation is a logistic function of the cosine, with a learnt
slope and threshold.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ernie_m.config.xtreme import AlignJob, FinetuneSettings
from ernie_m.errors import UserError
from ernie_m.job import Job, main
from ernie_m.model import checkpoint
from ernie_m.model.device import best_device
from ernie_m.model.encoder import Encoder, LanguageModel
from ernie_m.ragged import Picked, Sequences
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.corpora import parallel_texts, read_shards
from ernie_m.training.order import Texts
from ernie_m.training.schedule import update
from ernie_m.xtreme.model.layout import Reader
from ernie_m.xtreme.model.optimiser import optimiser, rate, set_rate
from ernie_m.xtreme.vectors.retrieval import layer_index, pooled, sentence_features

logger = logging.getLogger(__name__)
Array = np.ndarray
# Initial logistic function: near certain at cosines of 1 and 0, undecided at a half.
SLOPE, THRESHOLD = 20.0, 0.5
RULE = "highest accuracy of nearest neighbours on validation pairs, mean over language pairs"


class Matcher(nn.Module):
    """An encoder that classifies whether two sentences are translations of each other."""

    def __init__(self, encoder: Encoder, reader: Reader, settings: AlignJob) -> None:
        super().__init__()
        self.encoder = encoder
        self.slope = nn.Parameter(torch.tensor(SLOPE))
        self.threshold = nn.Parameter(torch.tensor(THRESHOLD))
        self.reader, self.settings = reader, settings
        self.layer = layer_index(settings.layer, len(encoder.layers))

    def vectors(self, pieces: Sequence[Sequence[int]], languages: Sequence[str]) -> Tensor:
        """Unit vectors ``[n, D]``."""
        features = sentence_features(self.reader, pieces, languages, self.settings)
        batch = features.batch(np.arange(len(features)))
        return F.normalize(pooled(self.encoder.hidden_states(batch.packed)[self.layer], batch))

    def loss(self, cosines: Tensor, same: Tensor) -> Tensor:
        """Binary cross-entropy of ``cosines [n, n]``, translations on the diagonal.

        ``same`` marks off-diagonal pairs that are translations too, because a sentence is repeated.
        """
        hard = cosines.masked_fill(same, -torch.inf)
        true, rows, columns = (
            self.slope * (cosine - self.threshold)
            for cosine in (cosines.diagonal(), hard.amax(1), hard.amax(0))
        )
        wrong = (F.softplus(rows).mean() + F.softplus(columns).mean()) / 2
        return F.softplus(-true).mean() + wrong


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs of one language pair, which stay in their files."""

    sides: tuple[Sequences, Sequences]
    languages: tuple[str, str]

    def __len__(self) -> int:
        return len(self.sides[0])

    def pieces(self, order: Array) -> list[list[list[int]]]:
        """The sentences of either side of pairs ``order``."""
        taken = (side.take(order) for side in self.sides)
        return [[own[i].tolist() for i in range(len(own))] for own in taken]

    def vectors(self, model: Matcher, order: Array) -> tuple[Tensor, Tensor]:
        """Vectors ``[n, D]`` of both sides of pairs ``order``."""
        ours, theirs = (
            model.vectors(pieces, [language] * len(order))
            for pieces, language in zip(self.pieces(order), self.languages, strict=True)
        )
        return ours, theirs

    def same(self, order: Array) -> Tensor:
        """Which of pairs ``order`` share a sentence, bool ``[n, n]``; true on the diagonal."""
        shared = torch.zeros(len(order), len(order), dtype=torch.bool)
        for side in self.pieces(order):
            number: dict[tuple[int, ...], int] = {}
            column = torch.tensor([number.setdefault(tuple(own), len(number)) for own in side])
            shared |= column[:, None] == column[None]
        return shared


def _pairs(paths: Sequence[Path], model: LanguageModel, longest: int) -> list[Pairs]:
    """The parallel sentences by language pair."""
    shards = read_shards(paths, 2, model.shape.tokenizer, model.shape.vocabulary)
    texts: Texts = parallel_texts(shards, model.shape.languages, longest)
    assert texts.target is not None
    ends = np.cumsum(texts.sizes)
    found = []
    for codes, first, last in zip(texts.languages, ends - texts.sizes, ends, strict=True):
        own = np.arange(first, last)
        source, target = (model.shape.languages[code] for code in codes)
        sides = Picked(texts.source, own), Picked(texts.target, own)
        found.append(Pairs(sides, (source, target)))
    return found


def batches(pairs: Sequence[Pairs], settings: AlignJob, seed: int) -> Iterator[tuple[Pairs, Array]]:
    """For every step a language pair, sampled by its size, and a random batch of its pairs."""
    sizes = np.array([len(language_pair) for language_pair in pairs])
    for step in range(settings.steps):
        generator = np.random.default_rng([seed, step])
        language_pair = pairs[generator.choice(len(pairs), p=sizes / sizes.sum())]
        count = min(settings.batch_pairs, len(language_pair))
        yield language_pair, generator.choice(len(language_pair), count, replace=False)


@torch.inference_mode()
def accuracy(model: Matcher, pairs: Sequence[Pairs], most: int) -> float:
    """Retrieval accuracy from source to target, 0 to 1: mean over language pairs, on the first
    ``most`` pairs of each."""
    model.eval()
    shares = []
    for language_pair in pairs:
        order = np.arange(min(most, len(language_pair)))
        ours, theirs = language_pair.vectors(model, order)
        right = torch.arange(len(order), device=ours.device)
        shares.append(((ours @ theirs.T).argmax(1) == right).float().mean().item())
    model.train()
    return float(np.mean(shares))


def _finetune_settings(settings: AlignJob) -> FinetuneSettings:
    shared = FinetuneSettings.model_fields.keys() & AlignJob.model_fields.keys()
    return FinetuneSettings(**settings.model_dump(include=set(shared)))


def train(
    model: Matcher, pairs: Sequence[Pairs], valid: Sequence[Pairs], settings: AlignJob, seed: int
) -> list[dict[str, float]]:
    """Run all updates, load the weights of the best step, and return the curve."""
    common = _finetune_settings(settings)
    adam = optimiser(model, len(model.encoder.layers), common)
    evaluation_points = {
        round(settings.steps * k / settings.evaluations) for k in range(settings.evaluations)
    }
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    best, weights = -1.0, model.state_dict()
    for step, (language_pair, order) in enumerate(batches(pairs, settings, seed), start=1):
        now = rate(step - 1, settings.steps, common)
        set_rate(adam, now)
        ours, theirs = language_pair.vectors(model, order)
        value = model.loss(ours @ theirs.T, language_pair.same(order).to(ours.device))
        if not torch.isfinite(value):
            raise UserError(
                f"The loss is {value.item()} at step {step}.",
                "Lower `xtreme.align.learning_rate`.",
            )
        losses.append(value.item())
        value.backward()
        update(model, adam, settings.clip_norm)
        if step == settings.steps or step in evaluation_points:
            reached = accuracy(model, valid, settings.validation_pairs)
            curve.append(
                {
                    "step": step,
                    "learning_rate": now,
                    "train_loss": float(np.mean(losses)),
                    "accuracy": reached,
                }
            )
            logger.info("step %d: loss %.3f, accuracy %.3f", step, curve[-1]["train_loss"], reached)
            losses = []
            if reached > best:
                best = reached
                weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return curve


def run(job: Job[AlignJob]) -> None:
    """Fine-tune and write the best step; raises :class:`UserError` for inputs that do not fit."""
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    settings = job.settings
    model = checkpoint.load(job.input("model")).to(best_device())
    reader = Reader(
        Tokenizer(job.input("tokenizer")),
        model.shape,
        settings.max_tokens,
        settings.language_embedding,
    )
    pairs, valid = (
        _pairs(job.inputs(name), model, settings.max_tokens) for name in ("train", "valid")
    )
    matcher = Matcher(model.encoder, reader, settings)
    before = accuracy(matcher, valid, settings.validation_pairs)
    curve = train(matcher, pairs, valid, settings, job.seed)
    extra = {"align": settings.model_dump_json()}
    checkpoint.save(job.output("model"), model, model.shape, extra)
    lines = (json.dumps(point, sort_keys=True) + "\n" for point in curve)
    job.output("curves").write_text("".join(lines), encoding="utf-8")
    best = max(curve, key=lambda point: point["accuracy"])
    job.write_json(
        "metrics",
        {
            "rule": RULE,
            "steps": settings.steps,
            "best_step": best["step"],
            "accuracy_before": before,
            "accuracy": best["accuracy"],
        },
    )


if __name__ == "__main__":
    main(run, AlignJob)
