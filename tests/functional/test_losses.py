import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan import gradcheck
from tinygan.errors import ArgumentError, DeviceError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, shapes

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def bce(logits, targets):
    return np.mean(-targets * special.log_expit(logits) - (1 - targets) * special.log_expit(-logits))


def cross_entropy(logits, labels):
    return -np.mean(special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels])


# ---------------------------------------------------------------------- binary cross-entropy

TARGETS = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@st.composite
def answers(draw):
    """Logits, and targets of their shape or one target for all, with gradients of both."""
    a = draw(shapes(min_side=1, max_dims=2))
    t = draw(st.sampled_from([a, ()]))
    return Call((draw(arrays(a, low=-20, high=20)), draw(arrays(t, low=0.125, high=0.875))))  # differences in [0, 1]


TestBinaryCrossEntropy = operation_test(
    F.binary_cross_entropy_with_logits,
    bce,
    Calls(
        answers(),
        (
            Call((np.array(0.5), np.array(0.25))),
            Call((np.array([3.0, -3.0]), np.array(0.5))),
            Call((np.array([[2.0, -1.0]]), np.array([[0.75, 0.5]]))),
        ),
    ),
    rtol=1e-10,
)


@st.composite
def certain_answers(draw):
    logits = draw(arrays(shapes(min_side=1), low=-30, high=30))
    return Call((logits,), {"targets": draw(st.sampled_from([0, 1, 0.0, 1.0]))})


TestBinaryCrossEntropyWithANumber = operation_test(
    F.binary_cross_entropy_with_logits, bce, Calls(certain_answers()), rtol=1e-10
)


@pytest.mark.parametrize("target", [0, 1, 0.3, np.float64(1.0), np.array(0.0), True])
def test_a_number_as_target_stays_float32(target):
    logits = leaf([0.0, 2.0], "float32")
    loss = F.binary_cross_entropy_with_logits(logits, target)
    loss.backward()
    assert loss.dtype == logits.grad.dtype == np.float32
    assert loss.item() == pytest.approx(bce(logits.data, float(target)), rel=1e-6)


@given(x=arrays((4,), low=-30, high=30), t=TARGETS)
def test_a_number_and_an_array_of_it_are_the_same(x, t):
    targets = (t, np.full(4, t), tg.tensor(np.full(4, t)))
    losses = [F.binary_cross_entropy_with_logits(leaf(x), target) for target in targets]
    assert losses[1].item() == losses[2].item() == pytest.approx(losses[0].item(), rel=1e-14)


@pytest.mark.parametrize(
    ("logit", "target", "loss", "slope"),
    [
        (INF, 1, 0, 0),
        (-INF, 0, 0, 0),
        (INF, 0, INF, 1),
        (-INF, 1, INF, -1),
        (1000.0, 1, 0, 0),
        (1000.0, 0, 1000, 1),
        (-1000.0, 1, 1000, -1),
        (0.0, 1, np.log(2), -0.5),
        (-0.0, 0.5, np.log(2), 0),
    ],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_certain_answers(logit, target, loss, slope, as_array):
    x = leaf([logit])
    with np.errstate(all="ignore"):
        result = F.binary_cross_entropy_with_logits(x, np.array([float(target)]) if as_array else target)
        result.backward()
    assert result.item() == pytest.approx(loss)
    assert x.grad.data.tolist() == pytest.approx([slope])


def test_nan_stays_nan():
    assert np.isnan(F.binary_cross_entropy_with_logits(leaf([NAN, 0.0]), 1).item())


def test_integer_targets():
    assert gradcheck(F.binary_cross_entropy_with_logits, [leaf([1.0, -2.0]), tg.tensor([1, 0])], order=2)


def test_third_order_of_binary_cross_entropy():
    assert gradcheck(F.binary_cross_entropy_with_logits, [leaf([1.0, -2.0]), leaf([0.3, 0.7])], order=3)


@pytest.mark.parametrize(
    ("logits", "targets"),
    [((2,), (3,)), ((3, 1), (3,)), ((3,), (3, 1)), ((3,), (1,)), ((1,), (3,)), ((), (1,)), ((0,), (2,))],
)
@pytest.mark.parametrize("wrap", [np.asarray, leaf])
def test_shapes_of_targets_that_do_not_fit(logits, targets, wrap):
    with pytest.raises(ShapeError) as caught:
        F.binary_cross_entropy_with_logits(leaf(np.zeros(logits)), wrap(np.ones(targets)))
    assert f"targets of the shape of the logits, {logits}, or one number; got {targets}." in str(caught.value)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, NAN, INF, 2, -1, np.nextafter(1, 2)])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        np.float64,
        np.array,
        tg.tensor,
        lambda t: np.array([0.0, t, 1.0]),
        lambda t: tg.tensor(np.array([0.5, 0.5, t])),
        lambda t: leaf([t, 0.0, 0.0]),
    ],
)
def test_targets_that_are_no_probabilities(wrong, wrap):
    targets = wrap(wrong)
    if getattr(targets, "dtype", None) == np.float32 and wrong == np.nextafter(1, 2):
        return  # it is 1 there
    with pytest.raises(ArgumentError, match=r"^binary_cross_entropy_with_logits: targets are probabilities, .*; got"):
        F.binary_cross_entropy_with_logits(leaf([0.0, 1.0, 2.0]), targets)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64"])
