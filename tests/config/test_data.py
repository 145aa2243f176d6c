"""The data of an experiment: folds, and the scale of the images."""

from __future__ import annotations

import pytest

from tinygan.config.data import DataConfig
from tinygan.config.refusals import Place
from tinygan.config.schema import read_section
from tinygan.errors import ConfigError


def refusal(table):
    with pytest.raises(ConfigError) as caught:
        read_section(DataConfig, table, Place("f"))
    return str(caught.value).removeprefix("f: ")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"set": "tfd"}, 'fold: missing; "tfd" has 5 folds: expected an integer from 0 to 4'),
        ({"set": "tfd", "fold": 5}, 'fold: "tfd" has 5 folds: expected an integer from 0 to 4, got 5'),
        ({"set": "tfd", "fold": -1}, "fold: expected an integer of at least 0, got -1"),
        ({"set": "mnist", "fold": 0}, 'fold: "mnist" has no folds: remove it'),
    ],
)
def test_folds_belong_to_the_data_set_that_has_them(table, message):
    assert refusal(table) == message


@pytest.mark.parametrize("data_set", ["digits", "mnist", "cifar10", "images"])
def test_images_may_have_another_scale(data_set):
    whole = read_section(DataConfig, {"set": data_set, "range": [-1, 1]}, Place("f"))
    assert (whole.range, whole.contrast) == ((-1.0, 1.0), None)
    assert read_section(DataConfig, {"set": data_set, "range": [0.0, 1]}, Place("f")).range == (0.0, 1.0)
    assert read_section(DataConfig, {"set": data_set, "contrast": 55}, Place("f")).contrast == 55.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"range": [0, 255]}, "range: expected [0, 1] or [-1, 1], got [0, 255]"),
        ({"range": [1, 0]}, "range: expected [0, 1] or [-1, 1], got [1, 0]"),
        ({"range": [False, True]}, "range: expected [0, 1] or [-1, 1], got [False, True]"),
        ({"range": []}, "range: expected [0, 1] or [-1, 1], got []"),
        ({"range": 1}, "range: expected [0, 1] or [-1, 1], got 1 (an integer)"),
        ({"contrast": 0}, "contrast: expected a number above 0, got 0"),
        ({"contrast": "55"}, 'contrast: expected a number above 0, got "55" (a string)'),
        (
            {"range": [0, 1], "contrast": 55},
            "contrast: range is another scale of the images: remove one of the two",
        ),
        ({"set": "gaussian", "range": [-1, 1]}, 'range: "gaussian" has no images to scale: remove it'),
        ({"set": "gaussian", "contrast": 1}, 'contrast: "gaussian" has no images to scale: remove it'),
    ],
)
def test_scales_that_are_refused(table, message):
    assert refusal({"set": "digits", **table}) == message


@pytest.mark.parametrize("scale", [{}, {"range": [0, 1]}, {"range": [-1, 1]}, {"contrast": 3.0}])
def test_the_section_knows_what_a_picture_shows(scale):
    section = read_section(DataConfig, {"set": "digits", **scale}, Place("f"))
    data = section.load()
    assert section.shown(data.image_shape) == data.shown
    assert data.train.low == (data.shown[0] if "contrast" not in scale else data.train.images.min())


@pytest.mark.parametrize("fold", range(5))
def test_five_folds(fold):
    assert read_section(DataConfig, {"set": "tfd", "fold": fold}, Place("f")).fold == fold
