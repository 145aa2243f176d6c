"""The pages in a browser: no message, no request, numbers and sheets by epoch, and all that without the script too."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.doubles.chromium import CHROMIUM, Chromium
from tinygan.report.comparison import write_comparison
from tinygan.report.page import write_page
from tinygan.report.report import write_report

EPOCHS = "[...new Set([...document.querySelectorAll('.at')].map((one) => one.textContent))].join()"
WHEN = "[...document.querySelectorAll('.when')].map((one) => one.textContent).join()"
NEWEST = "document.querySelector('.beside img').src"
VALUE = "document.querySelector('.key b').textContent"
CURSORS = "document.querySelectorAll('.cursor:not([hidden])').length - document.querySelectorAll('.plot').length"
FOCUS = "document.activeElement.getAttribute('aria-valuetext')"


in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture
def chromium(browser):
    """A browser in which no page may write a message or ask for another file."""
    browser.messages.clear()
    yield browser
    browser.run("new Promise((done) => setTimeout(done))")
    assert browser.messages == []


def press(page, *keys):
    for key in keys:
        page.press(key)


def move(page, selector, across):
    """Move the mouse over an element, to this share of its width."""
    box = f"document.querySelector({selector!r}).getBoundingClientRect()"
    x, y, width, height = page.run(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + across * width, y=y + height / 2)


@pytest.fixture
def run(make_run):
    return make_run(epochs=30, sheets=range(0, 31, 2), data=True, diagnosed=(10, 20, 30), layers=True)


def test_the_policy_allows_this_script_only(tmp_path):
    write_page(tmp_path / "page.html", "<title>", "report.html", _Parts())
    source = (tmp_path / "page.html").read_text()
    (script,) = re.findall(r"<script>(.*)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in source
    assert "<title>&lt;title&gt;</title>" in source


class _Parts(dict):
    def __missing__(self, key):
        return ""


@pytest.mark.slow
@in_chromium
def test_the_first_screen_has_verdict_samples_data_and_curves(chromium, run):
    chromium.open(write_report(run), 1500, 900)
    bottoms = chromium.run(
        "['.state', '.now, .soft', '.beside img', '.beside figure:nth-child(2) img', '.plot'].map((one) => "
        "document.querySelector(one).getBoundingClientRect().bottom)"
    )
    assert max(bottoms) <= 900
    assert chromium.run("document.querySelectorAll('.beside img').length") == 2


@pytest.mark.slow
@in_chromium
def test_no_page_is_wider_than_the_window(chromium, run, make_run, tmp_path):
    pages = [write_report(run), write_report(make_run(experiment="gaussian"))]
    pages.append(write_comparison(run, make_run(epochs=2, sheets=[0, 2], name="other"), tmp_path / "two.html"))
    for page in pages:
        for width in (400, 900, 1500):
            for scheme in ("light", "dark"):
                chromium.open(page, width, scheme=scheme)
                assert chromium.run("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@in_chromium
def test_another_script_does_not_run(chromium, run):
    chromium.open(write_report(run))
    chromium.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.x = 1'}))")
    assert chromium.run("'x' in window") is False
    assert "Content Security Policy" in chromium.messages.pop()


@pytest.mark.slow
@in_chromium
def test_hover_shows_one_epoch_in_all_charts(chromium, run):
    chromium.open(write_report(run))
    assert chromium.run(EPOCHS) == "epoch 30"
    move(chromium, ".plot", 0.14 + 0.81 * 20 / 30)
    assert chromium.run(EPOCHS) == "epoch 20"
    assert chromium.run(VALUE) == "0.7"
    assert chromium.run(CURSORS) == 0  # one in each chart
    move(chromium, ".plot", 0.14 + 0.81 * 15 / 30)
    assert chromium.run(EPOCHS) == "epoch 15"
    assert chromium.run(VALUE) == "0.8 (at 10)"  # of the last diagnosis before
    move(chromium, "h1", 0.5)
    assert chromium.run(EPOCHS) == "epoch 30"
    assert chromium.run(CURSORS) < 0


@pytest.mark.slow
@in_chromium
def test_keys_move_the_epoch_of_a_focused_chart(chromium, run):
    chromium.open(write_report(run))
    chromium.run("document.querySelectorAll('.plot')[1].focus()")
    press(chromium, "Home")
    assert chromium.run(EPOCHS) == "epoch 1"
    assert chromium.run(FOCUS).startswith("epoch 1: D 1.115, G 2.503")
    press(chromium, "ArrowRight", "ArrowRight", "PageUp")
    assert chromium.run(EPOCHS) == "epoch 6"
    press(chromium, "End", "ArrowRight", "ArrowLeft")
    assert chromium.run(EPOCHS) == "epoch 29"


@pytest.mark.slow
@in_chromium
def test_the_slider_shows_each_sheet_and_its_numbers(chromium, run):
    chromium.open(write_report(run))
    assert chromium.run(WHEN) == "after 30 epochs"
    chromium.run("document.querySelector('.scrub input').focus()")
    press(chromium, "Home")
    assert chromium.run(WHEN) == "before training"
    press(chromium, "ArrowRight", "ArrowRight")
    assert chromium.run(WHEN) == "after 4 epochs"
    assert chromium.run(EPOCHS) == "epoch 4"
    assert chromium.run(f"{NEWEST} === document.querySelector('#sheets-4 img').src")
    press(chromium, "End")
    assert chromium.run(f"{NEWEST} === document.querySelector('#sheets-30 img').src")


@pytest.mark.slow
@in_chromium
def test_a_click_on_a_chart_shows_the_samples_of_that_epoch(chromium, run):
    chromium.open(write_report(run))
    chromium.run("document.querySelector('.plot').scrollIntoView()")
    move(chromium, ".plot", 0.14 + 0.81 * 11 / 30)
    chromium.run(
        "((plot, {x, width}) => plot.dispatchEvent(new PointerEvent('pointerdown', "
        "{clientX: x + width * (0.14 + 0.81 * 11 / 30)})))"
        "(document.querySelector('.plot'), document.querySelector('.plot').getBoundingClientRect())"
    )
    assert chromium.run(WHEN) == "after 10 epochs"


@pytest.mark.slow
@in_chromium
def test_the_slider_moves_the_samples_of_both_runs(chromium, run, make_run, tmp_path):
    other = make_run(epochs=8, sheets=[0, 4, 8], name="other")
    chromium.open(write_comparison(run, other, tmp_path / "two.html"))
    assert chromium.run(WHEN) == "after 30 epochs,after 8 epochs"
    chromium.run("document.querySelector('.scrub input').focus()")
    press(chromium, "Home", "ArrowRight")
    assert chromium.run(WHEN) == "after 4 epochs,after 4 epochs"


@pytest.mark.slow
@in_chromium
def test_without_the_script_the_newest_is_shown(chromium, run):
    page = write_report(run)
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    chromium.open(page)
    chromium.call("Emulation.setScriptExecutionDisabled", value=False)  # to ask; the page has not run its script
    assert chromium.run(WHEN) == "after 30 epochs"
    assert chromium.run(EPOCHS) == "epoch 30"
    assert chromium.run("getComputedStyle(document.querySelector('.scrub')).display") == "none"
    assert chromium.run("document.querySelectorAll('.sheets figure:not([hidden])').length") > 5
