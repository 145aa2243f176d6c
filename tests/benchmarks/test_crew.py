from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from benchmarks.crew import PARAMETER_TOLERANCE, TOLERANCE, Member, crew_of, refuse_disagreement
from benchmarks.errors import BenchmarkError, DisagreementError
from benchmarks.task import make_task
from benchmarks.tinygan_step import TinyganStep

NOISE = np.random.default_rng(0).random((4, 2, 6, 3), np.float32)


@pytest.mark.slow
def test_contestants_take_turns(tiny: str) -> None:
    with crew_of(make_task(tiny), ["tinygan", "products"]) as crew:
        turns = crew.take_turns(0.01)
        assert crew.check_agreement().keys() == {"tinygan"}  # the products have no losses
    assert turns.keys() == {"tinygan", "products"}
    assert all(len(turn) == 1 and all(time > 0 for time in turn[0]) for turn in turns.values())


@pytest.mark.slow
def test_what_a_worker_refuses_is_raised_here(tiny: str) -> None:
    with (
        pytest.raises(BenchmarkError, match="unknown contestant 'theano': expected one of tinygan, products, "),
        crew_of(make_task(tiny), ["theano"]),
    ):
        pass


@pytest.mark.slow
def test_a_worker_that_dies_is_reported(capfd: Any) -> None:
    member = Member("tinygan", 1)
    with pytest.raises(BenchmarkError, match="the process of 'tinygan' ended with status 1 while asked to run"):
        member.ask("run", count=1)  # nothing has been built
    assert "AttributeError" in capfd.readouterr().err
    member.close()


def test_threads_are_set_before_any_library_is_loaded(tmp_path: Any, monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}

    class Process:
        def __init__(self, command: Any, **options: Any) -> None:
            seen.update(options["env"], command=command, own_session=options["start_new_session"])

    monkeypatch.setattr("benchmarks.crew.subprocess.Popen", Process)
    Member("tinygan", 3)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
    assert {seen[name] for name in names} == {"3"}
    assert seen["command"] == [sys.executable, "-m", "benchmarks.worker"]
    assert seen["own_session"]  # else Ctrl-C would stop it with a traceback
    assert seen["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"  # else JAX takes most of a GPU's memory

    monkeypatch.setattr("benchmarks.crew.find_launcher", lambda: "mpiexec")
    Member("2 processes", 1, "benchmarks.ranks", 2)
    assert seen["command"] == ["mpiexec", "-n", "2", sys.executable, "-m", "benchmarks.ranks"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["discriminator.optimizer.lr=0.21"],
        ["generator.optimizer.momentum=0.6"],
        ["training.discriminator_loss_scale=0.5"],
        ['training.objective="minimax"'],
        ["discriminator.layers.4.slope=0.2"],
    ],
)
def test_a_game_that_differs_a_little_is_refused(tiny: str, overrides: list[str]) -> None:
    ours, theirs = (TinyganStep(make_task(tiny, overrides=each)).play(NOISE) for each in ([], overrides))
    refuse_disagreement({"tinygan": ours, "same": ours})
    with pytest.raises(DisagreementError, match="other does not play the same game as tinygan: from the same"):
        refuse_disagreement({"tinygan": ours, "other": theirs})


def played(*losses: tuple[float, float], moved: float = 1.0, name: str = "generator.0.weight") -> dict[str, Any]:
    return {"losses": list(losses), "moved": {name: moved}}


def test_the_message_says_who_where_and_how_much() -> None:
    plays = {"tinygan": played((1.0, 2.0), (1.0, 2.0)), "torch": played((1.0, 2.0), (1.0, 2.5))}
    with pytest.raises(DisagreementError, match=r"torch .* the generator's loss in iteration 2 is 2\.5, not 2;"):
        refuse_disagreement(plays)
    plays = {"tinygan": played((1.0, 2.0)), "torch": played((1.0, 2.0), moved=-1.0)}
    with pytest.raises(DisagreementError, match=r"movement in 1 iterations of generator\.0\.weight is -1, not 1;"):
        refuse_disagreement(plays)


def test_a_movement_that_cancels_may_differ_by_rounding() -> None:
    def of(small: float) -> dict[str, Any]:
        return {"losses": [], "moved": {"discriminator.0.weight": 1.0, "discriminator.0.bias": small}}

    refuse_disagreement({"tinygan": of(1e-6), "jax": of(5e-5)})
    for wrong in (1e-3, np.nan):
        with pytest.raises(DisagreementError):
            refuse_disagreement({"tinygan": of(1e-6), "jax": of(wrong)})


def test_the_tolerance_of_a_loose_game_is_wider() -> None:
    plays = {"tinygan": played((1.0, 1.0), (1.0, 1.0)), "jax": played((1.0, 1.0), (1.0, 1.003), moved=1.003)}
    refuse_disagreement(plays, loose=True)
    with pytest.raises(DisagreementError):
        refuse_disagreement(plays)
    plays["jax"]["losses"][0] = 1.0, 1.003  # nothing has moved in the first iteration
    with pytest.raises(DisagreementError, match="iteration 1"):
        refuse_disagreement(plays, loose=True)


@pytest.mark.slow
def test_an_optional_one_that_cannot_play_leaves(tiny: str) -> None:
    with crew_of(make_task(tiny), ["tinygan", "theano"], optional=["theano"]) as crew:
        assert list(crew.members) == ["tinygan"]
        assert "unknown contestant 'theano'" in crew.refused["theano"]
        turns = crew.take_turns(0.01, slice_seconds=0.005, least=3)
    assert len(turns["tinygan"]) == 3


@pytest.mark.parametrize("excess", [0.5, -0.5, 2, -2, np.nan])
@pytest.mark.parametrize("what", ["loss", "moved"])
def test_the_tolerance_is_relative(excess: float, what: str) -> None:
    for scale in (1e-3, 1.0, 1e3):
        loss = scale * (1 + excess * TOLERANCE * (what == "loss"))
        moved = scale * (1 + excess * PARAMETER_TOLERANCE * (what == "moved"))
        plays = {"tinygan": played((scale, scale), moved=scale), "jax": played((scale, loss), moved=moved)}
        if abs(excess) < 1:
            refuse_disagreement(plays)
        else:
            with pytest.raises(DisagreementError):
                refuse_disagreement(plays)


def test_other_parameters_are_another_game() -> None:
    plays = {"tinygan": played((1.0, 1.0)), "jax": played((1.0, 1.0), name="generator.2.weight")}
    with pytest.raises(DisagreementError, match=r"its parameters are generator\.2\.weight, not generator\.0\.weight"):
        refuse_disagreement(plays)
