from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.conv_games import LAYERS
from benchmarks.products import Products, peak_product, products_of
from benchmarks.task import SCHEDULES, make_task
from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tinygan.backend import graph
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.engine import Tensor, grad
from tinygan.engine.modes import Observer
from tinygan.errors import CaptureWarning

PRINTED, RELEASED = SCHEDULES["alternating"], SCHEDULES["simultaneous"]


def of_mnist(*overrides: str) -> ExperimentConfig:
    return load_experiment("mnist", overrides)


def flop(config: ExperimentConfig) -> int:
    return sum(product.flop for product in products_of(config, 784))


def test_algorithm_1_as_printed_is_25_products_of_3_57_gflop() -> None:
    products = products_of(of_mnist(*PRINTED), 784)
    assert len(products) == 25
    assert Counter((product.player, product.kind) for product in products) == {
        ("generator", "forward"): 6,
        ("discriminator", "forward"): 6,
        ("discriminator", "weight"): 3,
        ("discriminator", "input"): 5,  # two for D's own weights, three on the way to G
        ("generator", "weight"): 3,
        ("generator", "input"): 2,
    }
    g = 100 * 1200 + 1200 * 1200 + 1200 * 784
    d = 784 * 1200 + 240 * 1200 + 240
    inner_d, inner_g = d - 784 * 1200, g - 100 * 1200
    of_d = 100 * g + 200 * d + 200 * d + 200 * inner_d
    of_g = 100 * g + 100 * d + 100 * d + 100 * g + 100 * inner_g
    assert flop(of_mnist(*PRINTED)) == 2 * (of_d + of_g) == 3_566_784_000


@given(st.integers(1, 5), st.integers(1, 300))
def test_every_update_of_d_adds_the_same_products(k: int, batch: int) -> None:
    config = of_mnist(*PRINTED, f"training.k={k}", f"training.batch={batch}")
    assert len(products_of(config, 784)) == 14 + 11 * k
    first = flop(of_mnist(*PRINTED, "training.batch=1"))
    second = flop(of_mnist(*PRINTED, "training.batch=1", "training.k=2"))
    assert flop(config) == batch * (first + (k - 1) * (second - first))


def test_shared_noise_saves_a_pass_through_both_players() -> None:
    assert len(products_of(of_mnist(*RELEASED), 784)) == 25 - 6


def test_a_convolution_has_the_flop_of_its_definition() -> None:
    found = products_of(load_experiment("cifar10-conv"), 3072)
    of_d = [product.flop for product in found if (product.player, product.kind) == ("discriminator", "forward")]
    assert of_d[:3] == [2 * LAYERS[f"cifar10-conv D{layer}"].flop for layer in (1, 2, 3)]  # data and samples
    of_g = [product.flop for product in found if product.player == "generator" and product.layer == 2]
    assert of_g == 3 * [LAYERS["cifar10-conv G"].flop]
    found = products_of(load_experiment("dcgan-cifar10"), 3072)
    assert found[1].flop == LAYERS["dcgan-32 G1"].flop


def test_products_of_convolutions_are_computed() -> None:
    task = make_task("dcgan-digits", use_data=False, threads=1, overrides=["training.batch=4"])
    contestant = Products(task)
    contestant.iterate()
    found = [product.flop for product in products_of(task.config, 64)]
    assert found == [2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in contestant._calls]


