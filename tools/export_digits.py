"""Write tinygan/data/digits.npz from scikit-learn's copy of the UCI digits.

Usage: python tools/export_digits.py [FILE]

The same scikit-learn data give the same bytes each time: np.savez writes every member with the same fixed date. Only
another version of the zlib library may compress them differently. See tinygan/data/DIGITS.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

DESTINATION = Path(__file__).resolve().parents[1] / "tinygan" / "data" / "digits.npz"


def export(destination: Path) -> None:
    """Write the 1,797 images, 8x8 = 64 pixel counts 0 to 16 each, and their labels, all as uint8."""
    try:
        from sklearn.datasets import load_digits  # type: ignore
    except ImportError:
        sys.exit("export_digits: needs scikit-learn, which is not installed: pip install scikit-learn")
    digits = load_digits()
    images, labels = digits.data.astype(np.uint8), digits.target.astype(np.uint8)
    if images.shape != (1797, 64) or images.max() != 16 or (images != digits.data).any():
        sys.exit(
            "export_digits: expected 1797 x 64 whole pixel counts 0 to 16 from scikit-learn, found "
            f"{digits.data.shape} with maximum {digits.data.max()}; this is another copy of the data"
        )
    np.savez_compressed(destination, images=images, labels=labels)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DESTINATION
    export(target)
    print(f"{target}: {target.stat().st_size} bytes")
