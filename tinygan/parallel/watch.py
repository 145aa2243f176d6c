"""`Watch`: what a rank tells the witness, so that a rank that dies, hangs or fails ends all; see `witness`."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tinygan.errors import ArgumentError, ParallelError
from tinygan.parallel import witness
from tinygan.parallel.world import World

if TYPE_CHECKING:
    from tinygan.experiments.training import Training

T = TypeVar("T")
MEETINGS = ("sum", "gather", "broadcast")  # the methods of `World` in which a rank waits for the others
VARIABLE = "TINYGAN_PATIENCE"
PATIENCE = 20.0  # seconds
BEGIN = 3  # times the patience, until all ranks have begun


# Waits for the end of stdin; if it does not come in time, prints a text and kills a process.
_ALARM = """
import os, select, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr, flush=True)
    os.kill(int(sys.argv[3]), 9)
"""


@contextmanager
def beginning(rank: int) -> Iterator[None]:
    """End this process with a message if MPI does not begin, because another rank has ended before.

    In that time Python runs no thread and no signal handler, so another process waits.
    """
    seconds = BEGIN * _checked(None)
    text = (
        f"tinygan: error: rank {rank} has waited for {seconds:g} s for the others to begin: one of them cannot start, "
        "or has ended; see that tinygan[mpi] is installed on each machine"
    )
    words = [sys.executable, "-I", "-S", "-c", _ALARM, str(seconds), text, str(os.getpid())]
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) if rank < 2 else nullcontext():
        yield


class Watch:
    """The connection of a rank to the witness; make one on every rank.

    Parameters
    ----------
    world : World
    patience : float, optional
        Seconds without a sign of a rank, or without a step while others wait for it, after which all are ended. By
        default `VARIABLE` of rank 0's environment, or `PATIENCE`.

    Attributes
    ----------
    training : Training or None
        The training whose steps are watched.

    Raises
    ------
    ArgumentError
        The patience is no number above 0.
    ParallelError
        A rank cannot connect to the witness; all ranks raise it.
    """

    def __init__(self, world: World, patience: float | None = None) -> None:
        self.world = world
        self.training: Training | None = None
        self._first: int | None = None  # the number of steps before the first that is watched
        self._name = f"rank {world.rank} of {world.size} (process {os.getpid()} on {socket.gethostname()})"
        patience = _checked(patience)
        hosts = world.gather(socket.gethostname())
        here = all(host == hosts[0] for host in hosts)
        place, problem = (0, "", patience), ""
        try:
            place = self._begin(here, patience) if world.rank == 0 else place
        except OSError as error:
            problem = f"the witness cannot start there: {error}"
        port, token, self.patience = world.broadcast(place)
        try:
            self._socket = socket.create_connection(("127.0.0.1" if here else hosts[0], port), self.patience)
        except OSError as error:
            problem = problem or str(error)
        for rank, each in enumerate(world.gather(problem)):
            if each:
                raise ParallelError(
                    f"rank {rank} on {hosts[rank]} cannot connect to port {port} of {hosts[0]}: {each}; let the "
                    "machines of a run connect to each other"
                )
        self._socket.settimeout(2 * self.patience)
        self._closed, self._sending = False, threading.Lock()
        self._send(token=token, rank=world.rank, name=self._name)
        self.calls, self.waits = 0, False
        for name in MEETINGS:
            setattr(world, name, self._counted(getattr(world, name)))
        self._thread = threading.Thread(target=self._answer, name="watch", daemon=True)
        self._thread.start()

    def _begin(self, here: bool, patience: float) -> tuple[int, str, float]:
        """Start the witness, in a session of its own: the launcher must not end it with the ranks."""
        token = secrets.token_hex()
        with socket.create_server(("127.0.0.1" if here else "", 0), backlog=self.world.size) as server:
            self._witness = subprocess.Popen(
                [sys.executable, "-I", "-S", witness.__file__, str(self.world.size), str(patience)],
                stdin=server.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "TOKEN": token},
                start_new_session=True,
            )
            return server.getsockname()[1], token, patience

    def asked(self) -> bool:
        """Return whether any rank was asked to stop; called before each step of `training`, for `Limits`."""
        assert self.training is not None
        self._first = self.training.steps if self._first is None else self._first
        return self.training.stopping

    def advise(self, text: str) -> None:
        """Add a text to each message about another rank, such as how to go on."""
        self._send(advice=text)

    def fail(self, text: str, status: int, named: bool = True, advised: bool = True) -> NoReturn:
        """Report an error of this rank, and end.

        Parameters
        ----------
        text : str
            The message, with the prefix ``tinygan: error:``.
        status : int
            The exit status.
        named : bool
            Whether to name the rank, if not all ranks report the same.
        advised : bool
            Whether to add the text of `advise`.
        """
        self._send(failed={"text": text, "status": status, "named": named, "advised": advised})
        while True:  # the thread ends the process
            time.sleep(1)

    def close(self) -> None:
        """Wait until the part of every rank is done; then nothing is watched. A second call does nothing."""
        if self._closed:
            return
        self._send(done=True)
        self.world.gather(None)
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self._socket.close()
        for name in MEETINGS:
            delattr(self.world, name)

    def _counted(self, meeting: Callable[..., T]) -> Callable[..., T]:
        """Count the calls of a method of the world, and remember whether this rank is in one."""

        def counted(*arguments: Any) -> T:
            self.calls += 1
            self.waits = True
            try:
                return meeting(*arguments)
            finally:
                self.waits = False

        return counted

    def _answer(self) -> None:
        """Answer each line of the witness, until it says that all must end."""
        status = 0
        with suppress(OSError, ValueError), self._socket.makefile("rb") as lines:  # errors: the witness is lost
            while not status:
                status = int(lines.readline())
                self._send(**self._state())
        if self._closed:
            return
        if not status and self.world.rank == 0:
            print(f"tinygan: error: the witness of the ranks has ended; {witness.END}", file=sys.stderr, flush=True)
        elif not status:
            time.sleep(1)  # rank 0 says why
        self._abort(status or 1)

    def _state(self) -> dict[str, Any]:
        training = None if self._first is None else self.training
        between = training is None or training.epoch_is_over  # when rank 0 reads, writes and draws
        compiles = training is None or (
            training.steps == self._first and (training.backend.runs_ahead or training.backend.library != "numpy")
        )
        return {
            "calls": self.calls,
            "waits": self.waits,
            "alone": between and self.world.rank == 0 and not self.waits,
            "fresh": compiles,
        }

    def _abort(self, status: int) -> None:
        threading.Timer(5, os._exit, [status]).start()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # everything has been said; MPI would add a line
        self.world.comm.Abort(status)

    def _send(self, **said: Any) -> None:
        with suppress(OSError), self._sending:  # a witness that is lost is seen by `_answer`
            self._socket.sendall(json.dumps(said).encode() + b"\n")


def _checked(patience: float | None) -> float:
    given = os.environ.get(VARIABLE, PATIENCE) if patience is None else patience
    with suppress(ValueError):
        if 0 < float(given) < float("inf"):
            return float(given)
    raise ArgumentError(f"{VARIABLE}: expected a number of seconds above 0, got {given!r}")
