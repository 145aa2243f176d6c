"""Batch normalization over the rows of all ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.parallel.helpers import on_ranks
from tinygan import nn
from tinygan.parallel.batch_norm import SyncBatchNorm
from tinygan.parallel.shards import Share


def layer(x, affine=True, track=True):
    """Return a layer in double precision, with weights that differ."""
    made = nn.BatchNorm(x.shape[1], affine=affine, track_running_stats=track)
    for number, tensor in enumerate(made._named_tensors("")):
        if tensor[1].dtype == np.float32:
            tensor[1].data = tensor[1].data.astype(np.float64) + number / 8
    return made


def results(made, x, weight):
    """Return y, the gradients of a loss, those of their squares, and the state of the layer."""
    x = tg.tensor(x, requires_grad=True)
    y = made(x)
    inputs = [x, *made.parameters()]
    first = tg.grad((y * tg.tensor(weight)).sum(), inputs, create_graph=True)
    slope = first[0]
    second = tg.grad((slope * slope * tg.tensor(weight)).sum(), inputs, allow_unused=True)
    of_rows = [y.numpy(), slope.numpy(), second[0].numpy()]
    of_all = [g.numpy() for g in (*first[1:], *second[1:]) if g is not None]
    return of_rows, of_all, made.state_dict()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("image", [(), (2, 3)], ids=["vectors", "images"])
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**32))
def test_ranks_compute_what_one_process_computes(affine, image, ranks, more, seed):
    random, rows = np.random.default_rng(seed), ranks + more + 1
    x, weight = random.normal(3.0, 2.0, (2, rows, 3, *image))
    of_rows, of_all, state = results(layer(x, affine), x, weight)

    def part(world):
        share = Share.of_rank(world.rank, world.size, rows)
        made = SyncBatchNorm.convert_sync_batchnorm(layer(x, affine), world, share)
        return results(made, share.take(x), share.take(weight))

    found = on_ranks(ranks, part)
    for position, expected in enumerate(of_rows):
        together = np.concatenate([rank[0][position] for rank in found])
        assert np.allclose(together, expected, rtol=1e-9, atol=1e-9)
    for position, expected in enumerate(of_all):  # each rank has its part of the sum
        assert np.allclose(sum(rank[1][position] for rank in found), expected, rtol=1e-9, atol=1e-9)
    for _, _, own in found:
        assert own.keys() == state.keys()
        assert all(np.allclose(own[name], state[name], rtol=1e-12) for name in state)


def test_evaluation_and_other_layers_send_nothing():
    x = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2), nn.LayerNorm(2))
    expected = network.eval()(x).numpy()

    def part(world):
        SyncBatchNorm.convert_sync_batchnorm(network, world, Share(0, 4, 4))
        return network(x).numpy(), world.calls

    [(found, calls)] = on_ranks(1, part)
    assert np.array_equal(found, expected)
    assert calls == 0


def test_one_value_a_channel_over_all_ranks_is_refused():
    def part(world):
        SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm(2), world, Share(0, 1, 1))(np.ones((1, 2), np.float32))

    with pytest.raises(tg.errors.ShapeError, match="2 values"):
        on_ranks(1, part)
