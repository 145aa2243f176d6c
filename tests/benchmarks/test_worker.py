from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.task import make_task
from benchmarks.worker import Worker, peak_memory, serve


def test_requests_are_answered_in_order(tiny: str, tmp_path: Path) -> None:
    make_task(tiny).save(tmp_path)
    requests = [
        {"do": "build", "name": "products", "folder": str(tmp_path)},
        {"do": "run", "count": 3},
        {"do": "memory"},
        {"do": "build", "name": "theano", "folder": str(tmp_path)},
    ]
    answers = io.StringIO()
    serve(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), answers, Worker())
    built, times, memory, refused = map(json.loads, answers.getvalue().splitlines())
    assert built == {"answer": None}
    assert len(times["answer"]) == 3
    assert memory["answer"]["peak"] >= memory["answer"]["built"] > 0
    assert memory["answer"]["device"] is None
    assert "unknown contestant 'theano'" in refused["error"]


def test_an_unknown_request_is_a_bug() -> None:
    with pytest.raises(ValueError, match="unknown request"):
        Worker().answer({"do": "dance"})


def test_the_peak_grows_with_what_is_held_and_stays() -> None:
    before = peak_memory()
    if before is None:
        pytest.skip("this system does not say how much memory a process has held")
    held = np.ones((64 << 20) // 8)
    during = peak_memory()
    del held
    after = peak_memory()
    assert during is not None
    assert after is not None
    assert after >= during
    assert during > 20 << 20
