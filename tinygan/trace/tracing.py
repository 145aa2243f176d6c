"""`trace`: record everything inside a block, then print it, replay it, check it, and ask why."""

from __future__ import annotations

from tinygan.nn import Module
from tinygan.trace.recorder import Recorder
from tinygan.trace.table import as_table


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
    """

    def __str__(self) -> str:
        return as_table(self)

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
