"""The processes that train together, and what they say to each other, by MPI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np

from tinygan.backend import Array
from tinygan.errors import MissingPackageError, ParallelError

T = TypeVar("T")
# Where a launcher says how many processes it has started: MPICH and Intel MPI, Open MPI, and Slurm with PMI or PMIx.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")  # `srun --mpi=none` sets none of these
START = "install both with pip install 'tinygan[mpi]', and start by the mpiexec of that environment"
SMALL = 1 << 14  # numbers; a smaller array is sent with others, and a larger one is not copied


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
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()

    def __repr__(self) -> str:
        return f"World(rank={self.rank}, size={self.size})"

    def sum(self, *arrays: Array) -> None:
        """Replace every array by its sum over the ranks, in place; small ones travel in one flat bucket.

        All ranks get the same bits.
        """
        small: dict[Any, list[Array]] = {}
        for array in arrays:
            if array.size < SMALL or not (array.flags.c_contiguous and array.flags.writeable):
                small.setdefault(array.dtype, []).append(array)
            else:
                self._sum_in_place(array)
        for group in small.values():
            flat = np.concatenate([array.reshape(-1) for array in group])
            self._sum_in_place(flat)
            ends = np.cumsum([array.size for array in group])
            for array, part in zip(group, np.split(flat, ends[:-1]), strict=True):
                array[...] = part.reshape(array.shape)

    def _sum_in_place(self, array: Array) -> None:
        from mpi4py import MPI

        self.comm.Allreduce(MPI.IN_PLACE, array)

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
    """
    size = launched()
    if size < 2:
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise MissingPackageError(
            f"{size} processes were started by an MPI launcher, and mpi4py cannot be imported "
            f"({str(error).splitlines()[0]}): {START}"
        ) from error
    found = MPI.COMM_WORLD.Get_size()
    if found != size:
        library = MPI.Get_library_version().splitlines()[0].strip(" \0")
        raise ParallelError(
            f"the launcher has started {size} processes, but for mpi4py this one is one of {found}: the launcher "
            f"belongs to another MPI than mpi4py, which has {library}. Start with the mpiexec of that library, or "
            f"{START}"
        )
    return World(MPI.COMM_WORLD)


def launched() -> int:
    """Return how many processes an MPI launcher has started with this one; 1 without a launcher."""
    if not any(name in os.environ for name in RANKS):
        return 1
    return max((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), default=1)
