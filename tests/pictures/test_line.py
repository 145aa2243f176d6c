"""The sheet of single numbers: its curves, and the sheets of the experiment `gaussian`."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.image import imread

from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.errors import DtypeError, RunError, ShapeError
from tinygan.experiments.protocol import load_generator
from tinygan.experiments.running import Limits, run, start
from tinygan.experiments.training import Training
from tinygan.pictures.line import axis_of, save_line_sheet
from tinygan.pictures.sheets import list_sheets

SAMPLES = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)
X = np.linspace(-3, 3, 201)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sheet.png"


def colours(path):
    """Return the pixels as (n, 3) floats from 0 to 1."""
    return imread(io.BytesIO(path.read_bytes()), format="png")[..., :3].reshape(-1, 3)


def count(path, colour):
    return int((abs(colours(path) - np.array(colour)) < 0.02).all(axis=1).sum())


@given(hnp.arrays(float, st.tuples(st.integers(1, 20), st.just(1)), elements=st.floats(-1e6, 1e6)))
def test_the_axis_spans_all_samples_with_a_margin(samples):
    x = axis_of(samples)
    assert x.shape == (201,)
    assert (np.diff(x) > 0).all()
    assert x[0] < samples.min()
    assert x[-1] > samples.max()


def test_the_axis_ignores_non_finite_samples():
    x = axis_of(np.array([[0.0], [np.nan], [-np.inf], [10.0]]))
    assert (x[0], x[-1]) == (-0.5, 10.5)
    assert tuple(axis_of(np.array([[np.nan]]))[[0, -1]]) == (-1.1, 1.1)


BLUE, BLACK = (0.122, 0.467, 0.706), (0, 0, 0)


@pytest.mark.slow
def test_each_given_curve_is_drawn(path):
    def drawn(**curves):
        save_line_sheet(path, SAMPLES, X, **curves)
        return count(path, BLACK), count(path, BLUE)

    alone, with_data = drawn(), drawn(density=np.full(201, 0.2))
    with_d = drawn(answers=np.full(201, 0.25))
    assert alone[1] == with_data[1] == 0
    assert with_data[0] > alone[0] + 100
    assert with_d[1] > 200


@pytest.mark.slow
def test_the_histogram_is_a_density(path):
    """Doubling the samples gives the same bars; samples outside the axis give none."""
    green = (0.79, 0.907, 0.79)  # of the bars
    heights = []
    for samples in (np.full((50, 1), 0.01), np.full((100, 1), 0.01), np.full((100, 1), 9.0)):
        save_line_sheet(path, samples, X, density=np.full(201, 1 / 6))
        heights.append(sum(abs(colours(path) - green).max(axis=1) < 0.03))
    assert heights[0] == heights[1] > 1000
    assert heights[2] == 0


@pytest.mark.slow
def test_the_number_of_non_finite_samples_is_shown(path):
    save_line_sheet(path, SAMPLES, X)
    red = (0.839, 0.153, 0.157)
    assert count(path, red) == 0
    broken = SAMPLES.copy()
    broken[:3, 0] = np.nan, np.inf, -np.inf
    save_line_sheet(path, broken, X)
    assert count(path, red) > 50
    save_line_sheet(path, np.full((3, 1), np.nan), X)  # an empty histogram
    assert count(path, red) > 50


@pytest.mark.slow
def test_the_bytes_depend_on_the_samples_only(tmp_path):
    import matplotlib

    save_line_sheet(tmp_path / "a.png", SAMPLES, X)
    with matplotlib.rc_context({"savefig.dpi": 300, "font.size": 30, "axes.facecolor": "red"}):
        save_line_sheet(tmp_path / "b.png", SAMPLES, X)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: save_line_sheet(tmp_path / f"t{i}.png", SAMPLES, X), range(2)))
    contents = {file.read_bytes() for file in tmp_path.iterdir()}
    assert len(contents) == 1
    assert b"atplotlib" not in contents.pop()


@pytest.mark.parametrize(("samples", "curves", "error", "message"), [
    (np.zeros((3, 2)), {}, ShapeError, r"samples has shape \(3, 2\); expected \(N, 1\), one number a row"),
    (np.zeros(3), {}, ShapeError, r"samples has shape \(3,\)"),
    (np.zeros((0, 1)), {}, ShapeError, r"samples has shape \(0, 1\)"),
    (np.zeros((3, 1), int), {}, DtypeError, "samples is int64; expected a NumPy array of floats"),
    ([[0.0]], {}, DtypeError, "samples is list"),
    (SAMPLES, {"density": np.zeros(5)}, ShapeError, r"density has shape \(5,\); expected \(201,\), a value at each x"),
    (SAMPLES, {"answers": np.zeros(5)}, ShapeError, r"answers has shape \(5,\)"),
])  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(path, samples, curves, error, message):
    with pytest.raises(error, match=message):
        save_line_sheet(path, samples, X, **curves)
    assert not path.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match=r"nowhere/sheet.png: cannot be written: No such file"):
        save_line_sheet(tmp_path / "nowhere" / "sheet.png", SAMPLES, X)


# --- a run ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_sheets_of_a_run_have_one_axis(tmp_path):
    config = load_experiment("gaussian", ["training.epochs=2", "output.samples=100"])
    folder, training = start(config, load("gaussian"), tmp_path / "run")
    run(folder, training)
    sheets = list_sheets(folder)
    assert [epoch for epoch, _ in sheets] == [0, 1, 2]
    assert len({path.read_bytes() for _, path in sheets}) == 3
    generator, _, shape = load_generator(folder)
    assert shape == (1,)
    assert generator.training is False


@pytest.mark.slow
def test_drawing_does_not_change_the_training(tmp_path):
    config = load_experiment("gaussian", ["training.epochs=1"])
    folder, training = start(config, load("gaussian"), tmp_path / "run")
    run(folder, training, Limits(steps=50))
    alone = Training(config, load("gaussian"))
    while alone.steps < 50:
        alone.step()
    watched, unwatched = training.state()[0], alone.state()[0]
    assert all(np.array_equal(watched[name], unwatched[name]) for name in unwatched)
