"""Fifty updates of every rule and option, compared with the textbook's formulas in plain NumPy, and with PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygan import optim
from tinygan.engine import Tensor

STEPS, LR = 50, 0.05


def sgd(w, gradients, momentum=0.0, weight_decay=0.0):
    v = np.zeros_like(w)
    for g in gradients:
        v = momentum * v - LR * (g + weight_decay * w)
        w = w + v
    return w


def adam(w, gradients, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=0.0):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        g = g + weight_decay * w
        w = w - LR * decoupled * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - LR * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def adamw(w, gradients, weight_decay=0.01, **options):
    return adam(w, gradients, decoupled=weight_decay, **options)


def rmsprop(w, gradients, alpha=0.99, eps=1e-8, weight_decay=0.0):
    v = np.zeros_like(w)
    for g in gradients:
        g = g + weight_decay * w
        v = alpha * v + (1 - alpha) * g**2
        w = w - LR * g / (np.sqrt(v) + eps)
    return w


CASES = [
    ("SGD", sgd, {}),
    ("SGD", sgd, {"weight_decay": 0.1}),
    ("SGD", sgd, {"momentum": 0.9}),
    ("SGD", sgd, {"momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", adam, {}),
    ("Adam", adam, {"betas": (0.5, 0.9), "eps": 0.01}),
    ("Adam", adam, {"betas": (0.0, 0.9)}),
    ("Adam", adam, {"weight_decay": 0.1}),
    ("AdamW", adamw, {}),
    ("AdamW", adamw, {"betas": (0.5, 0.9), "eps": 0.01, "weight_decay": 0.3}),
    ("AdamW", adamw, {"weight_decay": 0.0}),
    ("RMSprop", rmsprop, {}),
    ("RMSprop", rmsprop, {"alpha": 0.5, "eps": 0.01, "weight_decay": 0.1}),
]
every_case = pytest.mark.parametrize(
    ("name", "textbook", "options"), CASES, ids=lambda value: getattr(value, "__name__", str(value))[:40]
)


def arrays(dtype=np.float64):
    """Return weights and fifty gradients: a matrix, a bias, and one that is not in C order."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(7, 5)), rng.normal(size=5), rng.normal(size=(6, 4)).T]
    gradients = [[rng.normal(size=weight.shape) for weight in weights] for _ in range(STEPS)]
    return [w.astype(dtype) for w in weights], [[g.astype(dtype) for g in step] for step in gradients]


def ours(name, options, dtype=np.float64):
    weights, gradients = arrays(dtype)
    params = [Tensor(weight, requires_grad=True) for weight in weights]
    rule = getattr(optim, name)(params, lr=LR, **options)
    for step in gradients:
        for parameter, gradient in zip(params, step, strict=True):
            parameter.grad = Tensor(gradient)
        rule.step()
    return [parameter.data for parameter in params]


@every_case
def test_every_rule_is_the_textbook_s(name, textbook, options):
    weights, gradients = arrays()
    for position, (got, weight) in enumerate(zip(ours(name, options), weights, strict=True)):
        expected = textbook(weight, [step[position] for step in gradients], **options)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    for got, weight in zip(ours(name, options, np.float32), ours(name, options), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, weight, rtol=1e-4, atol=1e-4)


@every_case
def test_every_rule_is_pytorch_s(name, textbook, options):
    torch = pytest.importorskip("torch")
    weights, gradients = arrays()
    params = [torch.tensor(weight, requires_grad=True) for weight in weights]
    rule = getattr(torch.optim, name)(params, lr=LR, **options)
    for step in gradients:
        for parameter, gradient in zip(params, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        rule.step()
    for got, expected in zip(ours(name, options), params, strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "scheduler", "arguments"),
    [
        (optim.LinearDecay(LR, 30), "LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 30}),
        (optim.LinearDecay(LR, 60, LR / 2), "LinearLR", {"start_factor": 1.0, "end_factor": 0.5, "total_iters": 60}),
        (optim.CosineDecay(LR, 50), "CosineAnnealingLR", {"T_max": 50}),
        (optim.CosineDecay(LR, 80, 0.01), "CosineAnnealingLR", {"T_max": 80, "eta_min": 0.01}),
        (optim.StepDecay(LR, 20, 0.3), "MultiStepLR", {"milestones": [20], "gamma": 0.3}),
        (optim.StepDecay(LR, 7, 0.3, repeated=True), "StepLR", {"step_size": 7, "gamma": 0.3}),
        (optim.WarmUp(LR, 10), "LinearLR", {"start_factor": 0.1, "total_iters": 9}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_every_schedule_is_pytorch_s(schedule, scheduler, arguments):
    torch = pytest.importorskip("torch")
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    clock = getattr(torch.optim.lr_scheduler, scheduler)(rule, **arguments)
    for t in range(STEPS + 1):
        assert math.isclose(schedule(t), rule.param_groups[0]["lr"], rel_tol=1e-9, abs_tol=1e-12), t
        rule.step()
        clock.step()
