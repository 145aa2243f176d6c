"""The processes that train together, and what they say to each other, by MPI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_info

from tinygan.backend import Array, backend_of, blas_threads
from tinygan.errors import MissingPackageError, ParallelError

T = TypeVar("T")
# Where a launcher says how many processes it has started: MPICH and Intel MPI, Open MPI, and Slurm with PMI or PMIx.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")  # `srun --mpi=none` sets none of these
START = "install mpi4py and MPICH by pip install 'tinygan[mpi]', and start with the mpiexec of that environment"
SMALL = 1 << 14  # numbers; a smaller array is sent with others, and a larger one alone, without a copy


class World:
    """All ranks of a training; rank 0 is the one that writes.

    Every method must be called on every rank, in the same order: each waits for the others.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.
    rank_here, ranks_here : int
        The number of this process among those of this machine, and how many these are.
    nccl : object or None
        What sums the arrays of GPUs, after `connect_gpus`.
    """

    nccl: Any = None

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self.comm, self._in_place = comm, MPI.IN_PLACE
        here = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.rank_here: int = here.Get_rank()
        self.ranks_here: int = here.Get_size()
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()

    def __repr__(self) -> str:
        return f"World(rank={self.rank}, size={self.size})"

    def sum(self, *arrays: Array) -> None:
        """Replace every array by its sum over the ranks, in place; small ones travel in one flat bucket.

        All ranks get the same bits. The order in memory may differ from rank to rank.
        """
        buckets: dict[Any, list[Array]] = {}
        begun: list[tuple[Any, Array, Array]] = []  # all at once, so that the ranks meet once
        for array in arrays:
            if isinstance(array, np.ndarray) and array.size >= SMALL:
                block = np.ascontiguousarray(array)
                begun.append((self._begin_all_reduce(block), block, array))
            else:
                buckets.setdefault((type(array), array.dtype), []).append(array)
        for bucket in buckets.values():
            backend, first = backend_of(bucket[0]), 0
            assert backend is not None
            flat = backend.xp.concatenate([array.reshape(-1) for array in bucket])
            if isinstance(flat, np.ndarray):
                self._all_reduce(flat)
            elif self.nccl is not None:
                self.nccl.all_reduce(flat, flat)
            else:
                host = backend.to_numpy(flat)
                self._all_reduce(host)
                flat = backend.from_numpy(host)
            for array in bucket:
                array[...] = flat[first : first + array.size].reshape(array.shape)
                first += array.size
        for request, block, array in begun:
            request.Wait()
            if block is not array:
                array[...] = block

    def _begin_all_reduce(self, array: Array) -> Any:
        return self.comm.Iallreduce(self._in_place, array)

    def _all_reduce(self, array: Array) -> None:
        self.comm.Allreduce(self._in_place, array)

    def gather(self, value: T) -> list[T]:
        """Return what every rank gives, in the order of the ranks, on every rank."""
        return self.comm.allgather(value)

    def broadcast(self, value: T) -> T:
        """Return what rank 0 gives."""
        return self.comm.bcast(value)

    def refuse_different(self, arrays: Mapping[str, Array], when: str) -> None:
        """Compare the bits of arrays on all ranks, by hash.

        Raises
        ------
        ParallelError
            An array is not the same on all ranks; all ranks raise it.
        """
        everyone = self.gather({name: hashlib.sha256(array.tobytes()).digest() for name, array in arrays.items()})
        for rank, other in enumerate(everyone):
            for name, digest in everyone[0].items():
                if other[name] != digest:
                    raise ParallelError(
                        f"{when}: {name} is not the same on rank 0 and on rank {rank}, so these processes do not train "
                        "one network: the machines may differ, or their memory fails. Resume from the last checkpoint, "
                        "on machines of one kind"
                    )

    # ------------------------------------------------------------------ the machine of this rank

    def share_cores(self) -> None:
        """Let matrix products use no more threads than this rank's share of the cores of its machine."""
        share = max(1, (os.cpu_count() or 1) // self.ranks_here)
        if any(pool["user_api"] == "blas" and pool["num_threads"] > share for pool in threadpool_info()):
            blas_threads(share)  # from now on

    def choose_gpu(self) -> None:
        """Compute on the GPU of this rank's number here; ranks share a GPU where there are fewer GPUs."""
        import cupy

        cupy.cuda.Device(self.rank_here % cupy.cuda.runtime.getDeviceCount()).use()

    def connect_gpus(self) -> None:
        """Sum by NCCL from now on, if every rank has a GPU of its own; else in the memory of the host."""
        import cupy

        if all(self.gather(self.ranks_here <= cupy.cuda.runtime.getDeviceCount() and cupy.cuda.nccl.available)):
            from cupyx.distributed import init_process_group

            self.nccl = init_process_group(self.size, self.rank, use_mpi=True)


@cache
def current() -> World | None:
    """Return the ranks that this process is one of; None for a process that an MPI launcher did not start, or alone.

    Then mpi4py is not imported.

    Raises
    ------
    MissingPackageError
        A launcher has started several processes, and mpi4py or its MPI library cannot be imported.
    ParallelError
        mpi4py belongs to another MPI than the launcher, so that every process would train alone.

    Notes
    -----
    Call it on every rank: MPI begins here.
    """
    size = launched()
    if size < 2:
        return None
    try:
        import mpi4py

        mpi4py.rc(initialize=False, finalize=True)  # under a launcher that it does not know, MPICH ends the process
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise MissingPackageError(
            f"{size} processes were started by an MPI launcher, and mpi4py cannot be imported "
            f"({str(error).splitlines()[0]}): {START}"
        ) from error
    library = " ".join(MPI.Get_library_version().splitlines()[0].split()).strip("\0")
    known = "PMI_RANK" in os.environ or "PMIX_RANK" not in os.environ or library.startswith("Open MPI")
    if known and not MPI.Is_initialized():
        MPI.Init_thread()
    if not known or MPI.COMM_WORLD.Get_size() != size:
        raise ParallelError(
            f"{size} processes were started, but by the launcher of another MPI than mpi4py has, which is {library}: "
            f"each would train alone. Start with the mpiexec of that library (under Slurm: srun --mpi=pmi2), or {START}"
        )
    return World(MPI.COMM_WORLD)


def launched() -> int:
    """Return how many processes an MPI launcher has started with this one; 1 without a launcher."""
    if not any(name in os.environ for name in RANKS):
        return 1
    return max((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), default=1)
