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
    agreement : float or None
        The share of the samples that have the class asked for.
    """

    classes: Array
    counts: Array
    data_counts: Array
    agreement: float | None = None

    @property
    def agreement_error(self) -> float | None:
        """The standard error of `agreement`, that of a share of independent samples."""
        share = self.agreement
        return None if share is None else float(np.sqrt(share * (1 - share) / self.counts.sum()))

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


def class_coverage(samples: Any, images: Any, labels: Any, asked: Any = None) -> ClassCoverage:
    """Count the samples of each class; a sample has the class of its nearest image.

    Parameters
    ----------
    samples : array of shape (n, d)
    images : array of shape (m, d)
        Training images: the classes that G could have learnt.
    labels : integer array of shape (m,)
        The class of each image.
    asked : integer array of shape (n,), optional
        Of a conditional generator: the label that each sample was drawn with.

    Returns
    -------
    ClassCoverage

    Raises
    ------
    ShapeError
        Samples and images are not rows of one length, or there is not one label for each image or sample.
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
    shares = list(nearest_shares(samples, images, positions, sizes, centre(images, sizes[1])))
    counts = sum((block.sum(axis=0) for block in shares), np.zeros(len(classes)))
    if asked is None:
        return ClassCoverage(classes, counts, data_counts)
    asked = np.asarray(asked)
    if asked.shape != samples.shape[:1]:
        raise ShapeError(f"{name}: asked must have shape {samples.shape[:1]}, one for each sample, got {asked.shape}")
    right = np.concatenate(shares)[asked[:, None] == classes].sum()  # 0 for a class that no image has
    return ClassCoverage(classes, counts, data_counts, float(right / len(samples)))
