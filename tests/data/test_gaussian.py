from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from tinygan.data import load, load_gaussian
from tinygan.data.gaussian import gaussian_density


def test_three_splits_of_plain_numbers_that_are_normal() -> None:
    data = load_gaussian()
    assert (data.name, data.image_shape) == ("gaussian", (1,))
    parts = (data.train, data.validation, data.test)
    assert [part.images.shape for part in parts] == [(20_000, 1), (2_000, 1), (2_000, 1)]
    for part in parts:
        assert part.images.dtype == np.float32
        assert not part.labels.any()
        assert kstest(part.images[:, 0], norm.cdf).pvalue > 0.05  # the draws are fixed, so the test is not random
    together = np.concatenate([part.images for part in parts])
    assert len(np.unique(together)) > 0.99 * len(together)  # the splits are different draws


def test_the_same_numbers_each_time_and_by_name() -> None:
    np.testing.assert_array_equal(load("gaussian").train.images, load_gaussian().train.images)


@given(st.lists(st.floats(-50, 50), min_size=1))
def test_the_density_is_that_of_the_draws(x: list[float]) -> None:
    rows = np.array(x)[:, None]
    density = load_gaussian().density
    assert density is gaussian_density
    np.testing.assert_allclose(density(rows), norm.pdf(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["digits"])
def test_pictures_have_no_density(name: str) -> None:
    assert load(name).density is None
