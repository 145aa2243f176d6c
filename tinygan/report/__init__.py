"""The report of a training run: one HTML page with its samples, curves and numbers."""
