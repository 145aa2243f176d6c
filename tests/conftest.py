"""Hypothesis for every test: the same examples each time, unless TINYGAN_EXAMPLES asks for more and for new ones."""

import os
import sys

# Products in tests are small, and the tests themselves run side by side: threads inside them only get in the way.
# OpenBLAS reads this when NumPy is loaded.
assert "numpy" not in sys.modules, "NumPy was loaded before the number of its threads was set"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

_asked = os.environ.get("TINYGAN_EXAMPLES")
settings.register_profile(
    "tinygan", deadline=None, derandomize=_asked is None, max_examples=int(_asked or 30), database=None
)
settings.load_profile("tinygan")
