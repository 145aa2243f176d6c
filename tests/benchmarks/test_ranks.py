from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.ranks import RankWorker, TrainingStep
from benchmarks.task import make_task
from tinygan.backend import Stream


class Comm:
    """What rank 0 has sent to a rank, and what this rank sends."""

    def __init__(self, *requests: Any) -> None:
        self.requests, self.sent, self.looks = list(requests), [], 0

    def iprobe(self, source: int) -> bool:
        self.looks += 1
        return self.looks % 2 == 0  # nothing has come at the first look

    def recv(self, source: int) -> Any:
        return self.requests.pop(0)

    def send(self, request: Any, rank: int) -> None:
        self.sent.append((rank, request))


def test_a_step_counts_its_draws_and_no_sums(tiny: str) -> None:
    before = Stream.uniform, Stream.normal, Stream.bits16
    step = TrainingStep("apart", make_task(tiny), None)
    assert not step.training.replay
    assert TrainingStep("thread", make_task(tiny), None).training.replay
    times = step.run(3)
    spent = step.spent()
    assert 0 < spent.pop("draws_ms") < max(times)
    assert spent == {"sums_ms": 0, "calls": 0, "bytes": 0}
    assert (Stream.uniform, Stream.normal, Stream.bits16) == before


def test_a_rank_follows_until_it_is_told_to_end(monkeypatch: Any) -> None:
    done: list[Any] = []

    def answer(self: RankWorker, request: Any) -> None:
        done.append(request)
        if request == "refused":
            raise BenchmarkError("rank 0 says so")

    comm = Comm("refused", "next", None, "never")
    world: Any = SimpleNamespace(rank=1, size=2, comm=comm)
    monkeypatch.setattr(RankWorker, "answer", answer)
    RankWorker(world).follow()
    assert done == ["refused", "next"]
    assert comm.looks == 6


def test_rank_0_tells_all_others_what_it_is_asked() -> None:
    comm = Comm()
    world: Any = SimpleNamespace(rank=0, size=3, comm=comm)
    worker = RankWorker(world)
    with pytest.raises(ValueError, match="unknown request"):
        worker.answer({"do": "dance"})
    assert comm.sent == [(1, {"do": "dance"}), (2, {"do": "dance"})]