@pytest.mark.slow
@pytest.mark.parametrize(("schedule", "made"), [("alternating", 25), ("simultaneous", 27)])
def test_listed_products_have_the_flop_of_training(schedule: str, made: int) -> None:
    """Watch a game, and count the products of its operations; in the released schedule more are made than listed."""
    task = make_task("mnist", schedule, use_data=False, threads=1)
    game = task.build_game()
    weights = {p.shape for network in (game.generator, game.discriminator) for p in network.parameters() if p.ndim == 2}
    flops = []

    def is_affine(operands: Any) -> bool:
        """Whatever the operation is called: it takes a matrix of weights as its second operand."""
        return len(operands) > 1 and getattr(operands[1], "shape", None) in weights

    class Count(Observer):
        def __init__(self) -> None:
            self.affine: dict[int, Any] = {}

        def forward(self, operation: Any, inputs: Any, result: Any) -> None:
            if is_affine(inputs):
                rows, (n, units) = inputs[0].shape[0], inputs[1].shape
                flops.append(2 * rows * n * units)
                self.affine[id(operation)] = (operation, 2 * rows * n * units)

        def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
            if id(operation) in self.affine:
                flops.extend(self.affine[id(operation)][1] for gradient in gradients[:2] if gradient is not None)

    with Count():
        game.step(task.batches()[0])
    assert len(flops) == made
    assert sum(flops) == sum(product.flop for product in products_of(task.config, 784))


def test_each_product_is_computed_in_the_layout_of_training() -> None:
    task = make_task("digits", use_data=False, threads=1)
    contestant = Products(task)
    contestant.iterate()
    for a, b, out in contestant._calls:
        np.testing.assert_allclose(out, a @ b, rtol=1e-5)
    products = products_of(task.config, 64)
    assert len(contestant._calls) == len(products)
    weights = {(p.player, p.layer): b for p, (_, b, _) in zip(products, contestant._calls, strict=True)
               if p.kind == "forward"}  # fmt: skip
    for product, (a, b, _) in zip(products, contestant._calls, strict=True):
        weight = weights[product.player, product.layer]
        if product.kind == "weight":
            assert a.T.flags.c_contiguous
        else:
            assert b is weight if product.kind == "forward" else b.base is weight
    assert len(contestant.run(3)) == 3


@pytest.mark.skipif(not cuda_on_cpu.COMPILER, reason="no C++ compiler to run the kernels")
def test_products_on_a_gpu_are_one_graph(monkeypatch: Any, tiny: str) -> None:
    monkeypatch.setattr(graph, "load_cublas", Cublas)
    with strict_cupy() as cupy:
        contestant = Products(make_task(tiny, device="cuda", use_data=False))
        for _, _, out in contestant._calls:
            out.fill(0)
        with cupy.gpu.step() as launches:
            contestant.iterate()
        assert launches == {"graph": 1}
        for a, b, out in contestant._calls:
            np.testing.assert_allclose(out.get(), a.get() @ b.get(), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not cuda_on_cpu.COMPILER, reason="no C++ compiler to run the kernels")
def test_products_that_cannot_be_captured_are_launched(monkeypatch: Any, tiny: str) -> None:
    monkeypatch.setattr(graph, "load_cublas", lambda: Cublas(cublasSgemm_v2=13))
    with strict_cupy():
        with pytest.warns(CaptureWarning, match="products cannot be captured .* cublasSgemm_v2 returned status 13"):
            contestant = Products(make_task(tiny, device="cuda", use_data=False))
        monkeypatch.setattr(contestant.xp, "dot", lambda a, b, out: out.__setitem__(slice(None), a @ b), raising=False)
        contestant.iterate()
        for a, b, out in contestant._calls:
            np.testing.assert_allclose(out.get(), a.get() @ b.get(), rtol=1e-4, atol=1e-4)


def test_the_gradients_of_linear_are_the_products_we_count() -> None:
    x, w = np.ones((3, 4), np.float32), np.full((4, 2), 2, np.float32)
    leaves = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    gx, gw = grad((leaves[0] @ leaves[1]).sum(), leaves)
    gy = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(gx.numpy(), np.dot(gy, w.T))
    np.testing.assert_array_equal(gw.numpy(), np.dot(x.T, gy))


def test_the_peak_is_a_speed() -> None:
    assert 0 < peak_product("cpu", size=64, repeats=2) < 1e6


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_products_belong_to_one_player(schedule: str) -> None:
    task = make_task("digits", schedule, use_data=False, threads=1)
    assert {product.player for product in products_of(task.config, 64)} == {"generator", "discriminator"}
