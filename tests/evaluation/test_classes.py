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


def test_a_generator_of_sevens_is_seen_through() -> None:
    digits = load("digits")
    sevens = digits.test.images[digits.test.labels == 7]
    found = class_coverage(sevens, digits.train.images, digits.train.labels)
    assert found.counts[7] >= 0.9 * len(sevens)
    assert found.total_variation > 0.8


def test_chance_is_as_large_as_it_says() -> None:
    images, labels, n = np.eye(10), np.arange(10), 2000
    seen = [
        class_coverage(images[Stream(seed, "classes").integers(0, 10, (n,))], images, labels).total_variation
        for seed in range(40)
    ]
    assert np.mean(seen) == pytest.approx(math.sqrt(9 / (2 * math.pi * n)), rel=0.15)


def test_the_memory_is_what_the_budget_says() -> None:
    samples, images, budget = normal(3000, 50).astype("f4"), normal(4000, 50, 1).astype("f4"), 1 << 20
    labels = np.arange(4000) % 10
    tracemalloc.start()
    class_coverage(samples, images, labels, budget=budget)
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
