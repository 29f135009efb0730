"""A vocabulary trained on words of 12 languages, and XLM-R as transformers makes it."""

import importlib
import io
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import sentencepiece
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from ernie_m.config.base import Section
from ernie_m.model.architecture import Architecture
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import pack, sentences
from ernie_m.pretrain import adopt, initialise
from ernie_m.tokenizer.vocabulary import Tokenizer
from tests.corpora.synthetic import run_stage

# Scripts with and without spaces, left to right and right to left.
LANGUAGES = ("ar", "de", "en", "fa", "fr", "he", "ja", "ka", "ko", "pl", "ru", "zh_cn")
PIECES = 900


def words(language: str) -> list[str]:
    """What reStructuredText calls its directives and roles in a language, from docutils."""
    module = importlib.import_module(f"docutils.parsers.rst.languages.{language}")
    return sorted({word.replace("-", " ") for word in [*module.directives, *module.roles]})


def text(language: str, count: int, seed: int = 0) -> list[str]:
    """Lines of words with capitals, numbers, punctuation and untidy spaces."""
    draw, known = random.Random(f"{language} {seed}"), words(language)
    lines = []
    for _ in range(count):
        chosen = [draw.choice(known) for _ in range(draw.randrange(1, 9))]
        chosen.insert(
            draw.randrange(len(chosen) + 1), draw.choice(["", "12", "3,5 %", "(ß-ж)", "…"])
        )
        lines.append(
            draw.choice([" ", "  ", "\u3000"]).join(chosen).capitalize() + draw.choice(".?! ")
        )
    return lines


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = io.BytesIO()
    lines = (line for language in LANGUAGES for line in text(language, 60))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=model,
        vocab_size=PIECES,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("vocabulary") / "spm.model"
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def tokenizer(vocabulary: Path) -> Tokenizer:
    return Tokenizer(vocabulary)


def shape_for(tokenizer: Tokenizer, **changes: object) -> Architecture:
    values = {
        **{"vocabulary": tokenizer.size, "layers": 2, "width": 32, "heads": 4, "ffn": 64},
        **{"max_positions": 130, "dropout": 0.1, "attention_dropout": 0.0},
        **{"language_embeddings": True, "pair_positions": "continuous"},
        **{"languages": ("en", "de", "ru"), "tokenizer": tokenizer.sha256},
    }
    return Architecture(**{**values, **changes})


def noisy(module: torch.nn.Module, seed: int = 1) -> None:
    """Every parameter at random, those that usually start at 0 or 1 too."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.2)


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> LanguageModel:
    """Ours, every weight at random."""
    made = LanguageModel(shape_for(tokenizer)).eval()
    noisy(made)
    return made


@pytest.fixture(scope="session")
def oracle(tokenizer: Tokenizer) -> XLMRobertaForMaskedLM:
    """XLM-R as transformers computes it, every weight at random, token type and padding too."""
    config = XLMRobertaConfig(
        vocab_size=tokenizer.size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    made = XLMRobertaForMaskedLM(config).eval()
    noisy(made, 2)
    return made


@pytest.fixture(scope="session")
def source(oracle: XLMRobertaForMaskedLM, vocabulary: Path, tmp_path_factory) -> Path:
    """A folder as XLM-R's on the hub."""
    folder = tmp_path_factory.mktemp("xlm-roberta")
    oracle.save_pretrained(folder)
    (folder / "sentencepiece.bpe.model").write_bytes(vocabulary.read_bytes())
    return folder


def batch(tokenizer: Tokenizer) -> list[list[int]]:
    """Documents of different length, with their special tokens and some masks."""
    lines = [line for language in LANGUAGES for line in text(language, 2, seed=5)]
    documents = [[0, *ids[:60], 2] for ids in tokenizer.encode(lines)]
    for number, ids in enumerate(documents):
        ids[1 + number % (len(ids) - 2)] = tokenizer.mask_id
    return documents


def padded(documents: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """What transformers takes."""
    longest = max(len(ids) for ids in documents)
    ids = torch.tensor([[*ids, *[1] * (longest - len(ids))] for ids in documents])
    return {"input_ids": ids, "attention_mask": (ids != 1).long()}


@torch.no_grad()
def states(
    model: LanguageModel, documents: Sequence[Sequence[int]], languages: Sequence[int], alone: bool
) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
    """Our hidden states by layer and our logits, of each document; ``alone`` pads each to a row,
    else several are packed into one."""
    rows = pack(sentences(documents, languages), row_length=128, one_per_row=alone)
    hidden = model.encoder.hidden_states(rows)
    index = torch.from_numpy(rows.flat_index())
    lengths = [len(ids) for ids in documents]
    flat = [state.flatten(0, 1)[index] for state in hidden]
    logits = model.head(flat[-1], model.encoder.embeddings.word.weight)
    return [list(state.split(lengths)) for state in flat], list(logits.split(lengths))


def started_from(files, folder, settings, name="adopt.safetensors"):
    """The model of these settings with the weights of a checkpoint's ``files``, for the vocabulary
    in ``folder``, in a file there."""
    made, tokenizer = folder / "initialise.safetensors", [folder / "spm.model"]
    run_stage(initialise.run, settings, {"tokenizer": tokenizer}, {"model": [made]})
    inputs = {"model": [made], "tokenizer": tokenizer, "source": files}
    run_stage(adopt.run, Section(), inputs, {"model": [folder / name]})
    return folder / name
