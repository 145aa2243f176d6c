"""The rows of a rank, and streams that draw only these."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.backend import Stream, Streams, get_backend
from tinygan.backend.numpy import NumpyBackend
from tinygan.errors import ShapeError
from tinygan.parallel.shards import RowStream, RowStreams, Share

ranks_and_rows = st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(n, 23)))
DRAWS = {
    "uniform": lambda stream, shape: stream.uniform(shape, -1.0, 2.0),
    "uniform in double precision": lambda stream, shape: stream.uniform(shape, dtype=np.float64),
    "normal": lambda stream, shape: stream.normal(shape),
    "normal in double precision": lambda stream, shape: stream.normal(shape, np.float64),
    "bernoulli": lambda stream, shape: stream.bernoulli(shape, 0.3),
    "certain": lambda stream, shape: stream.bernoulli(shape, 1.0),
    "dropout": lambda stream, shape: NumpyBackend().dropout(np.ones(shape, np.float32), stream, 0.5)[0],
    "dropout of this machine": lambda stream, shape: get_backend("cpu").dropout(
        np.ones(shape, np.float32), stream, 0.5
    )[0],
}


@given(ranks_and_rows)
def test_the_shares_are_all_rows_once_and_nearly_equal(case):
    ranks, rows = case
    shares = [Share.of_rank(rank, ranks, rows) for rank in range(ranks)]
    assert [row for share in shares for row in range(share.first, share.last)] == list(range(rows))
    assert max(share.rows for share in shares) - min(share.rows for share in shares) <= 1
    assert abs(sum(share.weight for share in shares) - 1) < 1e-12


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@given(ranks_and_rows, st.integers(1, 3), st.sampled_from([(), (3,), (2, 5)]), st.integers(0, 2**32))
def test_ranks_together_draw_what_one_process_draws(draw, case, blocks, rest, seed):
    ranks, rows = case
    one = Stream(seed, "dropout")
    expected = [draw(one, (blocks * rows, *rest)).reshape(blocks, rows, *rest) for _ in range(2)]
    for rank in range(ranks):
        share = Share.of_rank(rank, ranks, rows)
        stream = RowStream(seed, "dropout", share)
        for whole in expected:
            found = draw(stream, (blocks * share.rows, *rest)).reshape(blocks, share.rows, *rest)
            assert np.array_equal(found, whole[:, share.first : share.last])
        assert stream.state_dict() == one.state_dict()


@pytest.mark.parametrize("shape", [(), (0, 2), (5, 3)])
def test_a_draw_without_the_rows_of_the_rank_is_refused(shape):
    with pytest.raises(ShapeError, match=r"'noise'.*3 rows.*minibatch of 6"):
        RowStream(0, "noise", Share(0, 3, 6)).uniform(shape)


def test_weights_and_the_order_are_drawn_whole():
    one, ranks = Streams(4), RowStreams(Streams(4), Share(1, 2, 2))
    assert np.array_equal(ranks["order"].permutation(9), one["order"].permutation(9))
    assert np.array_equal(ranks["weights"].normal((3, 3)), one["weights"].normal((3, 3)))
    assert np.array_equal(ranks["noise"].normal((1, 3)), one["noise"].normal((2, 3))[1:])


def test_loaded_streams_go_on_with_the_rows_of_the_rank():
    one = Streams(4)
    one["noise"].uniform((2, 3))
    ranks = RowStreams(Streams(4), Share(1, 2, 2))
    ranks.load_state_dict(one.state_dict())
    assert ranks.state_dict() == one.state_dict()
    assert np.array_equal(ranks["noise"].uniform((1, 3)), one["noise"].uniform((2, 3))[1:])


def test_streams_keep_what_they_have_drawn():
    one, begun = Streams(4), Streams(4)
    for streams in (one, begun):
        streams["order"].permutation(5)
    ranks = RowStreams(begun, Share(0, 1, 2))
    assert ranks.state_dict() == one.state_dict()
    assert np.array_equal(ranks["order"].permutation(5), one["order"].permutation(5))
