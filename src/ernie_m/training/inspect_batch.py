"""Show the batch of a pre-training step: pieces, masks, streams, and the attention mask.

RECORD is the record of a training, `results/<run>/pretrain_<stage>/<variant>/record.json`, or its
folder: the batch of any step is recomputed from its inputs, settings and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ernie_m.arguments import argument_parser
from ernie_m.catalogue.checkpoints import vocabulary_in
from ernie_m.config.pretrain import StageJob
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.model import checkpoint
from ernie_m.model.attention import allowed
from ernie_m.model.packing import IGNORE_INDEX, Packed
from ernie_m.objectives import OBJECTIVES
from ernie_m.records.record import RECORD, Record
from ernie_m.tokenizer.vocabulary import Tokenizer
from ernie_m.training.batches import CLASSES
from ernie_m.training.stage import dataloader_of, texts_of

STREAMS = "STst"  # as docs/method.md writes them: tokens and slots, source and target
LEGEND = "S, T: tokens of source and target; s, t: slots that restore one; ■: may read."
RULE = ("documents", "streams", "tables")


@dataclass(frozen=True)
class Drawing:
    """A batch as tensors ``[R, L]`` by name, and what its numbers mean."""

    tensors: dict[str, torch.Tensor]
    languages: Sequence[str]
    tokenizer: Tokenizer

    def documents(self) -> list[tuple[int, slice]]:
        """Row and token range of every document, in order."""
        spans = []
        for row, numbers in enumerate(self.tensors["documents"]):
            for number in numbers.unique().tolist():
                if number >= 0:
                    positions = (numbers == number).nonzero().squeeze(1)
                    spans.append((row, slice(int(positions[0]), int(positions[-1]) + 1)))
        return spans

    def draw(self, row: int, span: slice) -> Iterator[str]:
        """Lines of one document: one token each, with its row of the attention mask."""
        part = {name: tensor[row, span] for name, tensor in self.tensors.items()}
        reads = allowed(*(part[name].unsqueeze(0) for name in RULE))[0]
        scored = part["labels"] != IGNORE_INDEX
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
        wanted = "" if label == IGNORE_INDEX else "-> " + self.tokenizer.piece(label)
        line = f"  {STREAMS[stream]} {self.languages[int(token['languages'])]:>3} {position:>4}  "
        line += f"{shown:<16} {wanted:<19}"
        return line + " " + "".join("■" if read else "·" for read in reads.tolist())


def _job(path: Path) -> Job[StageJob]:
    record = Record.read(path, path.as_posix())
    try:
        if not record.data:
            raise ValueError(record.fault)
        settings = StageJob.model_validate(record.settings)
    except ValueError as error:  # pydantic's too
        raise UserError(
            f"{path} is not the record of a pre-training: {error}.",
            "Give the folder of one, as results/default/pretrain_camlm/ernie_m.",
        ) from None
    files = {name: [Path(file.path) for file in own] for name, own in record.inputs.items()}
    return Job(record.module, record.instance, settings, record.seed, 1, files, {})


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
    """Print some documents of a batch; raises :class:`UserError` for an invalid record."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.step < 1 or args.documents < 1:
        parser.error("--step and --documents count from 1")
    path = args.record / RECORD if args.record.is_dir() else args.record
    job = _job(path)
    _, shape, _ = checkpoint.read(job.input("init"))
    tokenizer = Tokenizer(vocabulary_in(path.parent))
    tensors: dict[str, Any]
    if args.batch:
        tensors = _kept(args.batch)
    else:
        dataloader = dataloader_of(job, shape, texts_of(job, shape, "train"))
        tensors = _tensors(dataloader.batch(args.step - 1).rows)
    drawing = Drawing(tensors, shape.languages, tokenizer)
    rows, length = tensors["ids"].shape
    documents = drawing.documents()
    filled = int((tensors["documents"] >= 0).sum())
    share = filled / rows / length
    print(f"{len(documents)} documents in {rows} rows of {length}, {share:.1%} filled")
    print(LEGEND)
    selected = [
        (row, span)
        for row, span in documents
        if args.objective in (None, OBJECTIVES[int(tensors["groups"][row, span.start]) // CLASSES])
    ]
    if args.objective:
        print(f"{len(selected)} of them are of {args.objective}")
    for row, span in selected[: args.documents]:
        print("\n" + "\n".join(drawing.draw(row, span)))
    return 0
