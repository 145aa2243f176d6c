"""Look inside a computation: what each operation computed, and how the gradient came back.

`trace` records it. Read `record` (what is recorded), then `recorder` (how), then `table` and `why` (how it is shown).
"""

from tinygan.trace.anomaly import detect_anomaly
from tinygan.trace.tracing import Trace, trace

__all__ = ["Trace", "detect_anomaly", "trace"]
