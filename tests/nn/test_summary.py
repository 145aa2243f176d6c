"""The table of a network."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
from tinygan import nn
from tinygan.errors import ShapeError


def rows_of(summary):
    """Return the words of each line but the head."""
    return [line.split() for line in str(summary).splitlines()[1:]]


class Conditional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.body = nn.ModuleList([self.first, nn.Linear(4, 4, bias=False)])
        self.table = nn.Embedding(10, 4)
        self.scale = nn.Parameter(np.ones(1, "f4"))
        self.unused = nn.Linear(9, 9)

    def forward(self, x, y):
        x = self.first(x)
        for layer in self.body:
            x = layer(x)
        return (x + self.table(y)) * self.scale


def test_one_row_a_layer_with_shapes_and_parameters():
    net = nn.Sequential(
        nn.Linear(100, 240), nn.Sequential(nn.BatchNorm(240), nn.ReLU()), nn.Linear(240, 784), nn.Reshape(28, 28)
    )
    lines = str(net.summary((64, 100))).splitlines()
    assert lines[0].split() == ["name", "layer", "output", "parameters"]
    found = [(line.split()[0], line[line.index("(6") :].split("  ")[0], line.split()[-1]) for line in lines[1:-1]]
    assert found == [
        ("0", "(64, 240)", "24,240"),
        ("1.0", "(64, 240)", "480"),
        ("1.1", "(64, 240)", "0"),
        ("2", "(64, 784)", "188,944"),
        ("3", "(64, 28, 28)", "0"),
    ]
    assert lines[-1].split() == ["total", "213,664"]
    assert len({len(line) for line in lines}) == 1  # the numbers end in one column
    assert repr(net.summary((64, 100))) == str(net.summary((64, 100)))


def test_shared_and_unused_layers_and_named_inputs():
    net = Conditional()
    rows = rows_of(net.summary((3, 4), y=tg.tensor([1, 2, 3])))
    assert [(row[0], row[-1]) for row in rows] == [
        ("Conditional()", "1"),
        ("first", "20"),
        ("first", "shared"),
        ("body.1", "16"),
        ("table", "40"),
        ("unused", "90"),
        ("total", "167"),
    ]
    assert rows[5][-3:-1] == ["not", "called"]


def test_the_network_is_as_before():
    net = nn.Sequential(nn.BatchNorm(3), nn.SpectralNorm(nn.Linear(3, 3)), nn.Dropout(0.5))
    net[2].eval()
    before = net.state_dict()
    parts = [dict(vars(module)) for module in net.modules()]
    net.summary((2, 3))
    with pytest.raises(ShapeError):
        net.summary((2, 4))
    assert all(vars(module) == part for module, part in zip(net.modules(), parts, strict=True))
    assert [module.training for module in net] == [True, True, False]
    assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())


def test_a_forward_of_one_object_survives():
    layer = nn.Linear(2, 2)
    layer.forward = lambda x: x
    assert rows_of(layer.summary((5, 2)))[0][-3:-1] == ["(5,", "2)"]
    assert layer.forward(3) == 3


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64, 99), r"summary: layer 1\.0, Linear\(100, 240\), does not fit an input of shape \(64, 99\): linear: "),
        ("64x100", r"summary: expected the shape of an input, or a tensor; got '64x100'"),
        (None, r"summary: expected the shape of an input"),
        ((-1, 100), r"summary: expected the shape of an input"),
    ],
)
def test_what_does_not_fit_is_named(shape, message):
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(100, 240)))
    with pytest.raises(ShapeError, match=message):
        net.summary(shape)


def test_a_shape_is_needed():
    with pytest.raises(ShapeError, match="give the shape of the input"):
        nn.Linear(2, 2).summary()


def test_a_module_that_fails_by_itself_is_named():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    with pytest.raises(ShapeError, match=r"summary: Broken\(\) does not fit an input of shape \(2, 2\): no"):
        Broken().summary((2, 2))


def test_print_tells_the_layers_and_the_number_of_parameters():
    net = nn.Sequential(nn.Linear(784, 240), nn.ReLU())
    assert str(net) == f"{net!r}\n188,400 parameters"
    assert "parameters" not in repr(net)