@pytest.mark.parametrize("wrap", [tg.tensor, np.asarray, lambda x: x.tolist()])
def test_losses_of_integer_logits_are_float32(dtype, wrap):
    logits = np.array([[1, 0], [0, 1]], dtype)
    wide = logits.astype(float)
    for target in (0, 1, 0.3, np.array([[0.5, 0.5], [1.0, 0.0]])):
        loss = F.binary_cross_entropy_with_logits(wrap(logits), target)
        assert loss.dtype == np.float32
        assert loss.item() == pytest.approx(bce(wide, np.asarray(target)), rel=1e-6)
    loss = F.softmax_cross_entropy(wrap(logits), [1, 0])
    assert loss.dtype == np.float32
    assert loss.item() == pytest.approx(cross_entropy(wide, np.array([1, 0])), rel=1e-6)


@pytest.mark.parametrize("create_graph", [False, True])
def test_losses_of_more_elements_than_half_precision_counts(create_graph):
    n = 70_000
    losses = {
        "a number": lambda x: F.binary_cross_entropy_with_logits(x, 1),
        "an array": lambda x: F.binary_cross_entropy_with_logits(x, np.ones(x.shape)),
        "labels": lambda x: F.softmax_cross_entropy(x, np.zeros(len(x), int)),
    }
    for name, function in losses.items():
        x = tg.tensor(np.zeros((n, 2)), dtype="float16", requires_grad=True)
        (gradient,) = tg.grad(function(x), [x], create_graph=create_graph)
        expected = -0.5 / n if name == "labels" else -0.5 / (2 * n)
        assert gradient.dtype == np.float16
        np.testing.assert_allclose(gradient.data[:, 0].astype(float), expected, rtol=0.02)


def test_more_classes_than_half_precision_counts():
    x = tg.tensor(np.zeros((1, 5000)), dtype="float16", requires_grad=True)
    loss = F.softmax_cross_entropy(x, [0])
    loss.backward()
    assert loss.item() == pytest.approx(np.log(5000), rel=1e-3)
    assert float(x.grad.data[0, 1]) == pytest.approx(1 / 5000, rel=1e-2)


# ---------------------------------------------------------------------- softmax cross-entropy


@st.composite
def classifications(draw):
    m, classes = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=m, max_size=m))
    return Call((draw(arrays((m, classes), low=-10, high=10)),), {"labels": np.array(labels)})


TestSoftmaxCrossEntropy = operation_test(
    F.softmax_cross_entropy,
    cross_entropy,
    Calls(classifications(), (Call((np.zeros((2, 3)),), {"labels": np.array([2, 0])}),)),
    rtol=1e-10,
)


