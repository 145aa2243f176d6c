"""Samples get the class of their nearest image."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tests.doubles.small import memory
from tinygan.backend import Stream
from tinygan.data import load
from tinygan.errors import DataError, DtypeError, ShapeError
from tinygan.evaluation import class_coverage


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_the_counts_are_those_of_the_definition(seed: int, n: int, m: int, k: int) -> None:
    samples, images = normal(n, 3, seed), normal(m, 3, seed + 1)
    labels = Stream(seed, "labels").integers(0, k, (m,)) * 7  # any integers, not 0, 1, 2, ...
    found = class_coverage(samples, images, labels)
    given_class = labels[cdist(samples, images).argmin(axis=1)]
    classes = sorted(set(labels.tolist()))
    assert found.classes.tolist() == classes
    assert found.counts.tolist() == [int((given_class == label).sum()) for label in classes]
    assert found.data_counts.tolist() == [int((labels == label).sum()) for label in classes]
    assert found.covered == len(set(given_class.tolist()))
    shares = [(given_class == label).mean() - (labels == label).mean() for label in classes]
    assert found.total_variation == pytest.approx(sum(map(abs, shares)) / 2)


def test_the_data_themselves_have_every_class_in_its_share() -> None:
    train = load("digits").train
    found = class_coverage(train.images, train.images, train.labels)
    assert found.counts.tolist() == found.data_counts.tolist() == np.bincount(train.labels).tolist()
    assert found.total_variation == 0
    assert str(found) == "10 of 10 classes, total variation 0.000 from the data's shares"


def test_a_generator_of_sevens_covers_one_class() -> None:
    digits = load("digits")
    sevens = digits.test.images[digits.test.labels == 7]
    found = class_coverage(sevens, digits.train.images, digits.train.labels)
    assert found.counts[7] >= 0.9 * len(sevens)
    assert found.total_variation > 0.8


def test_equally_near_images_share_a_sample() -> None:
    found = class_coverage([[0.5], [0.2], [3.0]], images=[[0.1], [0.9], [0.1], [3.0]], labels=[1, 2, 3, 3])
    assert found.counts.tolist() == pytest.approx([1 / 3 + 1 / 2, 1 / 3, 1 / 3 + 1 / 2 + 1])
    assert found.covered == 3
    twins = class_coverage([[0.7]] * 6, images=[[0.7]] * 3, labels=[1, 2, 2])
    np.testing.assert_allclose(twins.counts, [2, 4])
    assert twins.total_variation == pytest.approx(0)


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 20), st.randoms())
def test_the_order_of_the_rows_does_not_matter(seed: int, n: int, m: int, random: Any) -> None:
    stream = Stream(seed, "grid")
    samples, images, labels = stream.integers(0, 4, (n, 2)) / 10, stream.integers(0, 4, (m, 2)) / 10, np.arange(m) % 3
    first, second = random.sample(range(n), n), random.sample(range(m), m)
    counts = class_coverage(samples, images, labels).counts
    np.testing.assert_allclose(class_coverage(samples[first], images[second], labels[second]).counts, counts)
    near = cdist(samples, images, "sqeuclidean")
    near = near <= near.min(axis=1, keepdims=True) * (1 + 1e-9)
    shares = near / near.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(counts, [shares[:, labels == label].sum() for label in np.unique(labels)], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e6, 1e12, 1e20])
def test_an_image_far_away_does_not_change_others(dtype: Any, far: float) -> None:
    samples, images, labels = normal(40, 3).astype(dtype), normal(30, 3, 1).astype(dtype), np.arange(31) % 4
    found = class_coverage(samples, np.concatenate([images, np.full((1, 3), far, dtype)]), labels)
    assert found.counts.tolist() == class_coverage(samples, images, labels[:30]).counts.tolist()


@pytest.mark.slow
def test_the_variation_by_chance_is_as_documented() -> None:
    images, labels, n = np.eye(10), np.arange(10), 2000
    seen = [
        class_coverage(images[Stream(seed, "classes").integers(0, 10, (n,))], images, labels).total_variation
        for seed in range(40)
    ]
    assert np.mean(seen) == pytest.approx(math.sqrt(9 / (2 * math.pi * n)), rel=0.15)


@pytest.mark.slow
def test_the_memory_stays_within_the_budget() -> None:
    samples, images, budget = normal(3000, 50).astype("f4"), normal(4000, 50, 1).astype("f4"), 1 << 20
    labels = np.arange(4000) % 10
    tracemalloc.start()
    with memory(budget):
        class_coverage(samples, images, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 16 * len(samples) + 48 * len(images) + 20_000


@pytest.mark.parametrize(
    ("samples", "images", "labels", "error", "message"),
    [
        ([[0.0]], [[0.0], [1.0]], [1], ShapeError, r"labels must have shape \(2,\), one for each .* got shape \(1,\)"),
        ([[0.0]], [[0.0]], [[1]], ShapeError, r"labels must have shape \(1,\), .* got shape \(1, 1\)"),
        ([[0.0]], [[0.0]], [1.0], DtypeError, "labels must be integers, got float64"),
        ([[0.0, 1.0]], [[0.0]], [1], ShapeError, "samples have rows of 2 values, but images have rows of 1"),
        ([[np.nan]], [[0.0]], [1], DataError, "class_coverage: row 0 of samples holds nan or infinity"),
        ([[0.0]], [[0.0], [np.inf]], [1, 2], DataError, "class_coverage: row 1 of images holds nan or infinity"),
    ],
)
def test_refusals(samples: Any, images: Any, labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        class_coverage(samples, images, labels)
