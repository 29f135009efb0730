"""One optimiser step: gradient accumulation over micro-batches, data parallelism, precision."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

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
from ernie_m.training.batches import Batch, share
from ernie_m.training.losses import GroupMeans, LossSums, TokenLosses, group_means, step_loss
from ernie_m.training.processes import Processes
from ernie_m.training.schedule import adamw, update

# Rows of a compiled pass are rounded up to a power of two, at most this part of them.
STEPS_OF_ROWS = 16
# The unsharded state, as a single process would have it.
FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Engine:
    """A model with its optimiser, in parallel over ``processes`` as ``hardware`` says.

    ``losses`` maps rows to token losses, in training and in validation.
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
        self.losses = TokenLosses(model, hardware.precision, hardware.head == "fused")
        self._wrapped: nn.Module = self._wrap_parallel()
        self.optimiser = adamw(model, optimiser)
        self.sums = LossSums(processes.device)
        # Losses of the current step, added to the sums once its update is made.
        self._pending: list[tuple[Tensor, Scored]] = []

    def _wrap_parallel(self) -> nn.Module:
        if self.processes.size == 1:
            return self.losses
        if self.hardware.sharding == "none":
            return DistributedDataParallel(self.losses)
        for layer in self.model.encoder.layers:
            fully_shard(layer)
        fully_shard(self.losses)
        return self.losses

    def micro_batches(self, own: Packed, row_count: int) -> list[Packed]:
        """This rank's rows of ``row_count``, in micro-batches of at most ``forward_tokens`` tokens.

        With 0 there is a single one. Every rank gets the same number of micro-batches, so that all
        run the same collectives. Compiled layers, which compile for each number of rows, get few
        numbers: multiples of a power of two, at most a sixteenth of the whole.
        """
        rows, length = own.ids.shape
        most = -(-row_count // self.processes.size)
        pass_rows = max(1, self.hardware.forward_tokens // length)
        rounds = -(-most // pass_rows) if self.hardware.forward_tokens else 1
        parts = [own.part(*share(rows, number, rounds)) for number in range(rounds)]
        if not self.hardware.compile:
            return parts
        most = pass_rows if self.hardware.forward_tokens else most
        step = 1 << max(0, (most // STEPS_OF_ROWS).bit_length() - 1)
        return [part.padded(-(-len(part.ids) // step) * step) for part in parts]

    def backward(self, batch: Batch) -> Tensor:
        """Compute the gradients of the step's loss on the whole batch; returns this rank's share of
        the loss."""
        micro_batches = self.micro_batches(batch.rows, batch.row_count)
        parts = []
        for number, micro_batch in enumerate(micro_batches):
            scored = micro_batch.scored()
            with self._no_sync(number < len(micro_batches) - 1):
                losses = self._wrapped(micro_batch, scored)
                part = step_loss(losses, scored, batch.predicted)
                # DDP and FSDP average gradients over ranks; here they must be summed.
                (part * self.processes.size).backward()
            self._pending.append((losses.detach(), scored))
            parts.append(part.detach())
        return torch.stack(parts).sum()

    @torch.no_grad()
    def evaluate(self, batches: Sequence[Packed]) -> GroupMeans:
        """Mean losses of ``batches`` by group, each divided among the ranks; collective. Leaves the
        model in training mode."""
        sums, processes = LossSums(self.processes.device), self.processes
        self.losses.eval()
        for batch in batches:
            rows = len(batch.ids)
            own = batch.part(*share(rows, processes.rank, processes.size))
            for part in self.micro_batches(own, rows):
                scored = part.scored()
                sums.add(self.losses(part, scored), scored)
        self.losses.train()
        return group_means(processes.all_reduce(sums.values))

    def _no_sync(self, more_follow: bool) -> Any:
        """Skip the gradient all-reduce while more micro-batches follow."""
        if more_follow and isinstance(self._wrapped, DistributedDataParallel):
            return self._wrapped.no_sync()
        return nullcontext()

    def update(self, rate: float) -> Tensor:
        """Clip, step at learning rate ``rate``, zero the gradients; returns the norm before
        clipping."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        norm = update(self.model, self.optimiser, self.clip_norm)
        for losses, scored in self._pending:
            self.sums.add(losses, scored)
        self._pending.clear()
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def weights(self) -> dict[str, Tensor]:
        """The unsharded weights on the CPU, on rank 0; a collective, so every rank must call it."""
        return cast(dict[str, Tensor], get_model_state_dict(self.model, options=FULL_STATE))

    def discard_gradients(self) -> None:
        """Discard the gradients and losses of the current step."""
        self.optimiser.zero_grad()
        self._pending.clear()

    def state(self) -> dict[str, Any]:
        """Unsharded weights and optimiser state by parameter name, on the CPU, on rank 0; a
        collective, so every rank must call it."""
        return {
            "sums": self.processes.all_reduce(self.sums.values.clone()).cpu(),
            "model": self.weights(),
            "optimiser": get_optimizer_state_dict(self.model, self.optimiser, options=FULL_STATE),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state`, for any number of processes; each is given the unsharded
        state."""
        whole = StateDictOptions(full_state_dict=True)
        set_model_state_dict(self.model, state["model"], options=whole)
        set_optimizer_state_dict(self.model, self.optimiser, state["optimiser"], options=whole)
        self.sums.clear()
        if self.processes.first:
            self.sums.values.copy_(state["sums"])
