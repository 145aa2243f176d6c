"""Data sets: `load` one by name, or make one of your own images by `from_folder` or `from_arrays`.

Each is a `Dataset` of three splits of float32 rows: images in [0, 1], or points. `with_range` and `with_contrast` scale
the images in another way.
"""

from tinygan.data.batches import batches
from tinygan.data.cifar10 import load_cifar10
from tinygan.data.dataset import Dataset, Split
from tinygan.data.digits import load_digits
from tinygan.data.folder import from_folder
from tinygan.data.gaussian import load_gaussian
from tinygan.data.idx import read_idx
from tinygan.data.mnist import load_mnist
from tinygan.data.own import from_arrays, from_file
from tinygan.data.registry import DATA_SETS, load
from tinygan.data.scaling import as_pixels, with_contrast, with_range
from tinygan.data.tfd import load_tfd

__all__ = [
    "DATA_SETS", "Dataset", "Split", "as_pixels", "batches", "from_arrays", "from_file", "from_folder", "load",
    "load_cifar10", "load_digits", "load_gaussian", "load_mnist", "load_tfd", "read_idx", "with_contrast", "with_range",
]  # fmt: skip
