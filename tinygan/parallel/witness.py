"""The witness: a process beside the ranks, which sees when one of them dies, hangs or fails.

A rank that waits for another in MPI waits for ever; and when one is killed, the launcher kills the others before they
can say which it was. So rank 0 starts this process. Every rank holds a connection to it, and answers each of its lines,
one a second, with how far it is. The witness writes one message, then has all ranks ended.

It imports only the standard library, and starts in 50 ms: ``python witness.py RANKS PATIENCE``, with a listening socket
as stdin. A rank must know ``TOKEN``, a variable of the environment, because other users can connect, too.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

BEAT = 1.0  # seconds between two lines
TOGETHER = 1.0  # seconds in which all ranks can report the error that all of them have
FIRST = 10  # times the patience, before the first step: a rank may load its data, or compile
SLOWEST = 5  # times the longest wait for a step
ALONE = 60  # seconds without any rank
LONGEST_LINE = 1 << 20  # bytes
END = "all ranks were ended"


class Rank:
    """What is known of one rank.

    Attributes
    ----------
    name : str
    heard : float
        The time of its last line, in seconds of `Clock`.
    calls : int
        How many times it has called MPI.
    waits : bool
        Whether it is in such a call now.
    alone : bool
        Whether it works while the others wait, as rank 0 does between two epochs.
    fresh : bool
        Whether it prepares its first step.
    done : bool
        Whether its part of the run is done.
    failed : dict or None
        Its error: ``text``; ``status`` of the process; whether the text needs the name of the rank, ``named``, and
        what to do, ``advised``.
    """

    def __init__(self, name: str, now: float) -> None:
        self.name, self.heard = name, now
        self.calls, self.waits, self.alone, self.fresh, self.done, self.lost = 0, False, False, True, False, False
        self.failed: dict[str, Any] | None = None

    @property
    def place(self) -> tuple[int, bool, bool]:
        """What changes while the rank goes on."""
        return self.calls, self.waits, self.fresh


class Clock:
    """Seconds in which at least one rank was at work: none pass while the whole run, or the machine, is suspended.

    Examples
    --------
    >>> clock = Clock(100.0)
    >>> [clock.at(now, heard=now < 102) for now in (100.5, 101, 102, 103, 104, 900)]
    [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    >>> clock.at(901, heard=True)
    4.0
    """

    def __init__(self, now: float) -> None:
        self.seconds, self._now, self._heard = 0.0, now, now

    def at(self, now: float, heard: bool) -> float:
        """Return the seconds so far; `heard` is whether any rank has said something since the last call."""
        self._heard = now if heard else self._heard
        if now - self._heard < 3 * BEAT:
            self.seconds += min(now - self._now, BEAT)
        self._now = now
        return self.seconds


class Witness:
    """Judges what the ranks say.

    Parameters
    ----------
    size : int
        The number of ranks.
    patience : float
        Seconds without a sign of a rank, or without a step.

    Attributes
    ----------
    ranks : dict of int to Rank
        Those that have connected.
    advice : str
        What to do after the end; rank 0 knows it.
    """

    def __init__(self, size: int, patience: float) -> None:
        self.size, self.patience = size, patience
        self.ranks: dict[int, Rank] = {}
        self.advice = ""
        self.since = self.longest = 0.0  # when a rank last went on, and the longest time without that
        self.failed_at: float | None = None
        self.lost: list[Rank] = []  # that were not done, the first at first: the launcher kills the others after it

    def hear(self, number: int, said: Mapping[str, Any], now: float) -> None:
        """Take in a line of a rank."""
        rank = self.ranks[number]
        before, rank.heard = rank.place, now
        self.advice = said.get("advice", self.advice)
        vars(rank).update({key: value for key, value in said.items() if key in vars(rank)})
        if rank.failed is not None and self.failed_at is None:
            self.failed_at = now
        if rank.place != before:
            if not any(rank.fresh for rank in self.ranks.values()):
                self.longest = max(self.longest, now - self.since)
            self.since = now

    def lose(self, number: int) -> None:
        """Note that the connection of a rank has ended."""
        rank = self.ranks[number]
        rank.lost = True
        if not rank.done:
            self.lost.append(rank)

    def verdict(self, now: float) -> tuple[str, int] | None:
        """Return why all ranks must end, and their exit status; None if all is well."""
        ranks = [self.ranks[number] for number in sorted(self.ranks)]
        failed = [rank for rank in ranks if rank.failed is not None]
        if failed:
            if len(failed) < self.size and self.failed_at is not None and now - self.failed_at < TOGETHER:
                return None
            return self._failure(failed)
        if self.lost and len(ranks) < self.size:  # it may be one that never connected
            return self._end(f"a rank was killed or has crashed before all {self.size} were connected")
        if self.lost:
            # The launcher kills the others within a millisecond, so several may be found lost at once, in any order.
            one = "one of " if len(self.lost) > 1 else ""
            return self._end(f"{one}{_names(self.lost)} was killed or has crashed")
        silent = [rank for rank in ranks if now - rank.heard > self.patience and not rank.lost]
        if silent:
            return self._end(f"{_names(silent)} did not answer for {self.patience:g} s (stopped, or machine lost)")
        if any(rank.alone or rank.done for rank in ranks) or not any(rank.waits for rank in ranks):
            self.since = now
        first = FIRST if len(ranks) < self.size or any(rank.fresh for rank in ranks) else 1
        if now - self.since > max(first * self.patience, SLOWEST * self.longest):
            late = [rank for rank in ranks if not rank.waits]
            seconds = f"{now - self.since:.0f} s"
            if late:
                return self._end(f"{_names(late)} did not go on, and the others have waited for {seconds}")
            return self._end(f"all ranks have waited for each other for {seconds}: look at the network between them")
        return None

    def _end(self, reason: str) -> tuple[str, int]:
        return self._advised(f"tinygan: error: {reason}; {END}"), 1

    def _advised(self, text: str) -> str:
        return f"{text}\n  {self.advice}" if self.advice else text

    def _failure(self, failed: list[Rank]) -> tuple[str, int]:
        first = failed[0]
        assert first.failed is not None
        text, status = first.failed["text"], first.failed["status"]
        of_all = len(failed) == self.size and all(rank.failed["text"] == text for rank in failed if rank.failed)
        if first.failed["named"] and not of_all:
            text = text.replace("tinygan: error:", f"tinygan: error: {first.name}:", 1)
        return self._advised(text) if first.failed["advised"] else text, status


def _names(ranks: list[Rank]) -> str:
    return " and ".join(rank.name for rank in ranks[:3]) + (f" and {len(ranks) - 3} more" if len(ranks) > 3 else "")


class _Lines:
    """The lines that come through a connection."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the rank, when it has said so
        self.rest = b""

    def read(self, connection: socket.socket) -> list[dict[str, Any]] | None:
        """Return the complete lines that have come; None at the end."""
        try:
            came = connection.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            came = b""
        *lines, self.rest = (self.rest + came).split(b"\n")
        return [json.loads(line) for line in lines] if came and len(self.rest) < LONGEST_LINE else None


def watch(server: socket.socket, witness: Witness, token: str) -> None:
    """Listen to the ranks until all have left; if one dies, hangs or fails, say so and end the others."""
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    connected: dict[socket.socket, _Lines] = {}
    ended, next_beat, begun, heard = None, 0.0, time.monotonic(), False
    clock = Clock(begun)
    while ended is None or (connected and time.monotonic() < ended + 10):
        for key, _ in selector.select(BEAT / 4):
            if key.fileobj is server:
                connection, _ = server.accept()
                connection.setblocking(False)
                connected[connection] = _Lines()
                selector.register(connection, selectors.EVENT_READ)
                continue
            connection = key.fileobj  # type: ignore[assignment]
            lines = connected[connection]
            try:
                said = _accepted(lines, lines.read(connection), witness, token, clock.seconds)
            except (ValueError, KeyError, TypeError):  # not a rank
                said = None
            for each in said or ():
                assert lines.number is not None
                witness.hear(lines.number, each, clock.seconds)
                heard = True
            if said is None:
                selector.unregister(connection)
                connected.pop(connection)
                connection.close()
                if lines.number is not None:
                    witness.lose(lines.number)
        now = time.monotonic()
        found = witness.verdict(clock.at(now, heard)) if ended is None else None
        heard = False
        if found is not None:
            with suppress(OSError):  # the ranks must end, even if the message cannot be written
                print(found[0], file=sys.stderr, flush=True)
            ended = now
        if found is not None or now >= next_beat:
            next_beat = now + BEAT
            for connection in connected:
                with suppress(OSError):
                    connection.send(b"%d\n" % (found[1] if found else 0))
        if not connected and (witness.ranks or now > begun + ALONE):
            return


def _accepted(
    lines: _Lines, said: list[dict[str, Any]] | None, witness: Witness, token: str, now: float
) -> list[dict[str, Any]] | None:
    """Return what a rank has said; its first line must have the token, its number and its name."""
    if said and lines.number is None:
        first = said[0]
        if first["token"] != token or not 0 <= first["rank"] < witness.size or first["rank"] in witness.ranks:
            return None
        lines.number = first["rank"]
        witness.ranks[lines.number] = Rank(first["name"], now)
    return said


if __name__ == "__main__":
    listening = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    watch(listening, Witness(int(sys.argv[1]), float(sys.argv[2])), os.environ["TOKEN"])
