"""What ranks say to each other, and whether a process is one of several."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parallel.helpers import on_ranks
from tinygan.errors import MissingPackageError, ParallelError
from tinygan.parallel import world
from tinygan.parallel.world import SMALL, current, launched

VARIABLES = (*world.SIZES, *world.RANKS)
LAUNCHERS = {
    "mpich": {"PMI_RANK": "0", "PMI_SIZE": "3"},
    "open mpi": {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"},
    "slurm with pmi2": {"SLURM_STEP_NUM_TASKS": "3", "PMI_RANK": "0", "PMI_SIZE": "3"},
    "slurm with pmix": {"SLURM_STEP_NUM_TASKS": "3", "PMIX_RANK": "2"},
}
ALONE = {
    "no launcher": {},
    "one rank": {"PMI_RANK": "0", "PMI_SIZE": "1"},
    "slurm without mpi": {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"},
    "a batch script": {"SLURM_NTASKS": "3", "SLURM_PROCID": "0"},
    "no number": {"PMI_RANK": "0", "PMI_SIZE": ""},
}


@pytest.fixture
def started(monkeypatch):
    """Return a function that sets the variables of a launcher, and what ``import mpi4py`` finds."""

    def start(variables, size=None):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        current.cache_clear()
        package = None
        if size is not None:
            comm = SimpleNamespace(Get_size=lambda: size, Get_rank=lambda: 1)
            package = ModuleType("mpi4py")
            package.MPI = SimpleNamespace(COMM_WORLD=comm, Get_library_version=lambda: "MPICH Version: 5\n")
        monkeypatch.setitem(sys.modules, "mpi4py", package)  # None: it cannot be imported

    yield start
    current.cache_clear()


@pytest.mark.parametrize("variables", LAUNCHERS.values(), ids=LAUNCHERS)
def test_a_launcher_is_seen(started, variables):
    started(variables, size=3)
    assert launched() == 3
    assert (current().rank, current().size) == (1, 3)


@pytest.mark.parametrize("variables", ALONE.values(), ids=ALONE)
def test_a_process_alone_does_not_import_mpi4py(started, variables):
    started(variables)
    assert current() is None


def test_without_mpi4py_the_error_says_what_to_install(started):
    started(LAUNCHERS["mpich"])
    with pytest.raises(MissingPackageError, match=r"3 processes.*pip install 'tinygan\[mpi\]'.*mpiexec"):
        current()


def test_an_mpi4py_of_another_mpi_is_refused(started):
    started(LAUNCHERS["open mpi"], size=1)
    with pytest.raises(ParallelError, match=r"3 processes.*one of 1.*MPICH Version: 5.*mpiexec"):
        current()


shapes = st.sampled_from([(), (1,), (3, 2), (SMALL,), (SMALL // 4, 4), (SMALL - 1,)])
kinds = st.sampled_from(["plain", "transposed", "strided"])


def made(random, shape, kind, dtype):
    """Return an array whose numbers lie in memory in one way or another."""
    if kind == "transposed":
        return random.integers(-9, 9, shape[::-1]).astype(dtype).T
    if kind == "strided" and shape:
        return random.integers(-9, 9, (*shape, 2)).astype(dtype)[..., 1]
    return random.integers(-9, 9, shape).astype(dtype)


@given(
    st.integers(1, 4), st.lists(st.tuples(shapes, kinds, st.sampled_from([np.float32, np.float64])), max_size=5),
    st.integers(0, 2**32),
)  # fmt: skip
def test_the_sum_is_that_of_all_ranks_in_place(ranks, cases, seed):
    def arrays(rank):
        random = np.random.default_rng([seed, rank])
        return [made(random, *case) for case in cases]

    def part(world):
        own = arrays(world.rank)
        world.sum(*own)
        return own

    expected = [sum(parts) for parts in zip(*[arrays(rank) for rank in range(ranks)], strict=True)]
    for found in on_ranks(ranks, part):
        for array, total, (shape, _, dtype) in zip(found, expected, cases, strict=True):
            assert (array.shape, array.dtype) == (shape, dtype)
            assert np.array_equal(array, total)


def test_small_arrays_travel_together():
    def part(world):
        world.sum(*[np.ones(3, np.float32) for _ in range(9)], np.ones((SMALL, 2), np.float32))
        return world.calls

    assert on_ranks(2, part) == [2, 2]


@pytest.mark.parametrize("rank", range(3))
def test_one_other_bit_on_one_rank_is_refused_on_all(rank):
    def part(world):
        arrays = {"the generator's 0.weight": np.ones((3, 3), np.float32), "the generator's 0.bias": np.zeros(3)}
        world.refuse_different(arrays, "step 7, epoch 1")
        if world.rank == rank:
            arrays["the generator's 0.bias"][1] = np.finfo(float).smallest_subnormal
        with pytest.raises(ParallelError, match=r"step 7, epoch 1: the generator's 0\.bias.*rank 0.*rank"):
            world.refuse_different(arrays, "step 7, epoch 1")
        return True

    assert on_ranks(3, part) == [True] * 3
