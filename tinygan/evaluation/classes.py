"""Class coverage: which classes of the data the samples belong to, and in which shares.

`count_modes` needs known modes, which real pictures do not have. Here a sample gets the class of its nearest picture,
so no trained classifier is needed. But the nearest picture in pixels may not look similar, and every sample gets a
class, even if it looks like no picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.errors import DtypeError, ShapeError
from tinygan.evaluation.blocks import block_sizes, centre, nearest_shares
from tinygan.evaluation.rows import Array, check_values, same_columns


@dataclass(frozen=True, eq=False)
class ClassCoverage:
    """The number of samples of each class.

    Attributes
    ----------
    classes : array of shape (K,)
        The labels that occur in the data, in ascending order.
    counts : float64 array of shape (K,)
        Samples of each class. If its nearest images tie, a sample belongs to their classes in equal shares.
    data_counts : int64 array of shape (K,)
        Images of each class.
    """

    classes: Array
    counts: Array
    data_counts: Array

    @property
    def covered(self) -> int:
        """The number of classes that have at least one sample, or a share of one."""
        return int(np.count_nonzero(self.counts))

    @property
    def total_variation(self) -> float:
        """Half the sum of the differences between the samples' shares and the data's: 0 if equal, 1 if disjoint.

        For n independent draws from K classes of equal size it is near sqrt((K - 1) / (2 pi n)): 0.012 for 10,000
        samples of ten classes.
        """
        shares, data_shares = self.counts / self.counts.sum(), self.data_counts / self.data_counts.sum()
        return float(np.abs(shares - data_shares).sum() / 2)

    def __str__(self) -> str:
        return (
            f"{self.covered} of {len(self.classes)} classes, "
            f"total variation {self.total_variation:.3f} from the data's shares"
        )


def class_coverage(samples: Any, images: Any, labels: Any) -> ClassCoverage:
    """Count the samples of each class; a sample has the class of its nearest image.

    Parameters
    ----------
    samples : array of shape (n, d)
    images : array of shape (m, d)
        Training images: the classes that G could have learnt.
    labels : integer array of shape (m,)
        The class of each image.

    Returns
    -------
    ClassCoverage

    Raises
    ------
    ShapeError
        Samples and images are not rows of one length, or there is not one label for each image.
    DtypeError
        The labels are not integers.
    DataError
        A sample or an image holds nan or infinity, or values too large or too small for their squares.

    Examples
    --------
    >>> found = class_coverage([[0.1], [0.2], [0.9]], images=[[0.0], [1.0], [5.0]], labels=[3, 7, 8])
    >>> print(found)
    2 of 3 classes, total variation 0.333 from the data's shares
    >>> found.classes, found.counts
    (array([3, 7, 8]), array([2., 1., 0.]))
    """
    name = "class_coverage"
    samples, images = same_columns(name, samples=samples, images=images)
    labels = np.asarray(labels)
    if labels.shape != images.shape[:1]:
        raise ShapeError(
            f"{name}: labels must have shape {images.shape[:1]}, one for each image, got shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"{name}: labels must be integers, got {labels.dtype}")
    classes, positions, data_counts = np.unique(labels, return_inverse=True, return_counts=True)
    extra = 12 + 5 * len(classes)
    sizes = block_sizes(len(samples), len(images), images.shape[1], pairs=3, extra=extra)
    check_values(name, sizes[1], samples=samples, images=images)
    counts = np.zeros(len(classes))
    for shares in nearest_shares(samples, images, positions, sizes, centre(images, sizes[1])):
        counts += shares.sum(axis=0)
    return ClassCoverage(classes, counts, data_counts)
