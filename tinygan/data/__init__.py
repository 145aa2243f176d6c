"""Data sets: `load` one by name; each is a `Dataset` of three splits of float32 rows, images in [0, 1] or points."""

from tinygan.data.dataset import Dataset, Split
from tinygan.data.digits import load_digits
from tinygan.data.gaussian import load_gaussian
from tinygan.data.idx import read_idx
from tinygan.data.mnist import load_mnist
from tinygan.data.registry import DATA_SETS, load
from tinygan.data.tfd import load_tfd

__all__ = [
    "DATA_SETS", "Dataset", "Split", "load", "load_digits", "load_gaussian", "load_mnist", "load_tfd", "read_idx",
]  # fmt: skip
