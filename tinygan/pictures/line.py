"""The sample sheet of data that are single numbers: p_data, p_g and D over the line, as in Figure 1 of the paper.

`tinygan.pictures.sheets` draws images. The same samples give the same bytes.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.errors import DtypeError, RunError, ShapeError
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused

BINS = 60  # of the histogram
SIZE, DPI = (6.4, 4.0), 100  # inches, and pixels to an inch
D_COLOUR, G_COLOUR = "tab:blue", "tab:green"

_drawing = threading.Lock()  # the settings of matplotlib belong to the whole process


@contextmanager
def default_settings() -> Iterator[None]:
    """Draw with matplotlib's own settings: those of a user could change the drawing, or call LaTeX."""
    # Only drawing needs matplotlib, which takes longer to import than all of tinygan.
    import matplotlib

    with _drawing, matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def axis_of(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 201 points that span the samples, with a margin at both ends.

    Parameters
    ----------
    samples : array of shape (N, 1)

    Returns
    -------
    float64 array of shape (201,)
        Increasing. Samples that are not finite are ignored; without a finite one the points span -1 to 1.

    Examples
    --------
    >>> axis_of(np.array([[0.0], [2.0]]))[[0, -1]]
    array([-0.1,  2.1])
    """
    x = np.ravel(samples).astype(np.float64)
    x = x[np.isfinite(x)]
    low, high = (float(x.min()), float(x.max())) if x.size else (-1.0, 1.0)
    room = 0.05 * (high - low) or max(1.0, abs(low))
    return np.linspace(low - room, high + room, 201)


def save_line_sheet(
    path: str | os.PathLike[str],
    samples: NDArray[np.floating],
    x: NDArray[np.float64],
    density: NDArray[np.float64] | None = None,
    answers: NDArray[np.float64] | None = None,
) -> None:
    """Draw samples of one number each as a histogram, with p_data and D over them, into one PNG file.

    Parameters
    ----------
    path : path
        The file to write or replace. Its folder must exist.
    samples : numpy.ndarray of floats, shape (N, 1)
        Samples that are nan or infinite are not drawn; the title shows their number.
    x : array of shape (n,)
        Increasing; the picture shows the samples between its ends. See `axis_of`.
    density : array of shape (n,), optional
        p_data at these x.
    answers : array of shape (n,), optional
        D at these x, on a separate axis on the right.

    Raises
    ------
    ShapeError
        The samples are not rows of one number, there are no samples, or a curve does not have one value for each x.
    DtypeError
        The samples are not a NumPy array of floats.
    RunError
        The system refuses to write the file; an earlier file is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> samples = np.random.default_rng(0).normal(size=(500, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_line_sheet(Path(folder, "sheet.png"), samples, axis_of(samples))
    ...     Path(folder, "sheet.png").stat().st_size < 50_000
    True
    """
    if not isinstance(samples, np.ndarray) or not np.issubdtype(samples.dtype, np.floating):
        found = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise DtypeError(f"save_line_sheet: samples is {found}; expected a NumPy array of floats")
    if samples.ndim != 2 or samples.shape[1] != 1 or not len(samples):
        raise ShapeError(f"save_line_sheet: samples has shape {samples.shape}; expected (N, 1), one number a row")
    for name, curve in (("density", density), ("answers", answers)):
        if curve is not None and curve.shape != x.shape:
            raise ShapeError(f"save_line_sheet: {name} has shape {curve.shape}; expected {x.shape}, a value at each x")
    advice = "free space, correct the permissions, or name a file in a folder that exists"
    with refused(RunError, f"{Path(path)}: cannot be written", advice):
        atomic_write(path, [_png(samples[:, 0], x, density, answers)])


def _png(samples: Any, x: Any, density: Any, answers: Any) -> bytes:
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with default_settings():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(x[0], x[-1], BINS + 1)
        finite = samples[np.isfinite(samples)]
        heights = np.histogram(finite, edges)[0] / (len(samples) * np.diff(edges))
        axes.stairs(heights, edges, fill=True, color=G_COLOUR, alpha=0.25)
        axes.stairs(heights, edges, color=G_COLOUR, lw=1.5, label=f"$p_g$, {len(samples):,} samples")
        top = heights.max()
        if density is not None:
            axes.plot(x, density, color="black", ls=":", lw=2, label="$p_{data}$")
            # the density of a collapsed generator is very high: it is cut, so that the other curves can be seen
            top = min(max(top, density.max()), 3 * density.max())
        axes.set(xlabel="x", ylabel="density", xlim=(x[0], x[-1]), ylim=(0, 1.25 * top or 1))
        lines = axes.get_legend_handles_labels()[0]
        if answers is not None:
            right = axes.twinx()
            lines += right.plot(x, answers, color=D_COLOUR, ls="--", lw=2, label="D")
            right.axhline(0.5, color=D_COLOUR, lw=0.6)
            right.set(ylim=(0, 1.05), yticks=[0, 0.5, 1])
            right.set_ylabel("D(x)", color=D_COLOUR)
            right.tick_params(axis="y", colors=D_COLOUR)
        if len(finite) < len(samples):
            axes.set_title(f"{len(samples) - len(finite):,} samples are not finite", color="tab:red")
        axes.legend(handles=lines, loc="upper left", ncols=3, frameon=False)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
