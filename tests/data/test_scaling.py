from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.data import Dataset, Split, as_pixels, load, with_contrast, with_range
from tinygan.data.scaling import contrast_range
from tinygan.errors import ArgumentError, DataError

SHAPE = (2, 3, 3)
PIXELS = math.prod(SHAPE)


def dataset(images: Any, image_shape: tuple[int, ...] = SHAPE) -> Dataset:
    split = Split(images, np.arange(len(images), dtype=np.uint8))
    return Dataset("some", image_shape, split, split, split)


images = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(PIXELS)), elements=st.integers(0, 255).map(lambda n: n / 255)
)


@given(images, st.floats(0.01, 1000))
def test_contrast_is_the_released_formula(pixels: Any, scale: float) -> None:
    found = with_contrast(dataset(pixels), scale)
    x = pixels.astype(np.float64)
    centred = x - x.mean(axis=1)[:, None]
    for image, expected in zip(found.train.images, centred, strict=True):
        norm = math.sqrt((expected**2).sum())
        np.testing.assert_allclose(image, scale * expected / norm if norm > 0 else 0 * expected, atol=1e-5 * scale)


@given(images, st.integers(1, 255), st.integers(-255, 255))
def test_contrast_ignores_units_and_brightness(pixels: Any, factor: int, offset: int) -> None:
    once = with_contrast(dataset(pixels), 55.0).train.images
    other = with_contrast(dataset((factor * pixels + offset).astype(np.float32)), 55.0).train.images
    constant = np.ptp(pixels, axis=1) == 0
    assert not once[constant].any()
    np.testing.assert_allclose(other[~constant], once[~constant], atol=0.02)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 77 / 255])
@pytest.mark.parametrize("size", [1, 7, 784, 3072])
def test_an_image_without_contrast_becomes_0(value: float, size: int) -> None:
    found = with_contrast(dataset(np.full((3, size), value, np.float32), (1, size)), 55.0)
    assert not found.train.images.any()


def test_ranges_are_exact_at_their_ends() -> None:
    pixels = (np.arange(256) / 255).astype(np.float32).reshape(1, 256)
    found = with_range(dataset(pixels, (16, 16)), -1, 1).train
    assert (found.images[0, 0], found.images[0, 255], found.images.dtype) == (-1, 1, np.float32)
    np.testing.assert_allclose(found.images, 2 * pixels.astype(np.float64) - 1, atol=1e-7)
    np.testing.assert_array_equal(with_range(dataset(pixels, (16, 16)), 0, 1).train.images, pixels)


@given(images)
def test_pixels_come_back(pixels: Any) -> None:
    found = with_range(dataset(pixels), -1, 1)
    np.testing.assert_allclose(as_pixels(found.train.images, found.shown), pixels, atol=1e-7)
    assert as_pixels(pixels, (0.0, 1.0)) is pixels


def test_black_and_white_are_three_rms_away() -> None:
    low, high = contrast_range(55.0, 3072)
    assert (low, high) == (-high, pytest.approx(3 * 55 / math.sqrt(3072)))
    assert as_pixels(np.array([low, 0.0, high]), (low, high)).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("scaled", [lambda data: with_range(data, -1, 1), lambda data: with_contrast(data, 55.0)])
def test_everything_else_is_kept(scaled: Callable[[Dataset], Dataset]) -> None:
    digits = load("digits")
    found = scaled(digits)
    for part in ("train", "validation", "test"):
        split, before = getattr(found, part), getattr(digits, part)
        assert (len(split), split.images.flags.writeable) == (len(before), False)
        np.testing.assert_array_equal(split.labels, before.labels)
        assert before.low == 0
    assert (found.name, found.image_shape) == (digits.name, digits.image_shape)
    assert len(found.notes) == 1
    with pytest.raises(DataError, match="digits has been scaled before; expected pixels from 0 to 1"):
        with_range(found, 0, 1)
    with pytest.raises(DataError, match="digits has been scaled before"):
        with_contrast(found, 1.0)


def test_points_are_no_images() -> None:
    for scale in (lambda data: with_range(data, -1, 1), lambda data: with_contrast(data, 1.0)):
        with pytest.raises(DataError, match="gaussian has points of 1 number; expected images"):
            scale(load("gaussian"))


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf, 1e39, 1e-50, True, "55", None])
def test_the_contrast_is_a_positive_number(scale: Any) -> None:
    with pytest.raises(ArgumentError, match=r"with_contrast: scale is .*; expected a number between"):
        with_contrast(load("digits"), scale)


@pytest.mark.parametrize("ends", [(1, -1), (0, 255), (-1, 0), (math.nan, 1), (0, 0)])
def test_only_two_ranges_are_known(ends: Any) -> None:
    with pytest.raises(ArgumentError, match="expected 0 and 1, or -1 and 1"):
        with_range(load("digits"), *ends)


def test_the_memory_stays_near_that_of_the_result() -> None:
    many = dataset(np.zeros((20_000, 300), np.float32), (10, 10, 3))
    tracemalloc.start()
    try:
        found = with_contrast(many, 55.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * found.train.images.nbytes + 1000 * 300 * 8 * 3 + (1 << 20)
