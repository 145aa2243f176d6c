"""Two runs on one page: the same charts, the same epochs, the settings that differ; refusals."""

from __future__ import annotations

import re

import pytest

from tinygan.errors import RunError
from tinygan.report.comparison import write_comparison


@pytest.fixture
def compare(tmp_path):
    """Return a function that compares two runs and returns the page."""

    def make(*runs):
        out = tmp_path / "two.html"
        assert write_comparison(*runs, out) == out
        return out.read_text(encoding="utf-8")

    return make


def text_of(page):
    page = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).replace("&nbsp;", " ")


@pytest.fixture
def two(make_run):
    options = ["generator.optimizer.lr=0.01", "training.objective=minimax"]
    first = make_run(epochs=20, sheets=range(0, 21, 5), diagnosed=(10, 20), name="long")
    second = make_run(epochs=8, sheets=range(0, 9, 2), overrides=options, name="short")
    return first, second


@pytest.mark.slow
def test_both_runs_are_in_every_chart(compare, two):
    page = compare(*two)
    figures = re.findall(r"<h3>([^<]*)</h3>\n<ul class=\"key\">(.*?)</ul>", page)
    labels = {title: re.findall(r'data-label="([^"]*)"', items) for title, items in figures}
    assert labels.pop("What a fresh classifier can tell: accuracy") == ["A"]
    classifier = [labels.pop(f"What a fresh classifier can tell: {share}") for share in ("precision", "recall")]
    assert classifier == [["A"], ["A"]]
    assert len(labels) == 10
    assert set(map(tuple, labels.values())) == {("A", "B")}
    assert "B: <b>1.251 (at 8)</b>" in page  # the end of the shorter run
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_two_objectives_have_two_levels(compare, two):
    page = compare(*two)
    (key,) = re.findall(r"<h3>What each player minimises: G</h3>\n<ul class=\"key\">(.*?)</ul>", page)
    assert "log 2 = 0.693" in key
    assert "−log 2 = −0.693" in key
    assert "log 4" not in key


@pytest.mark.slow
def test_samples_of_common_epochs_and_the_newest(compare, two):
    page = compare(*two)
    for letter, expected in (("a", [0, 20]), ("b", [0, 8])):
        assert [int(n) for n in re.findall(rf'id="sheets-{letter}-(\d+)"', page)] == expected


@pytest.mark.slow
def test_settings_that_differ(compare, two, make_run):
    page = compare(*two)
    rows = re.findall(r'<th scope="row"><code>([^<]*)</code></th><td>(.*?)</td><td>(.*?)</td>', page)
    assert rows == [
        ("generator.optimizer.lr", "0.002", "0.01"),
        ("training.epochs", "20", "8"),
        ("training.objective", "&quot;non-saturating&quot;", "&quot;minimax&quot;"),
    ]
    assert "All settings are equal." in compare(make_run(epochs=1, name="one"), make_run(epochs=1, name="two"))


@pytest.mark.slow
def test_measures_and_numbers_of_both(compare, two):
    text = text_of(compare(*two))
    assert "accuracy of a fresh classifier 0.7 ± 0.025" in text
    assert "verdicts none not diagnosed accuracy" in text
    assert "A After 20 epochs. After epoch 20," in text
    assert "B After 8 epochs. No fresh classifier has judged the samples yet." in text
    assert "epochs 20 8 iterations 420 168" in text


@pytest.mark.slow
def test_two_experiments_can_be_compared(compare, two, make_run):
    text = text_of(compare(two[0], make_run(epochs=2, experiment="gaussian", sheets=[0, 1])))
    assert "generator.layers.0.units 256" in text


@pytest.mark.slow
def test_a_run_that_trains_can_be_compared(compare, two):
    with two[0].lock():
        assert "Two tinygan runs compared" in compare(*two)


def test_one_run_cannot_be_compared_with_itself(make_run, tmp_path):
    run = make_run(epochs=1)
    (tmp_path / "link").symlink_to(run.path)
    for other in (run, type(run)(tmp_path / "link")):
        with pytest.raises(RunError, match="both are the same run"):
            write_comparison(run, other, tmp_path / "two.html")
    assert not (tmp_path / "two.html").exists()


def test_a_run_without_an_epoch_is_refused(make_run, tmp_path):
    done, begun = make_run(epochs=1, name="done"), make_run(name="begun")
    for runs in ((done, begun), (begun, done)):
        with pytest.raises(RunError, match=r"begun: no epoch of this run is complete.*tinygan resume"):
            write_comparison(*runs, tmp_path / "two.html")


def test_nothing_in_two_runs_becomes_markup(compare, make_run):
    evil = "</script><b>x</b> & $state"
    runs = [
        make_run(epochs=1, name=f"<i>&{i}", overrides=[f"description={evil}{i}"], change=lambda _: {"steps": evil})
        for i in range(2)
    ]
    page = compare(*runs)
    assert "<b>x" not in page
    assert "<i>" not in page
    assert page.count("</script>") == 1
