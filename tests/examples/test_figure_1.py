from __future__ import annotations

import dataclasses
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
from scipy.stats import norm

import tinygan as tg

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "figure_1.py"


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The example, with fewer frames and a small GIF."""
    spec = importlib.util.spec_from_file_location("figure_1", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figure_1"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    for name, value in {"MOST_FRAMES": 20, "GIF_DPI": 30}.items():
        setattr(module, name, value)
    yield module
    del sys.modules["figure_1"]


@pytest.fixture(scope="module")
def frames(example: Any) -> Any:
    return example.play(example.SEED, example.STEPS)


def test_the_panels_are_what_the_caption_says(example: Any, frames: Any) -> None:
    shown = example.panels(frames)
    assert list(shown) == ["a", "b", "c", "d"]
    assert example.untrue(shown) == []
    np.testing.assert_array_equal(shown["b"].x, shown["a"].x)  # G stands still
    np.testing.assert_array_equal(shown["c"].d, shown["b"].d)  # D stands still
    assert abs(shown["d"].x[[0, -1]]).min() > 2  # the tails are reached


def reversed_g(frame: Any) -> Any:
    return dataclasses.replace(frame, x=frame.x[::-1])


@pytest.mark.parametrize(
    ("panel", "instead", "said"),
    [
        ("a", lambda frames, shown: frames[0], "(a) p_g is similar"),
        ("a", lambda frames, shown: shown["d"], "(a) p_g is a little beside"),
        ("a", lambda frames, shown: shown["d"], "(a) D is a partially accurate"),
        ("b", lambda frames, shown: shown["a"], "(b) D converges to D*"),
        ("c", lambda frames, shown: shown["b"], "(c) G(z) is where D is higher"),
        ("c", lambda frames, shown: shown["b"], "(c) p_g is closer"),
        ("d", lambda frames, shown: shown["c"], "(d) p_g is close"),
        ("d", lambda frames, shown: shown["c"], "(d) D is close to 1/2"),
        ("d", lambda frames, shown: reversed_g(shown["d"]), "G increases"),
    ],
)
def test_a_statement_that_is_untrue_is_named(example: Any, frames: Any, panel: str, instead: Any, said: str) -> None:
    shown = example.panels(frames)
    assert any(line.startswith(said) for line in example.untrue({**shown, panel: instead(frames, shown)}))


def test_the_jsd_is_low_within_200_steps(frames: Any) -> None:
    early = [frame for frame in frames if frame.phase.startswith("Algorithm 1") and int(frame.phase.split()[-1]) <= 200]
    assert min(frame.jsd for frame in early) < 0.02


def test_p_g_is_the_exact_density_of_g(example: Any, frames: Any) -> None:
    game = example.new_game(example.SEED)
    z = tg.tensor(np.linspace(-1.6, 1.6, 50)[:, None].astype(np.float32), requires_grad=True)
    x = game.generator(z)
    exact = 1 / (2 * example.Z_END * tg.grad(x.sum(), z).numpy()[:, 0])  # p_z(z) / G'(z)
    p_g = example.look(game, "").p_g
    np.testing.assert_allclose(np.interp(x.numpy()[:, 0], example.MIDDLES, p_g), exact, rtol=0.01)


def test_p_g_is_a_curve_and_no_staircase(example: Any, frames: Any) -> None:
    for frame in example.panels(frames).values():
        inside = frame.p_g[frame.p_g > 0][2:-2]  # without the bins where p_g ends
        assert abs(np.diff(inside)).max() < 0.05 * inside.max()
        assert abs(np.diff(inside, 2)).max() < 0.01 * inside.max()


def test_the_aside_leaves_no_trace_in_the_run(example: Any, frames: Any) -> None:
    game = example.new_game(example.SEED)
    for _ in range(example.STEPS):
        game.step(game.streams["data"].normal((example.BATCH, 1)))
    alone = example.look(game, "alone")
    np.testing.assert_array_equal(alone.d, frames[-1].d)
    np.testing.assert_array_equal(alone.x, frames[-1].x)


def test_the_numbers_of_known_densities(example: Any) -> None:
    p, half = example.DATA_DENSITY, np.full(400, 0.5)
    x = np.linspace(-1, 1, len(example.Z))
    right = example.Frame("", "", p, half, x, 0.5, 0.0).numbers()
    assert right["max |D - D*|"] == right["mean |D - D*|"] == right["max |D - 1/2|"] == 0
    assert right["D is right"] == pytest.approx(0.5, abs=1e-5)
    wrong = example.Frame("", "", p, half + 0.1, x, 0.6, 0.0).numbers()
    for name in ("max |D - D*|", "mean |D - D*|", "max |D - 1/2|"):
        assert wrong[name] == pytest.approx(0.1)
    tails = example.Frame("", "", p, np.where(abs(example.MIDDLES) < 2, 0.5, 1.0), x, 0.5, 0.0).numbers()
    assert tails["max |D - D*|"] == 0  # beyond the middle 95 % nothing counts
    apart = example.Frame("", "", np.roll(p, 40), np.where(example.MIDDLES < 0.5, 1.0, 0.0), x, 0.5, 0.0)
    both = norm.cdf(0.5)  # the border of two Gaussians, 1 apart, is half-way
    assert apart.numbers()["D is right"] == pytest.approx(both, abs=1e-3)
    assert apart.numbers()["D* is right"] == pytest.approx(both, abs=1e-3)
    nowhere = example.Frame("", "", 0 * p, half, x, 0.5, 0.0)
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
        np.testing.assert_allclose(told["d"], frame.d[example.SHOWN], atol=5e-4)
        np.testing.assert_allclose(told["g"], frame.x[example.ARROWS], atol=5e-4)
        assert f"= {frame.jsd:.4f} nats" in told["numbers"]
    shown = example.panels(frames)
    assert f"{shown['a'].numbers()['D is right']:.1%}" in run["meanings"]["a"]
    for panel, name in (("b", "max |D - D*|"), ("c", "mean D(G(z))"), ("d", "max |D - 1/2|")):
        assert f"{shown[panel].numbers()[name]:.3f}" in run["meanings"][panel]


def test_markup_in_a_phase_stays_text(example: Any, frames: Any) -> None:
    marked = [dataclasses.replace(frame, phase="</script><b>") for frame in frames]
    assert json.loads(Page(example.page(marked, 5)).scripts[0])["frames"][0]["phase"] == "</script><b>"


# ---------------------------------------------------------------------- the command


def test_pictures_page_and_gif_are_written(
    example: Any, frames: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [frames[0], *example.panels(frames).values()]
    monkeypatch.setattr(example, "play", lambda seed, steps: few)
    for folder in ("a", "b"):
        example.main(["--out", str(tmp_path / folder), "--gif"])
    assert re.findall(r"^\((.)\)", capsys.readouterr().out, re.MULTILINE) == list("abcdabcd")
    assert imread(tmp_path / "a/figure_1.png").std() > 0.05  # something is drawn
    with Image.open(tmp_path / "a/figure_1.gif") as gif:
        assert gif.n_frames == len(few)
    for name in ("figure_1.png", "figure_1.html", "figure_1.gif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_json_has_the_numbers_of_each_panel(
    example: Any, frames: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "play", lambda seed, steps: frames)
    example.main(["--out", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == {panel: frame.numbers() for panel, frame in example.panels(frames).items()}


@pytest.mark.parametrize("steps", ["1", "2"])
def test_a_run_that_is_not_the_figure_is_not_drawn(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    monkeypatch.setattr(example.play, "__defaults__", (30,))  # steps of the inner loop
    with pytest.raises(SystemExit, match=r"(?s)Nothing is drawn.*\(d\) p_g is close to p_data: JSD .*0.02"):
        example.main(["--steps", steps, "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("argument", "value", "least"), [("--seed", "-1", 0), ("--steps", "0", 1)])
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, argument: str, value: str, least: int) -> None:
    with pytest.raises(SystemExit):
        example.main([argument, value])
    assert f"argument {argument}: must be at least {least}, got {value}" in capsys.readouterr().err
