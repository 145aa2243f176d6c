from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "proposition_2.py"


@pytest.fixture(scope="module")
def example() -> Any:
    return runpy.run_path(str(EXAMPLE))


def test_the_table_says_what_came_of_each_game(example: Any, tmp_path: Path, capsys: Any) -> None:
    example["main"](["--out", str(tmp_path / "new"), "--points", "21"])
    words = " ".join(capsys.readouterr().out.split())
    assert words.count("C(G) falling all the way") == 1
    assert words.count("no convergence in 1000 steps") == 3
    for reason in ("D is frozen", "steps of 6 are too large", "the start has no mass on 9 points"):
        assert words.count(reason) == 1
    assert imread(tmp_path / "new" / "proposition_2.png").std() > 0.05  # something is drawn


def test_the_same_picture_each_time(example: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        example["main"](["--out", str(tmp_path / folder), "--points", "9"])
    assert (tmp_path / "a/proposition_2.png").read_bytes() == (tmp_path / "b/proposition_2.png").read_bytes()


def test_a_grid_too_coarse_is_refused(example: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        example["main"](["--points", "8"])
    assert "--points: 8 is too coarse a grid for two bumps; give 9 or more" in capsys.readouterr().err
