"""What ranks say to each other, and whether a process is one of several."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.installed import strict_cupy
from tests.parallel.helpers import on_ranks
from tinygan.backend import get_backend
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


def comm_of(rank, size, here=(0, 1)):
    """Return a communicator; `here` are the rank and the size on this machine."""
    local = SimpleNamespace(Get_rank=lambda: here[0], Get_size=lambda: here[1])
    return SimpleNamespace(
        Get_rank=lambda: rank, Get_size=lambda: size, Split_type=lambda _: local, allgather=lambda value: [value] * size
    )


def fake_mpi4py(comm, library="MPICH Version:      5.0\nmore"):
    package, begun = ModuleType("mpi4py"), []
    package.rc = lambda initialize, finalize: None
    package.MPI = SimpleNamespace(
        COMM_WORLD=comm,
        COMM_TYPE_SHARED=1,
        IN_PLACE=None,
        Get_library_version=lambda: library,
        Is_initialized=lambda: bool(begun),
        Init_thread=lambda: begun.append(True),
        begun=begun,
    )
    return package


@pytest.fixture
def started(monkeypatch):
    """Return a function that sets the variables of a launcher, and what ``import mpi4py`` finds."""

    def start(variables, size=None, library="Open MPI v5"):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        current.cache_clear()
        package = None
        if size is not None:
            package = fake_mpi4py(comm_of(1, size), library)
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


OTHER = [("open mpi", 1), ("slurm with pmix", 3), ("mpich", 1)]


@pytest.mark.parametrize(("launcher", "size"), OTHER)
def test_the_launcher_of_another_mpi_is_refused(launcher, size, started):
    started(LAUNCHERS[launcher], size, library="Open MPI v5" if launcher == "mpich" else "MPICH Version: 5")
    with pytest.raises(ParallelError, match=r"3 processes.*another MPI.*mpiexec.*srun --mpi=pmi2"):
        current()
    assert bool(sys.modules["mpi4py"].MPI.begun) == (launcher != "slurm with pmix")  # MPICH would end the process


shapes = st.sampled_from([(), (1,), (3, 2), (SMALL,), (SMALL // 4, 4), (SMALL - 1,)])
kinds = st.lists(st.sampled_from(["plain", "transposed", "strided"]), min_size=1, max_size=3)  # of the ranks


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
        return [made(random, shape, kinds[rank % len(kinds)], dtype) for shape, kinds, dtype in cases]

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


@pytest.mark.parametrize(
    ("gpus", "available", "used", "nccl"), [(2, True, 1, True), (2, False, 1, False), (1, True, 0, False)]
)
def test_each_rank_has_a_gpu_and_nccl_or_shares_one(gpus, available, used, nccl, monkeypatch):
    chosen, group = [], []
    comm = comm_of(3, 4, here=(1, 2))
    mpi4py, cupy, distributed = fake_mpi4py(comm), ModuleType("cupy"), ModuleType("cupyx.distributed")
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=lambda: gpus),
        Device=lambda number: SimpleNamespace(use=lambda: chosen.append(number)),
        nccl=SimpleNamespace(available=available),
    )
    distributed.init_process_group = lambda size, rank, use_mpi: group.append((size, rank, use_mpi)) or "a group"
    for module in (mpi4py, cupy, distributed):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    of_four = world.World(comm)
    of_four.choose_gpu()
    of_four.connect_gpus()
    assert chosen == [used]
    assert group == [(4, 3, True)] * nccl
    assert of_four.nccl == ("a group" if nccl else None)


@pytest.mark.parametrize(
    ("now", "cores", "here", "share"), [(8, 8, 4, 2), (8, 2, 4, 1), (1, 8, 2, None), (4, 8, 2, None)]
)
def test_a_rank_takes_its_share_of_the_cores(now, cores, here, share, monkeypatch):
    set_to = []
    comm = comm_of(0, 2, here=(0, here))
    monkeypatch.setitem(sys.modules, "mpi4py", fake_mpi4py(comm))
    monkeypatch.setattr(world, "threadpool_info", lambda: [{"user_api": "blas", "num_threads": now}])
    monkeypatch.setattr(world, "blas_threads", set_to.append)
    monkeypatch.setattr(world.os, "cpu_count", lambda: cores)
    world.World(comm).share_cores()
    assert set_to == [share] * (share is not None)


@pytest.mark.parametrize("nccl", [True, False])
def test_arrays_of_a_gpu_are_summed_as_one(nccl):
    def part(world):
        numbers = [np.full(shape, world.rank + 1.0, np.float32) for shape in ((2, 3), (), (SMALL,))]
        arrays, alone = [B.from_numpy(array) for array in numbers], np.ones(2)

        def all_reduce(array, out):
            assert array is out
            out[...] = B.from_numpy(sum(world.gather(B.to_numpy(array))))

        world.nccl = SimpleNamespace(all_reduce=all_reduce) if nccl else None
        world.sum(*arrays, alone)
        assert all((B.to_numpy(array) == 3).all() for array in arrays)
        assert (alone == 2).all()
        return world.calls

    with strict_cupy():
        B = get_backend("cuda")
        assert on_ranks(2, part) == [1 + (not nccl)] * 2
