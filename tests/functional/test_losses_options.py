"""The options of losses: targets, reductions, weights, axes of classes, smoothing."""

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan import gradcheck
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, shapes

pytestmark = pytest.mark.slow

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------- reductions and weights


@st.composite
def regressions(draw):
    shape = draw(shapes(min_side=1, max_dims=2))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    limits = ((0.5, 5), (-5, 0.25))  # the difference is never 0
    return Call(tuple(draw(arrays(shape, low=low, high=high)) for low, high in limits), {"reduction": reduction})


def reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


TestMSELoss = operation_test(F.mse_loss, lambda x, t, reduction: reduced((x - t) ** 2, reduction), Calls(regressions()))
TestL1Loss = operation_test(
    F.l1_loss, lambda x, t, reduction: reduced(abs(x - t), reduction), Calls(regressions())
)
LOSSES = {  # of logits (3, 4): a function, the losses without a reduction, and whether a weighted mean is over n
    "mse_loss": (lambda x, **options: F.mse_loss(x, 0.5, **options), lambda x: (x - 0.5) ** 2, False),
    "l1_loss": (lambda x, **options: F.l1_loss(x, np.ones((3, 4), int), **options), lambda x: abs(x - 1), False),
    "a certain target": (
        lambda x, **options: F.binary_cross_entropy_with_logits(x, 1, **options), lambda x: -special.log_expit(x), True,
    ),
    "a target": (
        lambda x, **options: F.binary_cross_entropy_with_logits(x, 0.25, **options),
        lambda x: -0.25 * special.log_expit(x) - 0.75 * special.log_expit(-x), True,
    ),
    "labels": (
        lambda x, **options: F.softmax_cross_entropy(x, [2, 0, 1, 1], axis=0, **options),
        lambda x: -special.log_softmax(x, axis=0)[[2, 0, 1, 1], range(4)], False,
    ),
}  # fmt: skip
LOGITS = np.random.default_rng(1).normal(size=(3, 4))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reductions_and_weights(name, dtype):
    function, expected, over_n = LOSSES[name]
    losses = expected(LOGITS)
    weights = np.linspace(0, 2, losses.size).reshape(losses.shape)
    for given_weight in (None, weights, tg.tensor(weights, dtype=dtype)):
        factor = 1 if given_weight is None else weights
        x = leaf(LOGITS, dtype)
        results = [function(x, reduction=one, weight=given_weight) for one in ("none", "sum", "mean")]
        share = losses.size if over_n or given_weight is None else weights.sum()
        wanted = [factor * losses, (factor * losses).sum(), (factor * losses).sum() / share]
        for result, value in zip(results, wanted, strict=True):
            assert result.dtype == dtype
            np.testing.assert_allclose(result.data, value, rtol=1e-5 if dtype == "float32" else 1e-12)
    if dtype == "float64":
        weight = leaf(weights + 0.1)
        assert gradcheck(lambda x, w: function(x, weight=w), [leaf(LOGITS), weight], order=2)
        assert gradcheck(lambda x, w: function(x, weight=w, reduction="none"), [leaf(LOGITS), weight], order=2)


@pytest.mark.parametrize("name", LOSSES)
def test_options_of_losses_that_do_not_fit(name):
    function = LOSSES[name][0]
    for wrong in ("average", "Mean", None, 1):
        with pytest.raises(ArgumentError, match=r"reduction must be \('mean', 'sum', 'none'\), got"):
            function(leaf(LOGITS), reduction=wrong)
    for weight in (2.0, np.ones(5), np.ones((3, 1)), np.ones((4, 1))):
        with pytest.raises(ShapeError, match="expected one weight for each loss, of shape"):
            function(leaf(LOGITS), weight=weight)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_targets_that_would_broadcast_are_refused(loss):
    for x, t in (((3, 1), (3,)), ((3,), (3, 1)), ((3,), (1,)), ((), (2,))):
        with pytest.raises(ShapeError, match=rf"^{loss.__name__}: expected targets of the shape of the input"):
            loss(leaf(np.zeros(x)), np.zeros(t))
    assert loss(tg.tensor([1, 3]), [0, 1]).dtype == np.float32
    assert loss(leaf([1.0], "float32"), np.zeros(1)).dtype == np.float32


def test_certain_targets_without_a_mean_are_exact():
    x = leaf([INF, -INF, 1000.0, -1000.0])
    assert F.binary_cross_entropy_with_logits(x, 1, "none").data.tolist() == [0, INF, 0, 1000]
    assert F.binary_cross_entropy_with_logits(x, np.zeros(4), "none").data.tolist() == [INF, 0, 1000, 0]


# ---------------------------------------------------------------------- classes on other axes, smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_classes_on_any_axis_with_smoothed_labels(smoothing, axis):
    rng = np.random.default_rng(axis + 5)
    x = rng.normal(size=(2, 3, 2))
    labels = rng.integers(0, x.shape[axis], size=np.delete(x.shape, axis))
    targets = np.moveaxis(np.eye(x.shape[axis])[labels], -1, axis)
    targets = (1 - smoothing) * targets + smoothing / x.shape[axis]
    expected = -(targets * special.log_softmax(x, axis)).sum(axis)
    for reduction in ("none", "mean"):
        y = F.softmax_cross_entropy(leaf(x), labels, axis, smoothing, reduction)
        np.testing.assert_allclose(y.data, reduced(expected, reduction), rtol=1e-12)
    assert gradcheck(lambda x: F.softmax_cross_entropy(x, labels, axis, smoothing), leaf(x), order=2)


def test_one_label_for_one_row_of_logits():
    assert F.softmax_cross_entropy(leaf([0.0, 0.0]), 1, axis=0).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, NAN])
def test_smoothing_beyond_a_probability_is_refused(smoothing):
    with pytest.raises(ArgumentError, match=r"label_smoothing must be in \[0, 1\], got"):
        F.softmax_cross_entropy(leaf([[0.0, 0.0]]), [1], label_smoothing=smoothing)


def test_losses_on_the_double():
    with strict_cupy():
        for name, (function, expected, _) in LOSSES.items():
            if name == "l1_loss":
                continue  # its targets are in host memory
            x = tg.tensor(LOGITS, dtype="float32", device="cuda", requires_grad=True)
            y = function(x, reduction="none")
            y.sum().backward()
            np.testing.assert_allclose(y.numpy(), expected(LOGITS), rtol=1e-5)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.binary_cross_entropy_with_logits])
def test_what_is_no_target_is_refused(loss):
    for wrong in (None, "1", object()):
        with pytest.raises(DtypeError, match=rf"^{loss.__name__}: expected a tensor or an array, got"):
            loss(leaf([1.0]), wrong)
    with pytest.raises(DtypeError, match="cannot make an array of list"):
        loss(leaf([1.0]), [[1.0], [1.0, 2.0]])
