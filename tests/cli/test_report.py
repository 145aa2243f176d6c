"""`tinygan report`: a report again, two runs compared, and refusals."""

from __future__ import annotations

import pytest

from tinygan.runs.run_folder import RunFolder


@pytest.fixture
def runs(tinygan, small):
    for name in ("one", "two"):
        words = ("--epochs", "1", "--out", name, "--quiet", "--seed", str(len(name)))
        assert tinygan("train", "digits", *words, *small).status == 0


@pytest.mark.slow
def test_the_report_is_written_again(tinygan, runs, tmp_path):
    (tmp_path / "one" / "report.html").write_text("old")
    answer = tinygan("report", "one")
    assert (answer.status, answer.out, answer.err) == (0, "one/report.html\n", "")
    page = (tmp_path / "one" / "report.html").read_text()
    assert "After 1 epoch" in page
    assert "As many real images" in page
    assert tinygan("report", "one", "--out", "copy.html").out == "copy.html\n"
    assert (tmp_path / "copy.html").read_text() == page


@pytest.mark.slow
def test_two_runs_on_one_page(tinygan, runs, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    answer = tinygan("report", "one", "two", "--out", "both.html")
    assert (answer.status, answer.out, answer.err) == (0, "both.html\n", "")
    assert "Two tinygan runs compared" in (tmp_path / "both.html").read_text()
    assert all(path.read_bytes() == content for path, content in before.items())  # the runs are only read


@pytest.mark.slow
def test_a_run_that_trains_writes_its_report_itself(tinygan, runs, tmp_path):
    before = (tmp_path / "one" / "report.html").read_bytes()
    with RunFolder.open("one").lock():
        answer = tinygan("report", "one")
        assert answer.status == 1
        assert "in use by process" in answer.err
        assert (tmp_path / "one" / "report.html").read_bytes() == before
        assert tinygan("report", "one", "two", "--out", "both.html").status == 0


@pytest.mark.slow
def test_a_run_that_was_stopped_in_its_first_epoch(tinygan, small):
    words = ("--epochs", "1", "--steps", "2", "--out", "begun", "--quiet", *small)
    assert tinygan("train", "digits", *words).status == 0
    assert tinygan("report", "begun").status == 0
    assert tinygan("train", "digits", "--epochs", "1", "--out", "done", "--quiet", *small).status == 0
    answer = tinygan("report", "begun", "done", "--out", "both.html")
    assert answer.status == 1
    assert "begun: no epoch of this run is complete" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: expected a run folder"),
        (["one", "nowhere", "--out", "x.html"], "nowhere: expected a run folder"),
        (["one", "one/", "--out", "x.html"], "both are the same run"),
        (["one", "two"], "two runs are compared on a page of their own: --out FILE.html"),
        (["one", "two", "--out", "x.png"], "expected a name that ends in .html"),
        (["one", "--out", "no/x.html"], "there is no folder no"),
        (["on"], "did you mean one?"),
    ],
)
def test_refusals_of_report(tinygan, runs, words, message, tmp_path):
    answer = tinygan("report", *words)
    assert (answer.status, answer.out) == (1, "")
    assert message in answer.err
    assert not (tmp_path / "x.html").exists()
