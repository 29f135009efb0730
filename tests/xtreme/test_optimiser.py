"""The optimiser of fine-tuning against the update written out, number by number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ernie_m.catalogue.tasks import TASKS
from ernie_m.config.xtreme import FinetuneSettings
from ernie_m.training.schedule import adamw, linear_schedule
from ernie_m.xtreme.model.heads import TaskModel
from ernie_m.xtreme.model.optimiser import optimiser, rate, set_rate, update_scale

SETTINGS = FinetuneSettings(
    layer_decay=0.8, weight_decay=0.1, learning_rate=0.01, eps=1e-6, beta1=0.9, beta2=0.99
)
# By hand, for an encoder of three layers.
EXPONENTS = {
    "encoder.embeddings.word.weight": 4,
    "encoder.embeddings.position.weight": 4,
    "encoder.embeddings.language.weight": 4,
    "encoder.embeddings.norm.weight": 0,
    "encoder.layers.0.attention.query.weight": 3,
    "encoder.layers.1.ffn_out.bias": 2,
    "encoder.layers.2.ffn_norm.weight": 1,
    "head.pooler.weight": 0,
    "head.out.bias": 0,
}


@pytest.fixture
def model(shape):
    torch.manual_seed(3)
    return TaskModel(replace(shape, layers=3), TASKS["standin_classification"], 0.0)


def adam_by_hand(start, gradients, rates, scale, decay):
    """ERNIE-M's update: Adam's step times ``scale``, and the decay of the old value beside it."""
    value, mean, square = start.astype(np.float64), 0.0, 0.0
    for step, (gradient, now) in enumerate(zip(gradients, rates, strict=True), start=1):
        mean = SETTINGS.beta1 * mean + (1 - SETTINGS.beta1) * gradient
        square = SETTINGS.beta2 * square + (1 - SETTINGS.beta2) * gradient**2
        first = mean / (1 - SETTINGS.beta1**step)
        second = square / (1 - SETTINGS.beta2**step)
        update = now * first / (np.sqrt(second) + SETTINGS.eps)
        value = value - scale * update - now * decay * value
    return value


def test_the_update_shrinks_with_depth_and_the_decay_does_not(model):
    parameters = dict(model.named_parameters())
    assert parameters.keys() >= EXPONENTS.keys()
    before = {name: p.detach().numpy().copy() for name, p in parameters.items()}
    adam = optimiser(model, 3, SETTINGS)
    generator = np.random.default_rng(0)
    rates, gradients = [0.01, 0.02, 0.005], {name: [] for name in parameters}
    for now in rates:
        set_rate(adam, now)
        for name, parameter in parameters.items():
            drawn = generator.standard_normal(parameter.shape).astype(np.float32)
            gradients[name].append(drawn.astype(np.float64))
            parameter.grad = torch.from_numpy(drawn)
        adam.step()
    for name, exponent in EXPONENTS.items():
        decay = 0.0 if name.endswith("bias") or "norm" in name else 0.1
        expected = adam_by_hand(before[name], gradients[name], rates, 0.8**exponent, decay)
        np.testing.assert_allclose(
            parameters[name].detach().numpy(), expected, rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_every_parameter_is_in_one_group(model):
    found = [p for group in optimiser(model, 3, SETTINGS).param_groups for p in group["params"]]
    assert {id(p) for p in found} == {id(p) for p in model.parameters()}
    assert len(found) == len(list(model.parameters()))
    assert {update_scale(name, 3, 1.0) for name, _ in model.named_parameters()} == {1.0}


def test_without_layer_decay_it_is_the_optimiser_of_pretraining(model):
    from copy import deepcopy

    from ernie_m.config.pretrain import OptimiserSettings

    same = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
    twin = deepcopy(model)
    ours = optimiser(model, 3, FinetuneSettings(**same, layer_decay=1.0))
    theirs = adamw(twin, OptimiserSettings(**same))
    for first, second in zip(model.parameters(), twin.parameters(), strict=True):
        first.grad = torch.randn(first.shape)
        second.grad = first.grad.clone()
    set_rate(ours, 0.01)
    ours.step()
    theirs.step()
    for first, second in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(first, second)


def test_the_rate_jumps_only_where_it_is_asked_to():
    plain = FinetuneSettings(learning_rate=1.0, warmup_share=0.1)
    jumping = FinetuneSettings(learning_rate=1.0, warmup_share=0.1, decay_from="start")
    assert [rate(step, 100, plain) for step in range(100)] == [
        linear_schedule(step, 100, 10) for step in range(100)
    ]
    assert rate(9, 100, jumping) == 1.0 and math.isclose(rate(10, 100, jumping), 0.9)
    assert math.isclose(rate(99, 100, jumping), 0.01)
    counted = FinetuneSettings(learning_rate=1.0, warmup_share=0.5, warmup_steps=4)
    assert [rate(step, 100, counted) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    # A warm-up longer than all of a short training never comes to its end.
    assert rate(9, 10, FinetuneSettings(learning_rate=1.0, warmup_steps=500)) == 1.0
