"""The page of a trace in a browser: it plays, steps, folds, follows, finds and opens, and its console stays empty."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
from tests.doubles.chromium import CHROMIUM, Chromium
from tests.trace.traces import EVERY, game, readme
from tinygan import nn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture
def opened(browser, tmp_path):
    def load(t, width=1500, height=900, scheme="light"):
        t.html(tmp_path / "step.html")
        browser.messages.clear()
        browser.open(tmp_path / "step.html", width, height, scheme)
        return browser

    yield load
    assert browser.messages == []


def caption(page):
    return page.run("byId('caption').textContent")


def text(page, key):
    return page.run(f"[...byId('{key}').querySelectorAll('text')].map(t => t.textContent)")


def kinds(page, key):
    return page.run(f"[...byId('{key}').classList]")


OUTSIDE = """(() => {
  const bad = [];
  for (const node of nodes.values()) {
    if (node.in) continue;
    const room = node.element.querySelector("rect").getBBox();
    for (const line of node.element.querySelectorAll("text"))
      if (line.getBBox().width > room.width) bad.push(line.textContent);
  }
  for (const step of steps) {
    const [x, y, width, height] = step.box;
    for (const line of step.svg.querySelectorAll(".edge text")) {
      const b = line.getBBox();
      const out = b.x < x || b.x + b.width > x + width || b.y < y || b.y + b.height > y + height;
      if (!line.closest(".gone") && b.width && out) bad.push(line.textContent);
    }
  }
  return bad;
})()"""


COVERED = """(() => {
  const bad = [], within = (a, b, i, slack) => a[i] + slack < b[i] + b[i + 2] && b[i] + slack < a[i] + a[i + 2];
  const meet = (a, b) => within(a, b, 0, 2) && within(a, b, 1, 4);
  for (const step of steps) {
    const labels = [...step.svg.querySelectorAll(".shape, .norm")].filter((t) => !t.closest(".gone") && t.textContent);
    const areas = labels.map((t) => t.getBBox()).map((b) => [b.x, b.y, b.width, b.height]);
    const things = step.nodes.filter((node) => !node.in).concat(step.boxes.filter((box) => box.folded && !box.hidden));
    areas.forEach((area, i) => {
      if (things.some((thing) => meet(area, thing.now))) bad.push("a node and " + labels[i].textContent);
      if (areas.slice(i + 1).some((other) => meet(area, other))) bad.push("a label and " + labels[i].textContent);
    });
  }
  return bad;
})()"""


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (900, "light"), (1500, "light")])
def test_every_trace_opens_at_every_width(name, width, scheme, opened):
    page = opened(EVERY[name](), width, scheme=scheme)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(OUTSIDE) == page.run(COVERED) == []
    page.run("foldAll(true)")
    assert page.run(OUTSIDE) == page.run(COVERED) == []


def test_the_arrows_go_through_forward_and_backward(opened):
    page = opened(readme())
    page.press("Home")
    assert text(page, "r1") == ["#1 multiply", "not computed", "not computed"]
    page.press("ArrowRight")
    assert text(page, "r1") == ["#1 multiply", "6", "not computed"]
    assert caption(page).startswith("#1 multiply takes a and b")
    page.press("End")
    assert text(page, "r1") == ["#1 multiply", "6", "g 0.125"]
    assert "lit" in kinds(page, "r1")
    page.press("ArrowLeft")
    assert text(page, "r1") == ["#1 multiply", "6", "not computed"]
    assert "lit" in kinds(page, "r2")


def test_a_gradient_is_complete_after_its_last_term(opened):
    page = opened(readme())
    a = page.run("[...nodes.values()].find(n => n.ref === 'l0').key")
    steps = page.run("moments.length")
    page.run(f"go({steps} - 1)")  # one of the two terms of a has come
    assert text(page, a)[-1] == "not computed"
    page.press("ArrowRight")
    assert text(page, a)[-1] == "g 0.5"


def test_play_comes_to_the_end_and_pauses(opened):
    page = opened(readme())
    page.run("byId('speed').options[0].value = '100'; byId('speed').selectedIndex = 0")
    page.press(" ")
    assert page.run("byId('play').textContent") == "Pause"
    page.run("new Promise((done) => { const look = () => (timer === null ? done() : setTimeout(look, 20)); look(); })")
    assert page.run("now === last")
    assert page.run("byId('play').getAttribute('aria-pressed')") == "false"


def test_space_pauses(opened):
    page = opened(readme())
    page.press(" ")
    page.press(" ")
    assert page.run("timer") is None


def test_a_click_opens_formula_source_and_numbers(opened):
    page = opened(game())
    row = next(number for number in range(1, 40) if page.run(f"rows[{number}].name") == "linear")
    page.run("foldAll(false)")
    page.click(f"#r{row}")
    words = page.run("byId('detail').innerText")
    assert "Y = X W + b" in words
    assert "def backward" in words
    assert "tinygan/functional/linear.py:" in words
    assert page.run("document.activeElement.id") == "detail"
    assert page.run("byId('detail').querySelectorAll('canvas').length") >= 1
    page.press("Escape")
    assert page.run("byId('detail').hidden")
    page.run("byId('r2').focus()")
    page.press("Enter")
    assert page.run("byId('detail').querySelector('h2').textContent") == "#2 relu"


def test_a_convolution_shows_its_kernels_and_maps(opened):
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 1, 8, 8)), dtype="float32")
    layer = nn.Conv2d(1, 3, 4, 2, 1)
    with tg.trace() as t:
        layer(x).sum().backward()
    page = opened(t)
    page.run("foldAll(false)")
    page.click("#r1")
    words = page.run("byId('detail').innerText")
    assert "y = conv(x, w) + b" in words
    assert "tinygan/functional/convolution.py:" in words
    assert "The first 6 of 6 maps: the channels of the first example, then the next." in words
    weight = page.run("[...nodes.values()].find((node) => node.element.textContent.includes('weight')).element.id")
    page.click(f"#{weight}")
    assert "The first 3 of 3 kernels" in page.run("byId('detail').innerText")


def test_the_detail_does_not_know_the_future(opened):
    page = opened(readme())
    page.run("go(2); open('r2')")
    assert page.run("byId('detail').innerText").count("not computed yet") == 1
    page.run("go(1)")
    assert page.run("byId('detail').innerText").count("not computed yet") == 2


def test_a_box_folds_and_unfolds(opened):
    page = opened(game())
    box = page.run("[...boxes.values()].find(b => b.title === 'discriminator').key")
    key = page.run(f"steps[0].nodes.find(n => n.row === boxes.get('{box}').rows[0]).key")
    wide = page.run("steps[0].box[2]")
    page.run(f"byId('{box}').focus()")
    page.press("Enter")
    assert page.run(f"byId('{box}').getAttribute('aria-expanded')") == "false"
    assert "gone" in kinds(page, key)
    assert page.run("steps[0].box[2]") < wide
    page.press("Enter")
    assert "gone" not in kinds(page, key)


def test_a_module_without_gradient_is_folded(opened):
    page = opened(game())
    assert page.run("steps[0].boxes.filter(b => b.folded).map(b => b.title)") == ["generator"]
    assert page.run("steps[1].boxes.filter(b => b.folded).length") == 0


def test_folded_steps_stand_side_by_side(opened):
    page = opened(game())
    page.click("#fold")
    tops = page.run("steps.map(s => s.section.getBoundingClientRect().top)")
    assert tops[0] == tops[1]


def test_a_phone_shows_one_step_and_a_switch(opened):
    page = opened(game(), 400)
    shown = "steps.filter(s => s.section.offsetHeight).map(s => s.number)"
    assert page.run(shown) == [2]
    page.click("#tabs button")
    assert page.run(shown) == [1]


def test_following_a_weight_plays_only_its_path(opened):
    page = opened(game())
    leaf = page.run("Object.keys(leaves).find(k => leaves[k].name === 'generator.0.weight')")
    page.run(f"follow('{leaf}')")
    rows = page.run("path.moments.map(m => moments[m - 1]).filter(m => m.kind === 'backward').map(m => m.row)")
    names = page.run(f"{rows}.map(row => rows[row].name)")
    assert names[0] == "binary_cross_entropy_with_logits"
    assert names[-1] == "linear"
    assert page.run("path.moments.every(m => moments[m - 1].step === 2)")
    bias = page.run("steps[1].nodes.find(n => n.leaf >= 0 && leaves[n.leaf].name === 'generator.0.bias').key")
    assert "dim" in kinds(page, bias)
    page.run("follow('')")
    assert "dim" not in kinds(page, bias)


def test_the_path_to_a_weight_has_no_other_loss(opened):
    t = game(schedule="simultaneous", shared_noise=True)
    page = opened(t)
    leaf = next(number for number, leaf in enumerate(t.leaves) if leaf.name == "generator.0.weight")
    page.run(f"follow('{leaf}')")
    reached = {row.number for row in t.passes[1].rows}
    assert set(page.run("[...path.rows]")) <= reached
    assert t.passes[0].output.number not in page.run("[...path.rows]")


def test_find_marks_and_opens(opened):
    page = opened(game())
    page.press("/")
    assert page.run("document.activeElement.id") == "search"
    for letter in "sigmoid":
        page.press(letter)
    assert page.run("byId('found').textContent") == "2 found"
    page.press("Enter")
    assert page.run("byId('detail').querySelector('h2').textContent").endswith("sigmoid")
    assert page.run("boxes.get('s1b0').folded") is False
    page.run("byId('search').value = 'no such thing'; find('no such thing')")
    assert page.run("byId('found').textContent") == "nothing found"


def test_moved_parameters_are_marked_after_the_update(opened):
    page = opened(game())
    moved = "document.querySelectorAll('.node.moved').length"
    assert page.run(moved) == 8
    page.run("go(last - 1)")
    assert page.run(moved) == 4


def test_everything_has_a_label_for_a_reader_of_the_screen(opened):
    page = opened(game())
    named = "e.getAttribute('aria-label') || e.textContent || e.closest('label')"
    every = "[...document.querySelectorAll('[tabindex=\"0\"], button, select, input')]"
    assert page.run(f"{every}.filter(e => !({named})).length") == 0
    assert "gradient" in page.run("byId('r1').getAttribute('aria-label')")
