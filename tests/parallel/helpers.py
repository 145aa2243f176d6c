"""Ranks that are threads of this process, in place of processes under MPI."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from tinygan.parallel.world import World


class Hall:
    """Where the ranks meet: each leaves a value, and all read all values. Between two meetings, one rank runs."""

    def __init__(self, size):
        self.barrier, self.values, self.turn = threading.Barrier(size, timeout=60), [None] * size, threading.Lock()

    def exchange(self, rank, value):
        self.values[rank] = value
        self.turn.release()
        try:
            self.barrier.wait()
            found = list(self.values)
            self.barrier.wait()
        finally:
            self.turn.acquire()
        return found


class ThreadWorld(World):
    """A world of threads; the sum is over the ranks in their order."""

    def __init__(self, rank, size, hall):
        self.rank, self.size, self.hall, self.calls = rank, size, hall, 0

    def share_cores(self):
        """Leave the threads of this process as they are."""

    def choose_gpu(self):
        """Share the one GPU of the double."""

    def connect_gpus(self):
        """As `choose_gpu`."""

    def _begin_all_reduce(self, array):
        self._all_reduce(array)
        return SimpleNamespace(Wait=lambda: None)

    def _all_reduce(self, array):
        self.calls += 1
        everyone = self.hall.exchange(self.rank, array.copy())
        assert len({(other.shape, other.dtype) for other in everyone}) == 1
        array[...] = sum(everyone[1:], start=everyone[0])

    def gather(self, value):
        return self.hall.exchange(self.rank, value)

    def broadcast(self, value):
        return self.hall.exchange(self.rank, value)[0]


def on_ranks(size, part):
    """Return ``part(world)`` of every rank; the first error is raised."""
    hall = Hall(size)

    def one(rank):
        try:
            with hall.turn:
                return part(ThreadWorld(rank, size, hall))
        except BaseException:
            hall.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        waiting = [pool.submit(one, rank) for rank in range(size)]
    errors = [error for error in (future.exception() for future in waiting) if error is not None]
    real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    if errors:
        raise (real or errors)[0]
    return [future.result() for future in waiting]
