from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.experiments.training import Training

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "figure_1.py"
EPOCHS = 6


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The example, with an inner loop that is short enough for a test."""
    spec = importlib.util.spec_from_file_location("figure_1", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figure_1"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    for name, value in {"INNER_BATCH": 256, "MOST_FRAMES": 12, "GIF_DPI": 30}.items():
        setattr(module, name, value)
    yield module
    del sys.modules["figure_1"]


@pytest.fixture(scope="module")
def frames(example: Any) -> Any:
    return example.play(load_experiment("gaussian", [f"training.epochs={EPOCHS}"]), 1200)


def test_the_panels_are_what_the_caption_says(example: Any, frames: Any) -> None:
    shown = example.panels(frames)
    assert list(shown) == ["a", "b", "c", "d"]
    a, b, c, d = shown.values()
    assert a.jsd < example.NEAR
    assert a.distance > 0.1  # D is a partially accurate classifier
    np.testing.assert_array_equal(b.x, a.x)  # G stands still
    assert b.distance < 0.6 * a.distance  # D comes to D*
    np.testing.assert_array_equal(c.d, b.d)  # D stands still
    assert c.jsd < 0.6 * b.jsd  # G has gone where D's gradient led it
    assert d.jsd < min(c.jsd, 0.02)
    assert d.doubt < 0.1
    assert (np.diff(d.x) > 0).all()  # the arrows do not cross


def test_the_aside_leaves_no_trace_in_the_run(example: Any, frames: Any) -> None:
    training = Training(load_experiment("gaussian", [f"training.epochs={EPOCHS}"]), load("gaussian"))
    while True:
        training.step()
        if training.epoch_is_over:
            if training.epoch == EPOCHS:
                break
            training.next_epoch()
    alone = example.look(training.game, "alone")
    np.testing.assert_array_equal(alone.d, frames[-1].d)
    np.testing.assert_array_equal(alone.x, frames[-1].x)


def test_what_a_frame_says_of_known_densities(example: Any) -> None:
    p, half = example.DATA_DENSITY, np.full(400, 0.5)
    right = example.Frame("", "", p, half, None, 0.0)
    assert right.doubt == right.distance == 0
    wrong = example.Frame("", "", p, half + 0.1, None, 0.0)
    assert wrong.doubt == pytest.approx(0.1)
    assert wrong.distance == pytest.approx(0.1)
    tails = example.Frame("", "", p, np.where(p > 0.01 * p.max(), 0.5, 1.0), None, 0.0)
    assert tails.doubt == 0  # beyond 1 % of the peak nothing counts
    nowhere = example.Frame("", "", 0 * p, half, None, 0.0)
    assert (nowhere.d_star == 1).all()


# ---------------------------------------------------------------------- the page


class Page(HTMLParser):
    """Every tag of a page, and what is inside of its scripts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)


def test_the_page_is_whole_and_fetches_nothing(example: Any, frames: Any) -> None:
    source = example.page(frames, 5)
    page = Page(source)
    assert "/*RUN*/" not in source
    assert len(source) < 2_000_000
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes)
    assert set(re.findall(r"https?://[^\"'\s)]+", source)) <= {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", source)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.tags)


def test_the_page_can_be_played_by_mouse_and_by_keyboard(example: Any, frames: Any) -> None:
    page = Page(example.page(frames, 5))
    ids = {attributes.get("id"): tag for tag, attributes in page.tags}
    assert {ids[name] for name in ("play", "back", "forward")} == {"button"}
    assert ids["slider"] == "input"
    # what the script looks for is there
    assert set(re.findall(r'(?:byId|getElementById)\("([a-z]+)"\)', page.scripts[1])) <= set(ids)
    for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
        assert key in page.scripts[1]


def test_the_numbers_in_the_page_are_those_of_the_run(example: Any, frames: Any) -> None:
    run = json.loads(Page(example.page(frames, 5)).scripts[0])
    assert len(run["frames"]) == len(frames)
    assert [frame["panel"] for frame in run["frames"] if frame["panel"]] == ["a", "b", "c", "d"]
    for told, frame in zip(run["frames"], frames, strict=True):
        assert len(told["p_g"]) == len(told["d"]) == len(told["d_star"]) == len(run["x"]) == len(run["p_data"])
        assert len(told["g"]) == len(run["z"])
        np.testing.assert_allclose(told["d"], frame.d[example.SHOWN][::2], atol=5e-4)
        np.testing.assert_allclose(told["g"], frame.x, atol=5e-4)
        assert told["jsd"] == pytest.approx(frame.jsd, abs=5e-5)


def test_markup_in_a_phase_stays_text(example: Any, frames: Any) -> None:
    frame = example.Frame("", "</script><b>", frames[0].p_g, frames[0].d, frames[0].x, 0.0)
    assert json.loads(Page(example.page([frame], 5)).scripts[0])["frames"][0]["phase"] == "</script><b>"


# ---------------------------------------------------------------------- the command


def test_pictures_page_and_gif_are_written(
    example: Any, frames: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "play", lambda config: frames)
    monkeypatch.setattr(example, "MOST_DOUBT", 0.1)
    for folder in ("a", "b"):
        example.main(["--out", str(tmp_path / folder), "--gif"])
    assert re.findall(r"^\((.)\)", capsys.readouterr().out, re.MULTILINE) == list("abcdabcd")
    assert imread(tmp_path / "a/figure_1.png").std() > 0.05  # something is drawn
    with Image.open(tmp_path / "a/figure_1.gif") as gif:
        assert gif.n_frames == len(frames)
    for name in ("figure_1.png", "figure_1.html", "figure_1.gif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    monkeypatch.setattr(example, "MOST_JSD", 1e-6)
    with pytest.raises(SystemExit, match=r"no equilibrium yet: .* JSD = 0.0\d+ nats, expected below 1e-06"):
        example.main(["--out", str(tmp_path / "a")])


@pytest.mark.parametrize(("argument", "value", "least"), [("--seed", "-1", 0), ("--epochs", "0", 1)])
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, argument: str, value: str, least: int) -> None:
    with pytest.raises(SystemExit):
        example.main([argument, value])
    assert f"argument {argument}: must be at least {least}, got {value}" in capsys.readouterr().err
