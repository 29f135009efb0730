"""Show what a step of pre-training trains on: pieces, masks, streams, and who reads whom.

RECORD is the record of a training, `results/<run>/pretrain_<stage>/<arm>/record.json`, or its
folder: the batch of any step is made anew from its inputs, settings and seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from ernie_m.arguments import argument_parser
from ernie_m.config.pretrain import StageJob
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.model import checkpoint
from ernie_m.model.attention import allowed
from ernie_m.model.packing import NOT_SCORED, Packed
from ernie_m.objectives.objectives import OBJECTIVES
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.batches import CLASSES
from ernie_m.training.stage import sampler_of, texts_of

STREAMS = "STst"  # as docs/method.md writes them: tokens and slots, source and target
LEGEND = "S, T: tokens of source and target; s, t: slots that restore one; ■: may read."
# Escape codes by stream; what is predicted stands out.
COLOURS = ("36", "34", "1;33", "1;35")
RULE = ("documents", "streams", "tables")


@dataclass(frozen=True)
class Drawing:
    """A batch as tensors ``[R, L]`` by name, and what its numbers mean."""

    tensors: dict[str, torch.Tensor]
    languages: Sequence[str]
    tokenizer: Tokenizer
    colour: bool

    def documents(self) -> list[tuple[int, slice]]:
        """Row and places of every document, in order."""
        found = []
        for row, numbers in enumerate(self.tensors["documents"]):
            for number in numbers.unique().tolist():
                if number >= 0:
                    places = (numbers == number).nonzero().squeeze(1)
                    found.append((row, slice(int(places[0]), int(places[-1]) + 1)))
        return found

    def draw(self, row: int, places: slice) -> Iterator[str]:
        """Lines of one document: a token each, with what it reads at its right."""
        part = {name: tensor[row, places] for name, tensor in self.tensors.items()}
        reads = allowed(*(part[name].unsqueeze(0) for name in RULE))[0]
        scored = part["labels"] != NOT_SCORED
        objective = OBJECTIVES[int(part["groups"][0]) // CLASSES]
        spoken = [self.languages[i] for i in dict.fromkeys(part["languages"].tolist())]
        share = f"{int(scored.sum())} of {len(scored)} places predicted"
        yield f"{objective} {'-'.join(spoken)}, row {row}, {share}"
        for at in range(len(scored)):
            yield self._token({name: tensor[at] for name, tensor in part.items()}, reads[at])

    def _token(self, token: dict[str, torch.Tensor], reads: torch.Tensor) -> str:
        stream, position = int(token["streams"]), int(token["positions"])
        shown = self.tokenizer.piece(int(token["ids"]))
        label = int(token["labels"])
        wanted = "" if label == NOT_SCORED else "-> " + self.tokenizer.piece(label)
        line = f"  {STREAMS[stream]} {self.languages[int(token['languages'])]:>3} {position:>4}  "
        line += f"{shown:<16} {wanted:<19}"
        line = f"\033[{COLOURS[stream]}m{line}\033[0m" if self.colour else line
        return line + " " + "".join("■" if read else "·" for read in reads.tolist())


def _job(path: Path) -> Job[StageJob]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        facts = record["facts"]
        return Job(
            module=record["module"],
            instance=record["instance"],
            settings=StageJob.model_validate(facts["settings"]),
            seed=facts["seed"],
            threads=1,
            input_paths={
                name: [Path(file["path"]) for file in files]
                for name, files in facts["inputs"].items()
            },
            output_paths={},
        )
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise UserError(
            f"{path} is not the record of a pre-training: {error}.",
            "Give the folder of one, as results/default/pretrain_camlm/ernie_m.",
        ) from None


def _tensors(batch: Packed) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}


def _kept(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is not a kept batch: {error}.",
            "Give a batch-*.safetensors of work/state/, or leave --batch out.",
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argument_parser("ernie-m inspect-batch", __doc__)
    parser.add_argument("record", type=Path, metavar="RECORD", help="a training's folder or record")
    parser.add_argument("--step", type=int, default=1, help="which step, from 1 (default: 1)")
    parser.add_argument("--documents", type=int, default=4, help="how many to draw (default: 4)")
    parser.add_argument("--objective", choices=OBJECTIVES, help="draw documents of this one only")
    parser.add_argument("--batch", type=Path, help="a batch kept after a diverging step, instead")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print some documents of a batch; raises :class:`UserError` for a record that is none."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.step < 1 or given.documents < 1:
        parser.error("--step and --documents count from 1")
    path = given.record / "record.json" if given.record.is_dir() else given.record
    job = _job(path)
    _, shape, _ = checkpoint.read(job.input("init"))
    tokenizer = Tokenizer(path.resolve().parents[2] / "tokenizer_train" / "spm.model")
    tensors: dict[str, Any]
    if given.batch:
        tensors = _kept(given.batch)
    else:
        sampler = sampler_of(job, shape, texts_of(job, shape, "train"))
        tensors = _tensors(sampler.batch(given.step - 1))
    drawing = Drawing(tensors, shape.languages, tokenizer, sys.stdout.isatty())
    rows, length = tensors["ids"].shape
    found = drawing.documents()
    filled = int((tensors["documents"] >= 0).sum())
    print(f"{len(found)} documents in {rows} rows of {length}, {filled / rows / length:.1%} filled")
    print(LEGEND)
    wanted = [
        (row, places)
        for row, places in found
        if given.objective
        in (None, OBJECTIVES[int(tensors["groups"][row, places.start]) // CLASSES])
    ]
    if given.objective:
        print(f"{len(wanted)} of them are of {given.objective}")
    for row, places in wanted[: given.documents]:
        print("\n" + "\n".join(drawing.draw(row, places)))
    return 0
