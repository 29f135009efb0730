"""One update of a model: a batch in parts, over processes, in the type the hardware is fast in."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from ernie_m.config.hardware import HardwareSettings
from ernie_m.config.pretrain import OptimiserSettings
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import Packed, Scored
from ernie_m.training.losses import LossSums, TokenLosses, objective_counts, step_loss
from ernie_m.training.processes import Processes
from ernie_m.training.schedule import adamw, update

# Everything in one piece, as one process without sharding would have it.
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Engine:
    """A model with its optimiser, spread over ``processes`` as ``hardware`` says.

    ``losses`` maps rows to token losses, in training and validation alike.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimiser: OptimiserSettings,
        hardware: HardwareSettings,
        processes: Processes,
    ) -> None:
        self.model = model.to(processes.device)
        self.hardware = hardware
        self.processes = processes
        self.clip_norm = optimiser.clip_norm
        encoder = model.encoder
        encoder.recompute = hardware.recompute
        encoder.flex = hardware.attention == "flex"
        if hardware.compile:
            for layer in encoder.layers:
                layer.compile()
        self.losses = TokenLosses(model, hardware.precision)
        self._spread: nn.Module = self._shared()
        self.optimiser = adamw(model, optimiser)
        self.sums = LossSums(processes.device)
        # Losses of the step under way, which count once its update is made.
        self._pending: list[tuple[Tensor, Scored]] = []

    def _shared(self) -> nn.Module:
        if self.processes.size == 1:
            return self.losses
        if self.hardware.sharding == "none":
            return DistributedDataParallel(self.losses)
        for layer in self.model.encoder.layers:
            fully_shard(layer)
        fully_shard(self.losses)
        return self.losses

    def parts(self, batch: Packed) -> list[Packed]:
        """This process's rows of the batch, in as many parts as have to be computed apart.

        Every process gets as many parts, since it has to meet the others in each.
        """
        rows, size = len(batch.ids), self.processes.size
        together = max(1, self.hardware.forward_tokens // batch.ids.shape[1]) * size
        rounds = -(-rows // together) if self.hardware.forward_tokens else 1
        bounds = np.linspace(0, rows, rounds * size + 1).round().astype(int).tolist()
        every = list(pairwise(bounds))
        return [batch.part(*span) for span in every[self.processes.rank :: size]]

    def backward(self, batch: Packed) -> Tensor:
        """Gradients of the step's loss on the whole ``batch``; returns this process's share of the
        loss."""
        if self.processes.size == 1 and not self.hardware.forward_tokens:
            parts = [batch]
        else:
            parts = self.parts(batch)
        counts = objective_counts(batch.scored())
        shares = []
        for number, part in enumerate(parts):
            scored = part.scored()
            with self._alone(number < len(parts) - 1):
                losses = self._spread(part, scored)
                share = step_loss(losses, scored, counts)
                # Gradients are averaged over processes; the parts have to be added.
                (share * self.processes.size).backward()
            self._pending.append((losses.detach(), scored))
            shares.append(share.detach())
        return torch.stack(shares).sum()

    def _alone(self, more: bool) -> Any:
        """Keep gradients to this process while ``more`` parts follow."""
        if more and isinstance(self._spread, DistributedDataParallel):
            return self._spread.no_sync()
        return nullcontext()

    def update(self, rate: float) -> Tensor:
        """Clip, step at learning rate ``rate``, forget the gradients; the norm before clipping."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        norm = update(self.model, self.optimiser, self.clip_norm)
        for losses, scored in self._pending:
            self.sums.add(losses, scored)
        self._pending.clear()
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def weights(self) -> dict[str, Tensor]:
        """The model's weights, whole, on the CPU, in the first process; the others take part."""
        return cast(dict[str, Tensor], get_model_state_dict(self.model, options=WHOLE))

    def discard_gradients(self) -> None:
        """Drop the gradients and losses of the step under way."""
        self.optimiser.zero_grad()
        self._pending.clear()

    def state(self) -> dict[str, Any]:
        """Weights and optimiser state by parameter name, whole, on the CPU, in the first process;
        the others take part and get nothing."""
        return {
            "sums": self.processes.total(self.sums.values.clone()).cpu(),
            "model": self.weights(),
            "optimiser": get_optimizer_state_dict(self.model, self.optimiser, options=WHOLE),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state`, for any number of processes, each with the whole state."""
        whole = StateDictOptions(full_state_dict=True)
        set_model_state_dict(self.model, state["model"], options=whole)
        set_optimizer_state_dict(self.model, self.optimiser, state["optimiser"], options=whole)
        self.sums.clear()
        if self.processes.first:
            self.sums.values.copy_(state["sums"])
