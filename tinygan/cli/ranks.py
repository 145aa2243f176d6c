"""Commands under an MPI launcher: ``mpiexec -n N tinygan train ...`` is one run on N ranks."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings

from tinygan.cli import output
from tinygan.errors import AnomalyError, ParallelError, TinyganError
from tinygan.parallel.world import RANKS, START, current, launched


def silence_followers() -> None:
    """Let no rank but 0 print; the errors of the others come through the witness."""
    if _rank() and (launched() > 1 or _by_torchrun() > 1):
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process)


def run(arguments: argparse.Namespace) -> int:
    """Run a command, on one process or on this rank of several.

    Raises
    ------
    ParallelError, MissingPackageError
        The command works in one process, or the launcher and mpi4py do not fit.
    """
    arguments.watch = None
    if _by_torchrun() > 1:
        raise ParallelError(
            f"torchrun has started {_by_torchrun()} processes, and each would train alone: {START}, as in "
            f"mpiexec -n {_by_torchrun()} tinygan train digits"
        )
    if launched() < 2:
        return int(arguments.run(arguments))
    if not hasattr(arguments, "follow"):
        raise ParallelError("this command works in one process: start it without the MPI launcher")
    if arguments.follow is arguments.run:  # it gives the ranks their work itself
        return int(arguments.run(arguments))
    from tinygan.parallel.watch import Watch, beginning

    with beginning(_rank()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mpi4py warns of what `current` refuses
        world = current()
    assert world is not None
    arguments.watch = watch = Watch(world)
    try:
        status = int(arguments.follow(arguments) if world.rank else arguments.run(arguments))
    except output.ReaderGoneError:
        status = 0
    except (TinyganError, MemoryError, KeyboardInterrupt) as error:
        stopped, broken = isinstance(error, KeyboardInterrupt), isinstance(error, AnomalyError)
        elsewhere = world.rank > 0 and not stopped
        text = output.indented(output.last_words("tinygan", error))
        watch.fail(text, 130 if stopped else 1, named=elsewhere or broken, advised=elsewhere and not broken)
    except BaseException:
        watch.fail(output.indented(f"tinygan: error: {traceback.format_exc().strip()}"), 1)
    watch.close()
    return status


def _rank() -> int:
    """Return the number that the launcher gave to this process, 0 without a launcher."""
    return int(next((os.environ[name] for name in (*RANKS, "RANK") if os.environ.get(name, "").isdecimal()), "0"))


def _by_torchrun() -> int:
    """Return how many processes torchrun, which is not of MPI, has started."""
    size = os.environ.get("WORLD_SIZE", "")
    return int(size) if "TORCHELASTIC_RUN_ID" in os.environ and size.isdecimal() else 1
