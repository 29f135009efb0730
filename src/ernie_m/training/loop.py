"""The training loop shared by both pre-training stages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ernie_m.config.pretrain import StageSettings
from ernie_m.errors import UserError
from ernie_m.model.encoder import LanguageModel
from ernie_m.model.packing import Packed
from ernie_m.objectives.objectives import OBJECTIVES
from ernie_m.training.batches import Sampler
from ernie_m.training.schedule import linear_schedule
from ernie_m.training.state import Progress, State
from ernie_m.training.validation import Losses, Validation, overall, token_losses

logger = logging.getLogger(__name__)
REPORT_SECONDS = 10.0


def objective_losses(model: LanguageModel, batch: Packed) -> dict[str, Tensor]:
    """Mean cross-entropy in nats per scored token, by objective.

    Normalised within each objective and added with weight 1, the paper being silent.
    """
    scored = batch.scored()
    losses = token_losses(model, batch, scored)
    owner = scored.groups // 1000
    # Looked up on the CPU, where the batch was made, so that nothing waits for a GPU.
    members = {i: (owner == i).nonzero().squeeze(1) for i in owner.unique().tolist()}
    return {OBJECTIVES[i]: losses[at.to(losses.device)].mean() for i, at in members.items()}


class Trainer:
    """Runs a stage from its newest state to its last step."""

    def __init__(
        self,
        name: str,
        model: LanguageModel,
        sampler: Sampler,
        validation: Validation,
        settings: StageSettings,
        state: State,
        log: Callable[[dict[str, float], int], None],
    ) -> None:
        self.name = name
        self.model = model
        self.sampler = sampler
        self.validation = validation
        self.settings = settings
        self.state = state
        self.log = log
        self.progress = Progress()

    def run(self) -> int:
        """Train to the end; returns the step that was resumed from, 0 for a fresh start."""
        self.progress = self.state.restore()
        resumed, before = self.progress.step, self.progress.seconds
        self.model.train()
        started = said = time.monotonic()
        while self.progress.step < self.settings.steps:
            norm = self._step()
            step = self.progress.step
            self.progress.seconds = before + time.monotonic() - started
            last = step == self.settings.steps
            if step % self.settings.evaluate_every == 0 or last:
                self._evaluate(norm)
            if step % self.settings.checkpoint_every == 0 and not last:
                self.state.save(self.progress)
            if time.monotonic() - said > REPORT_SECONDS:
                self._say(step - resumed, time.monotonic() - started)
                said = time.monotonic()
        return resumed

    def _step(self) -> float:
        step, wanted = self.progress.step, self.settings.optimiser
        # Dropout is the only use of torch's random state; seeding each step makes it a counter too.
        torch.manual_seed(self.sampler.seed * 1_000_003 + step)
        rate = wanted.learning_rate * linear_schedule(
            step, self.settings.steps, wanted.warmup_steps
        )
        for group in self.state.optimiser.param_groups:
            group["lr"] = rate
        batch = self.sampler.batch(step)
        losses = objective_losses(self.model, batch)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss of {self.name} is {loss.item()} at step {step + 1}.",
                "Lower `optimiser.learning_rate` or lengthen `optimiser.warmup_steps`.",
            )
        self.state.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), wanted.clip_norm)
        self.state.optimiser.step()
        told = {name: loss.item() for name, loss in losses.items()}
        self.progress.add(told, int(batch.lengths.sum()))
        return norm.item()

    def _evaluate(self, norm: float) -> None:
        valid = self.validation.losses(self.model)
        done = self.progress
        point: dict[str, Any] = {"step": done.step, "tokens": done.tokens, "gradient_norm": norm}
        point["learning_rate"] = self.state.optimiser.param_groups[0]["lr"]
        point |= {f"train/{name}": mean for name, mean in done.means().items()}
        done.empty()
        point |= flat(valid)
        done.curve.append(point)
        self.log({k: v for k, v in point.items() if k != "step"}, done.step)
        means = ", ".join(f"{name} {mean:.3f}" for name, mean in overall(valid).items())
        logger.info("%s step %d: validation %s", self.name, done.step, means)

    def _say(self, steps: int, seconds: float) -> None:
        done, total = self.progress.step, self.settings.steps
        losses = self.progress.means()
        left = (total - done) * seconds / max(1, steps)
        logger.info(
            "%s %5.1f %% | step %d of %d | %s | %.0f tokens/s | %d:%02d left",
            self.name,
            100 * done / total,
            done,
            total,
            " ".join(f"{name} {loss:.3f}" for name, loss in losses.items()),
            self.progress.tokens / max(self.progress.seconds, 1e-9),
            *divmod(int(left), 60),
        )


def flat(losses: Losses) -> dict[str, float]:
    """``valid/<objective>/<class>`` to loss, and ``valid/<objective>`` to the mean."""
    by_class = {f"valid/{o}/{c}": loss for o, by in losses.items() for c, loss in by.items()}
    return by_class | {f"valid/{o}": mean for o, mean in overall(losses).items()}
