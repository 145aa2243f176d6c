"""The captured steps of tinygan as a contestant, on the strict double of CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.crew import refuse_disagreement
from benchmarks.errors import BenchmarkError
from benchmarks.task import make_task
from benchmarks.tinygan_captured import TinyganCaptured
from benchmarks.tinygan_step import TinyganStep
from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tinygan.backend import graph

NOISE = np.random.default_rng(1).uniform(-1.7, 1.7, (4, 2, 6, 3)).astype(np.float32)

needs_compiler = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)


def test_captured_steps_need_a_gpu(tiny: str) -> None:
    with pytest.raises(BenchmarkError, match="tinygan-captured: a CUDA graph needs --device cuda"):
        TinyganCaptured(make_task(tiny))


@needs_compiler
@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_captured_steps_play_the_same_game(monkeypatch: Any, schedule: str, tiny: str) -> None:
    library = Cublas()
    monkeypatch.setattr(graph, "load_cublas", lambda: library)
    task = make_task(tiny, schedule, "cuda", use_data=False)
    with strict_cupy() as cupy:
        captured = TinyganCaptured(task)
        played = captured.play(NOISE)
        refuse_disagreement({"tinygan": TinyganStep(task).play(NOISE), "tinygan-captured": played})
        assert cupy.gpu.launches["graph"] == 2  # of four steps
        assert not library.handles  # the capture without dropout is closed
        for _ in range(3):
            captured.iterate()
        assert cupy.gpu.launches["graph"] == 3
        assert captured.game.noise is captured.training.game.noise
        assert captured.training._captured.memory > 0
        for _ in range(captured.training.steps_per_epoch):
            captured.iterate()
        assert captured.training.epoch == 2