@pytest.mark.parametrize("labels", [np.array([1, 0]), tg.tensor([1, 0]), [1, 0], np.array([1, 0], np.uint8)])
def test_labels_of_every_kind(labels):
    logits = leaf([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert F.softmax_cross_entropy(logits, labels).item() == pytest.approx(cross_entropy(logits.data, [1, 0]))


def test_softmax_cross_entropy_does_not_overflow():
    logits = leaf([[1000.0, 0.0], [-1000.0, 0.0]])
    loss = F.softmax_cross_entropy(logits, np.array([1, 1]))
    loss.backward()
    assert loss.item() == 500
    assert logits.grad.data.tolist() == [[0.5, -0.5], [0, 0]]


def test_an_impossible_class():
    logits = leaf([[-INF, 0.0], [-INF, 1.0]])
    with np.errstate(all="ignore"):
        loss = F.softmax_cross_entropy(logits, np.array([1, 1]))
        loss.backward()
    assert loss.item() == 0
    assert logits.grad.data.tolist() == [[0, 0], [0, 0]]


def test_the_gradient_sums_to_zero_over_classes():
    logits = leaf(np.random.default_rng(0).standard_normal((5, 4)))
    F.softmax_cross_entropy(logits, np.array([0, 1, 2, 3, 0])).backward()
    assert np.allclose(logits.grad.data.sum(axis=1), 0, atol=1e-16)


def test_third_order_of_softmax_cross_entropy():
    assert gradcheck(lambda x: F.softmax_cross_entropy(x, np.array([1])), leaf([[0.3, -1.0, 2.0]]), order=3)


@pytest.mark.parametrize(
    ("shape", "labels", "error", "message"),
    [
        (
            (2, 3),
            [0, 3],
            ShapeError,
            "softmax_cross_entropy: labels must be in 0 ... 2, the size of axis 1 of the logits; got 0 ... 3",
        ),
        (
            (2, 3),
            [-1, 0],
            ShapeError,
            "softmax_cross_entropy: labels must be in 0 ... 2, the size of axis 1 of the logits; got -1 ... 0",
        ),
        (
            (2, 3),
            [0, 1, 2],
            ShapeError,
            "softmax_cross_entropy: expected labels of the shape of the logits without the axis of classes: (2,), "
            "got (3,); the logits have shape (2, 3), and their axis 1 the classes",
        ),
        (
            (3,),
            [0, 1, 2],
            ShapeError,
            "softmax_cross_entropy: axis 1 does not exist in logits of shape (3,)",
        ),
        (
            (2, 3, 4),
            [0, 1],
            ShapeError,
            "softmax_cross_entropy: expected labels of the shape of the logits without the axis of classes: (2, 4), "
            "got (2,); the logits have shape (2, 3, 4), and their axis 1 the classes",
        ),
        (
            (2, 3),
            [[0], [1]],
            ShapeError,
            "softmax_cross_entropy: expected labels of the shape of the logits without the axis of classes: (2,), "
            "got (2, 1); the logits have shape (2, 3), and their axis 1 the classes",
        ),
        ((2, 3), [0.0, 1.0], DtypeError, "softmax_cross_entropy: labels must be integers, not float64"),
        (
            (),
            [0],
            ShapeError,
            "softmax_cross_entropy: axis 1 does not exist in logits of shape ()",
        ),
    ],
)
def test_labels_that_do_not_fit(shape, labels, error, message):
    with pytest.raises(error) as caught:
        F.softmax_cross_entropy(leaf(np.zeros(shape)), np.array(labels))
    assert str(caught.value) == message


# ---------------------------------------------------------------------- no rows at all


def test_losses_of_nothing_are_nan_and_their_gradients_empty():
    for function, logits in (
        (lambda x: F.binary_cross_entropy_with_logits(x, 1), leaf(np.zeros((0, 3)))),
        (lambda x: F.softmax_cross_entropy(x, np.zeros(0, int)), leaf(np.zeros((0, 3)))),
    ):
        with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
            loss = function(logits)
        loss.backward()
        assert np.isnan(loss.item())
        assert logits.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float64"])
@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor])
def test_targets_never_promote_the_loss(dtype, wrap):
    logits = tg.tensor([0.5, -1.0], requires_grad=True)
    targets = wrap(np.array([1, 0], dtype))
    if isinstance(targets, tg.Tensor) and dtype == "float64":
        return  # a float64 tensor keeps its dtype
    loss = F.binary_cross_entropy_with_logits(logits, targets)
    loss.backward()
    assert (loss.dtype, logits.grad.dtype) == ("float32", "float32")
    expected = (np.log1p(np.exp(-0.5)) + np.log1p(np.exp(-1.0))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_labels_on_another_device_are_refused():
    with strict_cupy():
        logits = tg.tensor([[0.0, 0.0]], device="cuda")
        with pytest.raises(DeviceError, match=r"softmax_cross_entropy: the labels are on another device.* 'cuda'"):
            F.softmax_cross_entropy(logits, np.array([1]))
