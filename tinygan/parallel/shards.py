"""Which rows of a minibatch a rank has, and random streams that draw only these.

Of m rows, rank r of N has the rows from r m // N to (r + 1) m // N, and its share of every mean is their number / m.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tinygan.backend import Array, Shape, Stream, Streams
from tinygan.errors import ShapeError

WHOLE = ("weights", "order")  # the streams that every rank draws as one process does


class Share(NamedTuple):
    """The rows ``first`` to ``last`` (excluded) of the ``of`` rows of a minibatch."""

    first: int
    last: int
    of: int

    @classmethod
    def of_rank(cls, rank: int, ranks: int, rows: int) -> Share:
        """Return the rows of a rank.

        Examples
        --------
        >>> [Share.of_rank(rank, 3, 100).rows for rank in range(3)]
        [33, 33, 34]
        """
        return cls(rank * rows // ranks, (rank + 1) * rows // ranks, rows)

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return self.last - self.first

    @property
    def weight(self) -> float:
        """The share of these rows in a mean over all rows."""
        return self.rows / self.of

    def take(self, array: Array) -> Array:
        """Return these rows of each block of ``of`` rows, such as data and samples that D judges in one pass.

        Examples
        --------
        >>> import numpy as np
        >>> Share(1, 2, 2).take(np.array([0, 1, 10, 11]))
        array([ 1, 11])
        """
        blocks = array.reshape(-1, self.of, *array.shape[1:])
        return blocks[:, self.first : self.last].reshape(-1, *array.shape[1:])


class RowStream(Stream):
    """A stream whose draws are the rows of a share, out of the draw of one process for all rows.

    Its state is that of the stream of one process.

    Examples
    --------
    >>> whole, part = Stream(0, "noise"), RowStream(0, "noise", Share(1, 2, 2))
    >>> bool((part.uniform((1, 3)) == whole.uniform((2, 3))[1:]).all())
    True
    """

    by_word = False

    def __init__(self, seed: int, name: str, share: Share) -> None:
        super().__init__(seed, name)
        self.share = share

    def uniform(self, shape: Shape, *limits: Any, **options: Any) -> Array:
        """As `Stream.uniform`, for the rows of the share."""
        return self.share.take(super().uniform(self._all_rows(shape), *limits, **options))

    def normal(self, shape: Shape, *dtype: Any, **options: Any) -> Array:
        """As `Stream.normal`, for the rows of the share."""
        return self.share.take(super().normal(self._all_rows(shape), *dtype, **options))

    def bits16(self, shape: Shape) -> Array:
        """As `Stream.bits16`, for the rows of the share."""
        return self.share.take(super().bits16(self._all_rows(shape)))

    def _all_rows(self, shape: Shape) -> Shape:
        blocks, rest = divmod(shape[0] if shape else 0, self.share.rows)
        if rest or not blocks:
            raise ShapeError(
                f"stream {self.name!r}: a draw of shape {shape} on a rank that has {self.share.rows} rows of the "
                f"minibatch of {self.share.of}; expected a multiple of {self.share.rows} rows"
            )
        return blocks * self.share.of, *shape[1:]


class RowStreams(Streams):
    """The streams of a training on several ranks: all but those in `WHOLE` draw the rows of a share.

    Parameters
    ----------
    streams : Streams
        Those of the same training in one process; their streams in use are kept.
    share : Share
    """

    def __init__(self, streams: Streams, share: Share) -> None:
        self.seed, self._streams, self.share = streams.seed, streams._streams, share

    def __getitem__(self, name: str) -> Stream:
        if name not in self._streams and name not in WHOLE:
            self._streams[name] = RowStream(self.seed, name, self.share)
        return super().__getitem__(name)

    def load_state_dict(self, state: Any) -> None:
        """As `Streams.load_state_dict`."""
        for name in state["streams"]:
            self[name]  # it keeps its kind
        super().load_state_dict(state)
