"""`trace`: record everything inside a block, then print it, replay it, check it, and ask why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinygan.engine import Tensor
from tinygan.errors import RunError
from tinygan.nn import Module
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused
from tinygan.trace.recorder import Recorder
from tinygan.trace.table import as_table

if TYPE_CHECKING:
    from tinygan.trace.differences import Differences
    from tinygan.trace.replay import Replay
    from tinygan.trace.why import Why
    from tinygan.trace.why_not import WhyNot


class Trace(Recorder):
    """What `trace` recorded. Print it for a table.

    Examples
    --------
    >>> import tinygan as tg
    >>> a, b = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    >>> with tg.trace() as t:
    ...     loss = (a * b).log()
    ...     loss.backward()
    >>> [(row.operation.name, float(row.gradient().array)) for row in t.rows]
    [('multiply', 0.1666666716337204), ('log', 1.0)]
    >>> print(t.replay())
    computed again: 2 results, 2 backward formulas and 3 sums of gradients; all bits are equal
    """

    checked: Differences | None = None  # the result of the last `check`

    def replay(self) -> Replay:
        """Compute every result, backward formula and sum of gradients again, and compare the bits.

        Returns
        -------
        Replay
            True if all bits are equal; print it for the differences.
        """
        from tinygan.trace.replay import replay

        return replay(self)

    def check(self) -> Differences:
        """Compare the backward formula of every row with differences, at the values it had, in float64.

        Returns
        -------
        Differences
            True if no formula is wrong; print it for a table with the worst error of each row.
        """
        from tinygan.trace.differences import check_rows

        self.checked = check_rows(self)
        return self.checked

    def to_json(self) -> str:
        """Return the trace as one JSON object: rows, passes, updates and leaves, with summaries of their values."""
        from tinygan.trace.as_json import as_json

        return as_json(self)

    def why(self, subject: str | int | Tensor, backward_pass: int | None = None) -> Why | WhyNot:
        """Explain a gradient: the chain of formulas from the loss to it, and where it vanishes, grows, ends or joins.

        Parameters
        ----------
        subject : str, int or Tensor
            The name of a parameter or a variable, the number of a row (``"#3"`` or 3), or the tensor itself.
        backward_pass : int, optional
            The number of a pass; by default the newest that reached it.

        Returns
        -------
        Why or WhyNot
            Print it. It is a `WhyNot`, as of `why_not`, if there is no gradient.

        Raises
        ------
        ArgumentError
            The trace holds no such name, row or pass.

        Examples
        --------
        >>> import tinygan as tg
        >>> w, x = tg.tensor(0.5, requires_grad=True, name="w"), tg.tensor(3.0)
        >>> with tg.trace() as t:
        ...     loss = tg.functional.sigmoid(w * x)
        ...     loss.backward()
        >>> [(part.sender.operation.name, round(part.factor, 3)) for part in t.why("w").parts]
        [('sigmoid', 0.149), ('multiply', 3.0)]
        """
        from tinygan.trace.why import why

        return why(self, subject, backward_pass)

    def why_not(self, subject: str | int | Tensor, backward_pass: int | None = None) -> WhyNot:
        """Explain why a parameter or a result has no gradient: the row, its line of code, and what to change.

        Parameters
        ----------
        subject, backward_pass
            As in `why`; by default every pass.

        Returns
        -------
        WhyNot
            Print it.

        Raises
        ------
        ArgumentError
            As in `why`.

        Examples
        --------
        >>> import tinygan as tg
        >>> w = tg.tensor(0.5, requires_grad=True, name="w")
        >>> with tg.trace() as t:
        ...     y = w * 2
        ...     loss = y.detach() * w.exp() * 0 + y.detach()
        >>> [reason.kind for reason in t.why_not("w").reasons]
        ['no pass']
        """
        from tinygan.trace.why_not import why_not

        return why_not(self, subject, backward_pass)

    def html(self, path: str | os.PathLike[str], *, check: bool = False, title: str = "A trace") -> None:
        """Write the trace as a page that plays it: one file that needs no network.

        Parameters
        ----------
        path : path
            The file to create or replace. Its folder must exist.
        check : bool
            Whether to call `check` first, so that the page has its errors.
        title : str

        Raises
        ------
        RunError
            The system refuses to write the file; an earlier file is unchanged.

        Examples
        --------
        >>> import os, tempfile, tinygan as tg
        >>> with tg.trace() as t:
        ...     tg.tensor([1.0, 2.0], requires_grad=True).sum().backward()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     t.html(os.path.join(folder, "step.html"))
        """
        from tinygan.trace.page import as_page

        if check:
            self.check()
        with refused(RunError, f"{Path(path)}: cannot be written", "name a file in a folder that exists and is yours"):
            atomic_write(path, [as_page(self, title).encode()])

    def svg(self) -> str:
        """Return the graph as an SVG picture: modules as boxes, edges with shapes, gradients with their norms."""
        from tinygan.trace.svg import as_svg

        return as_svg(self)

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x: auto">{self.svg()}</div>'

    def __str__(self) -> str:
        return as_table(self, None if self.checked is None else self.checked.verdict)

    def __repr__(self) -> str:
        return f"<trace of {len(self.rows)} operations and {len(self.passes)} backward passes>"


def trace(**modules: Module) -> Trace:
    """Record the forward and backward passes inside a ``with`` block.

    Parameters
    ----------
    **modules : Module
        Names for modules, as in ``tg.trace(D=discriminator)``. Without a name, a module is called by the attribute or
        variable of the code that calls it.

    Returns
    -------
    Trace
        Use it as ``with tg.trace() as t:``.
    """
    return Trace(modules)
