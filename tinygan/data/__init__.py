"""Data sets: `load` one by name; each is a `Dataset` of three splits of flat float32 images in [0, 1]."""

from tinygan.data.dataset import Dataset, Split
from tinygan.data.digits import load_digits
from tinygan.data.idx import read_idx
from tinygan.data.mnist import load_mnist
from tinygan.data.registry import LOADERS, load

__all__ = ["LOADERS", "Dataset", "Split", "load", "load_digits", "load_mnist", "read_idx"]
