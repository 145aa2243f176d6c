"""The report is one complete, well-formed page for every state of a run."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from tinygan.diagnosis import headline
from tinygan.errors import ConfigError, RunError
from tinygan.pictures.sheets import data_path, sheet_path
from tinygan.report.report import write_report
from tinygan.runs.json_lines import append_record
from tinygan.runs.run_folder import RunFolder

VOID = {"meta", "img", "br", "link", "input", "hr", "source", "base", "wbr"}


class Page(HTMLParser):
    """Read a report; fail on a tag that is not closed properly."""

    def __init__(self, source):
        super().__init__()
        self.source, self.open, self.tags, self.words = source, [], [], []
        self.feed(source)
        self.close()
        assert self.open == [], f"not closed: {self.open}"
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag}: an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, f"<{tag}/> is closed in SVG only"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    def pictures(self):
        return [base64.b64decode(img["src"].removeprefix("data:image/png;base64,")) for img in self.all("img")]


def report_of(run):
    path = write_report(run)
    assert path == run.report_path
    return Page(path.read_bytes().decode())


def broken_later(epoch):
    return dict.fromkeys(["discriminator_loss", "value", "generator_gradient_norm"]) if epoch > 3 else {}


RUNS = {
    "just begun": {},
    "begun, with a sheet": {"sheets": [0]},
    "one epoch": {"epochs": 1, "sheets": [0, 1]},
    "without samples": {"epochs": 3},
    "finished": {"epochs": 30, "sheets": range(0, 31, 2)},
    "broken": {"epochs": 5, "change": broken_later},
    "all null": {"epochs": 2, "change": lambda _: dict.fromkeys(["d_accuracy", "value", "generator_loss", "steps"])},
    "diagnosed": {"epochs": 20, "sheets": [0, 20], "data": True, "diagnosed": (5, 10, 15, 20), "layers": True},
    "the paper's": {"epochs": 3, "experiment": "mnist", "change": lambda _: {"momentum": 0.5}},
}


@pytest.mark.slow
@pytest.mark.parametrize("state", RUNS)
def test_every_state_of_a_run_gives_a_complete_page(make_run, state):
    page = report_of(make_run(**RUNS[state]))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in {"href", "src", "srcset", "xlink:href", "action"} & set(attributes):
            if (tag, name) == ("img", "src"):
                assert attributes[name].startswith("data:image/png;base64,")
            else:
                assert attributes[name][0] == "#"
                assert attributes[name][1:] in ids
    assert not re.search(r"https?:|@import|@font-face", page.source)
    assert all(target in ids for target in re.findall(r"url\(#([^)]*)\)", page.source))
    assert re.findall(r"url\((?!#)", page.source) == []
    assert "default-src 'none'" in page.all("meta")[2]["content"]
    for picture, attributes in zip(page.pictures(), page.all("img"), strict=True):
        height, width = imread(io.BytesIO(picture), format="png").shape[:2]
        assert (attributes["width"], attributes["height"]) == (str(width), str(height))
        assert attributes["alt"]
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert svg["aria-label"]
    assert page.open == []
    assert page.all("script") == [{}]


def test_the_page_adapts_to_scheme_and_screen(make_run):
    source = report_of(make_run()).source
    assert "prefers-color-scheme: dark" in source
    assert '<meta name="viewport" content="width=device-width' in source
    assert '<meta name="color-scheme" content="light dark">' in source


def test_the_report_of_a_new_run(make_run):
    page = report_of(make_run())
    assert "The first epoch is not complete yet." in page.text
    assert "No samples have been drawn yet." in page.text
    assert "No epoch has been timed yet." in page.text
    assert page.all("svg") == page.all("img") == []


def opening(page):
    """Return the text of the first screen."""
    return page.text[: page.text.index(" The game ")]


@pytest.mark.slow
def test_the_headline_is_what_a_fresh_classifier_tells(make_run, diagnosis_of):
    text = opening(report_of(make_run(epochs=30, diagnosed=(10, 20, 25))))
    assert headline(diagnosis_of(20)) in text  # the last diagnosis with a classifier
    assert "70.0 % ± 2.5 %" in text
    assert "D has won" not in text
    won = opening(report_of(make_run(epochs=12, diagnosed=(10,), name="won")))
    assert "D has won. G's gradient falls." in won


@pytest.mark.slow
def test_without_a_classifier_no_run_is_called_near_the_equilibrium(make_run):
    """Noise after one epoch has an accuracy of D near 1/2, as a trained run has."""
    text = opening(report_of(make_run(epochs=1, change=lambda _: {"d_accuracy": 0.5})))
    assert "After 1 epoch. No fresh classifier has judged the samples yet." in text
    assert "equilibrium" not in text


@pytest.mark.slow
def test_verdicts_with_epochs_numbers_and_advice(make_run):
    page = report_of(make_run(epochs=30, diagnosed=(5, 10, 15, 20)))
    verdicts = page.text[page.text.index(" The verdicts ") : page.text.index(" The samples ")]
    assert "Diagnosed at 4 epochs, from 5 to 20." in verdicts
    assert "Epoch 5. D has won. G's gradient falls. The number: 0.987. For comparison: 0.5." in verdicts
    assert "train D less" in verdicts
    assert "Epoch 15. Over: D has won." in verdicts
    assert verdicts.count("Epoch") == 2
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)</th><td class="number">(.*?)</td>', page.source))
    assert rows["accuracy of a fresh classifier"] == "0.7 ± 0.025"
    assert rows["bound on the JSD, by D on new data"] == "0.2"


@pytest.mark.slow
def test_real_images_beside_the_samples(make_run):
    run = make_run(epochs=1, sheets=[0, 1], data=True)
    page = report_of(run)
    assert page.pictures()[:2] == [sheet_path(run, 1).read_bytes(), data_path(run).read_bytes()]
    assert page.all("img")[1]["alt"] == "Sheet of training images of digits"
    assert "As many real images" in opening(page)
    data_path(run).unlink()
    assert "real images" not in report_of(run).text


@pytest.mark.slow
def test_normalised_contrast_is_explained(make_run):
    assert "mid grey is 0" in report_of(make_run(epochs=1, sheets=[0, 1], overrides=["data.contrast=55"])).text
    assert "mid grey" not in report_of(make_run(epochs=1, sheets=[0, 1], name="plain")).text


@pytest.mark.slow
def test_gradient_norms_are_charts_and_no_row(make_run):
    page = report_of(make_run(epochs=3, layers=True))
    assert "The gradient norms in D, by layer" in page.text
    assert "5 linear:" in page.text
    assert "gradient_norms" not in page.text


def test_another_place_for_the_report(make_run, tmp_path):
    run = make_run()
    assert write_report(run, tmp_path / "copy.html") == tmp_path / "copy.html"
    assert not run.report_path.exists()
    assert (tmp_path / "copy.html").read_bytes() == write_report(run).read_bytes()


@pytest.mark.slow
def test_the_report_of_an_unfinished_run(make_run):
    run = make_run(epochs=1, overrides=["training.epochs=400"])
    assert "After 1 of 400 epochs." in report_of(run).text


@pytest.mark.slow
def test_the_report_of_a_broken_run_names_the_epoch(make_run):
    page = report_of(make_run(**RUNS["broken"]))
    assert "In epoch 4 a loss became infinite or nan" in page.text
    assert "D: not a number" in page.text


@pytest.mark.slow
def test_samples_from_the_first_to_the_newest(make_run):
    run = make_run(epochs=30, sheets=range(31))
    page = report_of(run)
    newest, *evolution = page.pictures()
    assert newest == evolution[-1] == sheet_path(run, 30).read_bytes()
    assert evolution[0] == sheet_path(run, 0).read_bytes()
    assert len(evolution) == 31
    figures = [attributes for attributes in page.all("figure") if "data-epoch" in attributes]
    assert [int(attributes["data-epoch"]) for attributes in figures] == list(range(31))
    assert 8 <= sum("hidden" not in attributes for attributes in figures) <= 12
    assert "Samples: after 30 epochs" in page.text
    order = [page.text.index(f" {when} ") for when in ("before training", "after 1 epoch", "after 2 epochs")]
    assert order == sorted(order)
    assert page.all("img")[0]["alt"] == "Sheet of 100 samples after 30 epochs"


@pytest.mark.slow
def test_the_sheets_of_single_numbers_are_explained(make_run):
    runs = [make_run(epochs=2, sheets=range(3), experiment=name) for name in ("digits", "gaussian")]
    pictures, line = map(report_of, runs)
    assert "The same position on every sheet" in pictures.text
    assert "The same position on every sheet" not in line.text
    assert "Green: the histogram of G(z)" in line.text
    assert line.all("img")[0]["alt"] == "Histogram of 10000 samples after 2 epochs"
    assert [page.source.count('class="sheets drawing"') for page in (pictures, line)] == [0, 1]
    assert [page.source.count('class="newest drawing"') for page in (pictures, line)] == [0, 1]
    assert "--data" not in line.text


def test_sheets_that_cannot_be_shown_are_named(make_run):
    run = make_run(sheets=[0, 1])
    sheet_path(run, 1).write_bytes(b"no picture")
    assert "damaged or not PNG files: epoch-000001.png." in report_of(run).text


@pytest.mark.slow
def test_curves_and_their_references(make_run):
    page = report_of(make_run(epochs=30, change=lambda _: {"momentum": 0.5}))
    for name in ("losses-reference-log-4", "losses-reference-log-2", "value-reference-minus-log-4",
                 "answers-reference-half", "accuracy-reference-half"):  # fmt: skip
        assert f'id="{name}"' in page.source
    for label in ("log 4 = 1.386", "log 2 = 0.693", "−log 4 = −1.386", "1/2"):
        assert f">{label}</li>" in page.source
    assert len(page.all("svg")) == 7
    assert page.source.count("<figcaption>") == 7
    label = page.all("svg")[0]["aria-label"]
    assert label.startswith("What each player minimises, by epoch from 1 to 30; D: 1.371 at the end, between 1.115 and")
    assert label.endswith("dashed line: log 4 = 1.386; dashed line: log 2 = 0.693")


@pytest.mark.slow
def test_minimax_has_another_reference(make_run):
    page = report_of(make_run(epochs=2, overrides=["training.objective=minimax"]))
    assert ">−log 2 = −0.693</li>" in page.source
    assert ">log 2 = 0.693" not in page.source


@pytest.mark.slow
def test_the_final_numbers(make_run):
    page = report_of(make_run(epochs=30, change=lambda epoch: {"parzen <mean>": -epoch / 2, "note": "a&b"}))
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)</th><td class="number">(.*?)</td>', page.source))
    assert rows["iterations"] == "630"
    assert rows["loss of D"] == "1.371"
    assert rows["accuracy of D"] == "0.5199"
    assert rows["<code>parzen &lt;mean&gt;</code>"] == "−15"
    assert rows["<code>note</code>"] == "a&amp;b"
    assert "momentum" not in rows
    assert "epoch 30" in page.text


@pytest.mark.slow
def test_time(make_run):
    text = report_of(make_run(epochs=30)).text
    assert "30 epochs took 23.2 s. The median epoch took 0.775 s, the fastest 0.05 s, the slowest 1.5 s." in text


@pytest.mark.parametrize(("seconds", "expected"), [
    (0.0123456, "0.0123 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (119.7, "2 min 0 s"), (7384, "2 h 3 min"),
])  # fmt: skip
def test_long_times(make_run, seconds, expected):
    run = make_run()
    run.append_timing({"epoch": 1, "seconds": seconds})
    assert f"1 epoch took {expected}." in report_of(run).text


@pytest.mark.slow
def test_the_command_to_run_it_again(make_run):
    run = make_run(epochs=1, overrides=["seed=77"])
    page = report_of(run)
    assert "tinygan train config.toml --out ../again" in page.text
    assert "The seed, 77," in page.text
    assert f"<pre>{html.escape(run.config_path.read_text())}</pre>" in page.source
    assert str(run.path.parent) not in page.source  # reports are given to other people
    assert "--data" not in page.text


def test_the_command_keeps_the_data_and_the_device_of_the_run(make_run):
    environment = {"data_folder": "/my data/<b>", "device": "cuda"}
    page = report_of(make_run(experiment="mnist", environment=environment))
    expected = "tinygan train config.toml --out ../again --data '/my data/<b>' --device cuda"
    assert html.escape(expected) in page.source
    assert "add --data" not in page.text


def test_the_command_names_data_that_need_files(make_run):
    assert "add --data" in report_of(make_run(experiment="mnist")).text


def test_the_environment(make_run):
    environment = {
        "python": "3.11.0", "simd": ["AVX2", "FMA3"], "blas_threads": 2, "commit": None,
        "thread_variables": {"OMP_NUM_THREADS": None, "MKL_NUM_THREADS": "2"}, "empty": [],
    }  # fmt: skip
    source = report_of(make_run(environment=environment)).source
    source = source[source.index("The machine and the versions") :]
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', source)
    assert rows == [
        ("python", "3.11.0"), ("simd", "AVX2, FMA3"), ("blas threads", "2"), ("commit", "unknown"),
        ("thread variables", "MKL_NUM_THREADS = 2"), ("empty", "none"),
    ]  # fmt: skip


EVIL = """</p><script>alert(1)</script><img src=x onerror='alert(2)'> "&amp;" ${name} $state \x00"""


@pytest.mark.slow
def test_nothing_in_the_run_becomes_markup(make_run):
    run = make_run(
        environment={EVIL: EVIL, "simd": [EVIL], "thread_variables": {EVIL: EVIL}},
        overrides=["description=" + repr(EVIL.replace("\x00", ""))[1:-1].replace("\\'", "'")],
    )
    norms = {f"generator.{EVIL}": 1.0, EVIL: EVIL}
    run.append_metrics({"epoch": 1, EVIL: EVIL, "d_real": EVIL, "other": [EVIL], "gradient_norms": norms})
    verdict = {"name": EVIL, "title": EVIL, "says": EVIL, "number": EVIL, "reference": EVIL, "advice": [EVIL]}
    append_record(run.path / "diagnosis.jsonl", {"epoch": 1, "verdicts": [verdict], "measures": {EVIL: EVIL}})
    page = report_of(run)
    assert page.all("script") == [{}]
    assert page.all("img") == []
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert page.text.count("$state") >= 12


@pytest.mark.slow
@pytest.mark.parametrize("state", ["begun, with a sheet", "finished"])
def test_the_same_folder_gives_the_same_bytes(make_run, state, tmp_path):
    run = make_run(**RUNS[state])
    first = write_report(run).read_bytes()
    run.path.rename(tmp_path / "moved")
    assert write_report(RunFolder.open(tmp_path / "moved")).read_bytes() == first


@pytest.mark.slow
def test_ten_thousand_epochs_stay_small(make_run):
    run = make_run(overrides=["training.epochs=10000"])
    names = ("discriminator_loss", "generator_loss", "value", "d_real", "d_fake", "d_accuracy", "generator_lr",
             "generator_gradient_norm", "discriminator_gradient_norm", "discriminator_lr", "momentum")  # fmt: skip
    noise = np.random.default_rng(0).random((10_000, len(names)))
    layers = {f"{player}.{i}": i + 0.5 for player in ("generator", "discriminator") for i in range(4)}
    rows = [dict(zip(names, row, strict=True)) | {"gradient_norms": layers} for row in noise.tolist()]
    lines = [json.dumps({"epoch": i + 1, **row}) for i, row in enumerate(rows)]
    run.metrics_path.write_text("\n".join(lines) + "\n")
    page = report_of(run)
    assert "After 10000 epochs" in page.text
    assert len(page.source) < 1_000_000


# --- refusals ----------------------------------------------------------------------------------------------


def test_other_records_are_ignored(make_run):
    run = make_run()
    run.append_metrics({"step": 1, "loss": 0.5})
    run.append_metrics({"epoch": None})
    run.append_timing({"seconds": "long"})
    assert "The first epoch is not complete yet." in report_of(run).text


def test_a_damaged_record_is_named(make_run):
    run = make_run(epochs=1)
    run.metrics_path.write_bytes(b"not json\n")
    with pytest.raises(RunError, match=r"metrics.jsonl, line 1: expected JSON"):
        write_report(run)


def test_a_damaged_configuration_is_named(make_run):
    run = make_run()
    run.config_path.write_text("name = 3\n")
    with pytest.raises(ConfigError, match=r"config.toml"):
        write_report(run)


def test_a_failed_write_leaves_the_old_report(make_run, monkeypatch):
    run = make_run()
    before = write_report(run).read_bytes()
    run.append_metrics({"epoch": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(RunError, match=r"report.html: cannot be written: No space left on device; free space"):
        write_report(run)
    assert run.report_path.read_bytes() == before
    assert not [name for name in os.listdir(run.path) if name.endswith(".tmp")]
