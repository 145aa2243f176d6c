"""Nearest neighbours: exact, in blocks of bounded memory, by matrix products.

`nearest_neighbour_ratio` detects the Helvetica scenario of the paper's section 6, in which G maps too many values of z
to the same x: then the distance from each sample to its nearest neighbour goes to 0. `training_distance` detects
copies: samples that are nearer to the training images than new images are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation.blocks import block_sizes, centre, nearest_blocks, row_squares
from tinygan.evaluation.rows import Array, as_rows, check_values, same_columns


def nearest(queries: Any, points: Any) -> tuple[Array, Array]:
    """Find the nearest of `points` to each of `queries`, by Euclidean distance.

    Matrix products find the nearest point, by ``|q - p|^2 = |q|^2 - 2 q.p + |p|^2``; then its distance is computed
    from the difference.

    Parameters
    ----------
    queries : array of shape (n, d)
    points : array of shape (m, d)

    Returns
    -------
    index : int64 array of shape (n,)
        Row of `points`; any of them if several are equally near, up to 1e-9 of the distance.
    distance : float64 array of shape (n,)
        In the units of the data. A distance below 1e-150 may be 0.

    Raises
    ------
    ShapeError
        An argument is not rows, has no rows, or the rows differ in length.
    DataError
        A value is nan or infinite, or too large or too small for its square.

    Examples
    --------
    >>> nearest([[0.0, 1.0], [9.0, 9.0]], [[0.0, 0.0], [10.0, 9.0]])
    (array([0, 1]), array([1., 1.]))
    """
    queries, points = same_columns("nearest", queries=queries, points=points)
    return search("nearest", queries=queries, points=points)


def nearest_neighbour_distances(points: Any) -> Array:
    """Return the distance from each point to the nearest other point; 0 if two coincide.

    Parameters
    ----------
    points : array of shape (n, d)
        At least two.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    ShapeError, DataError
        As in `nearest`, or there is only one point.

    Examples
    --------
    >>> nearest_neighbour_distances([[0.0], [1.0], [3.0]])
    array([1., 1., 2.])
    """
    rows = as_rows("nearest_neighbour_distances", "points", points)
    if len(rows) < 2:
        raise ShapeError("nearest_neighbour_distances: a single point has no neighbour; give two or more")
    return search("nearest_neighbour_distances", points=rows)[1]


def nearest_neighbour_ratio(samples: Any, data: Any) -> float:
    """Return the mean nearest-neighbour distance among samples, divided by that among data.

    The ratio is near 1 if samples are spread like data, near 0 if G collapses, above 1 if samples are spread wider.
    It is the ratio R of Clark and Evans (1954, "Distance to nearest neighbor as a measure of spatial relationships in
    populations"), with the data instead of their uniform population. The mean distance shrinks as the number of points
    grows, so both sets must have the same size. The ratio measures only the spread: use it with a measure of the
    position of the samples, such as `count_modes`.

    Parameters
    ----------
    samples, data : array of shape (n, d)
        Equally many, at least two.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        The two differ in shape, or are not rows.
    DataError
        A value is nan or infinite, or every point of the data coincides with another, so that the mean distance is 0.

    Examples
    --------
    >>> data = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> crowded = [[5.0, 5.0], [5.0, 5.25], [5.25, 5.0], [5.25, 5.25]]
    >>> nearest_neighbour_ratio(crowded, data)
    0.25
    """
    name = "nearest_neighbour_ratio"
    sample_rows, data_rows = as_rows(name, "samples", samples), as_rows(name, "data", data)
    if sample_rows.shape != data_rows.shape:
        raise ShapeError(
            f"{name}: samples and data must have the same shape, got {sample_rows.shape} and {data_rows.shape}; more "
            "points are closer to each other, so give equally many of both"
        )
    if len(sample_rows) < 2:
        raise ShapeError(f"{name}: a single point has no neighbour; give two or more")
    reference = search(name, data=data_rows)[1].mean()
    if reference == 0:
        raise DataError(f"{name}: every point of the data coincides with another, so their mean distance is 0")
    return float(search(name, samples=sample_rows)[1].mean() / reference)


RESAMPLES = 200  # of the bootstrap


@dataclass(frozen=True, eq=False)
class TrainingDistance:
    """How near samples are to the training images, beside test images.

    Attributes
    ----------
    ratio : float
        The median distance from a sample to its nearest training image, divided by that from a test image. Near 1 if
        the samples are as new as the test images, near 0 if they are copies of training images, above 1 if they are
        farther away than data are. It is also below 1 if samples are smoother than data, or if too many of them are of
        a kind whose images are alike.
    standard_error : float
        Of the ratio, by the bootstrap: 200 resamples of the distances.
    samples, test : (int64 array, float64 array), each of shape (n,)
        The row of the nearest training image, and its distance, for each sample and for each test image.
    """

    ratio: float
    standard_error: float
    samples: tuple[Array, Array]
    test: tuple[Array, Array]

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ± {self.standard_error:.2f} times as far from the training images as test images"


def training_distance(samples: Any, train: Any, test: Any, *, stream: Stream | None = None) -> TrainingDistance:
    """Compare the distance of samples to their nearest training image with that of test images.

    Parameters
    ----------
    samples : array of shape (n, d)
    train : array of shape (m, d)
        The rows that G was trained on.
    test : array of shape (k, d)
        Rows of the same kind that it was not trained on.
    stream : Stream, optional
        The source of the bootstrap; by default ``Stream(0, "bootstrap")``.

    Returns
    -------
    TrainingDistance

    Raises
    ------
    ShapeError, DataError
        As in `nearest`, or most test images are also training images, so that their median distance is 0.

    Examples
    --------
    >>> train, test = [[0.0], [1.0], [2.0]], [[0.2], [0.8], [2.2]]
    >>> found = training_distance([[0.1], [1.9]], train, test)
    >>> round(found.ratio, 6), found.samples[0]
    (0.5, array([0, 2]))
    """
    ours, theirs = nearest(samples, train), nearest(test, train)
    reference = float(np.median(theirs[1]))
    if reference == 0:
        raise DataError(
            "training_distance: most test images are also training images, so their median distance is 0; give images "
            "that are not in the training set"
        )
    ratio = float(np.median(ours[1])) / reference
    stream = stream or Stream(0, "bootstrap")
    errors = [_median_error(distances, stream) for _, distances in (ours, theirs)]
    return TrainingDistance(ratio, math.hypot(errors[0], ratio * errors[1]) / reference, ours, theirs)


def _median_error(values: Array, stream: Stream) -> float:
    """Return the standard error of the median of the values, by the bootstrap."""
    medians = [np.median(values[stream.integers(0, len(values), (len(values),))]) for _ in range(RESAMPLES)]
    return float(np.std(medians, ddof=1))


def search(operation: str, **arguments: Array) -> tuple[Array, Array]:
    """Return the nearest rows of the second argument to those of the first; of one argument, the nearest other rows."""
    queries, *others = arguments.values()
    points = others[0] if others else queries
    sizes = block_sizes(len(queries), len(points), points.shape[1], pairs=3, extra=6)
    check_values(operation, sizes[1], **arguments)
    middle = centre(points, sizes[1])
    index = np.empty(len(queries), np.int64)
    distance = np.empty(len(queries))
    for here, found, _ in nearest_blocks(queries, points, 1, sizes, middle, exclude_self=not others):
        index[here] = found[:, 0]
        distance[here] = np.sqrt(row_squares(queries[here], points[index[here]]))
    return index, distance
