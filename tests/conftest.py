"""Hypothesis for every test: the same examples each time, unless TINYGAN_EXAMPLES asks for more and for new ones."""

import os

from hypothesis import settings

_asked = os.environ.get("TINYGAN_EXAMPLES")
settings.register_profile(
    "tinygan", deadline=None, derandomize=_asked is None, max_examples=int(_asked or 30), database=None
)
settings.load_profile("tinygan")
