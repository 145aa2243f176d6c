"""Samples come from the prior, and drawing them changes no other state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import nn
from tinygan.backend import Stream, manual_seed
from tinygan.engine import Tensor
from tinygan.gan import Noise, push, sample

seeds = st.integers(0, 2**32 - 1)
NOISE = Noise("gaussian", 3)


def generator():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4), nn.Reshape(2, 2))


@given(seeds, st.integers(1, 30), st.integers(1, 40))
def test_samples_do_not_depend_on_the_batch_size(seed, count, batch):
    manual_seed(seed)
    net = generator()
    images = sample(net, count, NOISE, Stream(seed, "samples"), batch=batch)
    assert type(images) is np.ndarray
    assert images.shape == (count, 2, 2)
    assert images.dtype == np.float32
    net.eval()
    expected = net(Tensor(NOISE.draw(count, Stream(seed, "samples")))).data
    assert np.allclose(images, expected, rtol=1e-5, atol=1e-6)


@given(seeds, st.integers(0, 5))
def test_noise_inside_g_follows_the_stream_of_the_samples(seed, drawn):
    streams = manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.GaussianNoise(0.5, always=True))
    streams["gaussian_noise"].normal((drawn,))
    before = streams.state_dict()

    def samples(stream):
        return sample(net, 5, NOISE, stream)

    first = samples(Stream(seed, "samples"))
    assert np.array_equal(samples(Stream(seed, "samples")), first)
    assert streams.state_dict() == before  # drawing them does not change the training
    z = Tensor(NOISE.draw(5, Stream(seed, "samples")))
    assert not np.allclose(first, net[0](z).data, atol=0.01)
    stream = Stream(seed, "samples")
    two = samples(stream), samples(stream)
    assert not np.array_equal(two[0], two[1])


def test_sampling_uses_evaluation_mode_and_restores_modes():
    net = generator()
    net[2].eval()  # was in evaluation mode before
    sample(net, 2, NOISE, Stream(0, "samples"))
    assert [module.training for module in net.modules()] == [True, True, True, False, True, True]
    net.eval()
    sample(net, 2, NOISE, Stream(0, "samples"))
    assert not any(module.training for module in net.modules())


def test_sampling_restores_the_modes_after_an_error():
    net = generator()
    with pytest.raises(ValueError, match="3 rows"):
        sample(net, 2, Noise("gaussian", 5), Stream(0, "samples"))
    assert all(module.training for module in net.modules())


def test_sampling_uses_its_stream_only_and_records_nothing():
    streams = manual_seed(4)
    net = generator()
    before, weights = streams.state_dict(), net.state_dict()
    sample(net, 5, NOISE, Stream(0, "samples"), batch=2)
    assert streams.state_dict() == before
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(np.array_equal(array, weights[name]) for name, array in net.state_dict().items())


def test_a_stream_goes_on():
    net, stream = generator(), Stream(0, "samples")
    first, second = sample(net, 4, NOISE, stream), sample(net, 4, NOISE, stream)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, sample(net, 4, NOISE, Stream(0, "samples")))


def test_push_maps_given_noise_in_the_mode_the_generator_is_in():
    net = generator().eval()
    z = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    assert np.array_equal(push(net, z), net(Tensor(z)).data)
    net.train()
    assert not np.array_equal(push(net, z), push(net, z))  # dropout


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="sample: count must be an integer of at least 1, got 0"):
        sample(generator(), 0, NOISE, Stream(0, "samples"))
    with pytest.raises(ValueError, match="sample: batch must be an integer of at least 1, got 0"):
        sample(generator(), 1, NOISE, Stream(0, "samples"), batch=0)


def test_a_generator_without_parameters_samples_on_the_cpu():
    samples = sample(nn.Reshape(3, 1), 4, NOISE, Stream(0, "samples"))
    assert np.array_equal(samples[..., 0], NOISE.draw(4, Stream(0, "samples")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "gaussian", "spherical"])
@pytest.mark.parametrize("batch", [1, 3])
def test_many_samples_are_the_bits_of_one_draw(kind, batch):
    """The noise of many samples is drawn in blocks of 1000 batches."""
    noise, count = Noise(kind, 3), 2 * 1000 * batch + 7
    net = nn.Sequential(nn.Linear(3, 1))
    net[0].weight.data[...] = [[1], [2], [4]]
    drawn = sample(net, count, noise, Stream(5, "samples"), batch=batch)
    z = noise.draw(count, Stream(5, "samples"))
    expected = np.concatenate([push(net, z[start : start + batch]) for start in range(0, count, batch)])
    assert np.array_equal(drawn, expected)


def test_batch_norm_in_g_makes_no_sample_depend_on_its_neighbours():
    net = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm(8), nn.ReLU(), nn.Linear(8, 12), nn.Reshape(3, 2, 2), nn.BatchNorm(3)
    )
    for seed in range(3):
        net(Tensor(NOISE.draw(20, Stream(seed, "noise"))))
    before = net.state_dict()
    images = sample(net, 10, NOISE, Stream(0, "samples"))
    for batch in (1, 3):
        others = sample(net, 7, NOISE, Stream(0, "samples"), batch=batch)
        np.testing.assert_allclose(others, images[:7], rtol=1e-5, atol=1e-6)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
