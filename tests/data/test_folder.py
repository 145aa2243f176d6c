"""Files that a folder of images may hold; Pillow writes them."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinygan.data import from_arrays, from_folder
from tinygan.errors import ArgumentError, DataError, DtypeError, MissingPackageError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)


def fill(folder: Path, images=PICTURES, mode=None, ending="png") -> Path:
    """Write images under names in their order, in another order of time."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in random.Random(1).sample(range(len(images)), len(images)):
        picture = Image.fromarray(images[number])
        (picture.convert(mode) if mode else picture).save(folder / f"{number:03d}.{ending}")
    return folder


def values(dataset):
    return np.concatenate([part.images for part in (dataset.train, dataset.validation, dataset.test)])


def only(folder: Path, picture: Image.Image, name="x.png", **options):
    """Return the pixels of one image of a folder in which all images are this one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        picture.save(folder / f"{number}{name}", **options)
    found = from_folder(folder)
    return found.train.images[0].reshape(found.image_shape)


# --- what is made of files --------------------------------------------------------------------------------


@given(arrays.arrays(np.uint8, st.tuples(st.integers(10, 15), st.integers(2, 5), st.integers(2, 5), st.just(3))))
def test_files_are_read_as_their_arrays(tmp_path_factory, images):
    assume(images.max() != 1)  # which is refused: then 1 is probably white
    found, expected = from_folder(fill(tmp_path_factory.mktemp("images"), images)), from_arrays(images)
    assert found.image_shape == expected.image_shape
    assert np.array_equal(values(found), values(expected))


def test_names_decide_the_order(tmp_path, monkeypatch):
    before, scandir = values(from_folder(fill(tmp_path))), os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: sorted(scandir(folder), key=lambda entry: entry.name[::-1]))
    assert np.array_equal(values(from_folder(tmp_path)), before)


def test_names_may_have_any_characters(tmp_path):
    folder = tmp_path / "mes images à moi"
    folder.mkdir()
    for number in range(10):
        Image.fromarray(PICTURES[number]).save(folder / f"{number} 猫 ü.PNG")
    assert np.array_equal(values(from_folder(str(folder))), values(from_arrays(PICTURES[:10])))


def test_sub_folders_are_classes(tmp_path):
    fill(tmp_path / "b dogs", PICTURES[:5])
    fill(tmp_path / "a cats", PICTURES[5:])
    found = from_folder(tmp_path)
    labels = np.array([0] * 7 + [1] * 5)
    assert np.array_equal(values(found), values(from_arrays(np.concatenate([PICTURES[5:], PICTURES[:5]]))))
    assert found.notes[1] == "labels: 0 = a cats (7), 1 = b dogs (5)"
    assert np.array_equal(found.train.labels, from_arrays(PICTURES, labels).train.labels)


def test_hidden_and_other_files_are_left_out_and_told(tmp_path):
    fill(tmp_path)
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    found = from_folder(tmp_path)
    assert np.array_equal(values(found), values(from_arrays(PICTURES)))
    assert found.notes[1:] == ("left out, as no images: notes.txt",)


@pytest.mark.parametrize(
    ("mode", "ending", "shape"),
    [("L", "png", (6, 8)), ("1", "png", (6, 8)), ("LA", "png", (6, 8)), ("P", "png", (6, 8, 3)),
     ("P", "gif", (6, 8, 3)), ("RGBA", "png", (6, 8, 3)), ("CMYK", "jpg", (6, 8, 3)), ("RGB", "bmp", (6, 8, 3)),
     ("L", "pgm", (6, 8))],
)  # fmt: skip
def test_modes_become_grey_or_colour(tmp_path, mode, ending, shape):
    found = from_folder(fill(tmp_path, mode=mode, ending=ending))
    assert found.image_shape == shape
    if ending != "jpg":  # which loses a little
        expected = np.stack([np.asarray(Image.fromarray(p).convert(mode).convert("L" if len(shape) == 2 else "RGB"))
                             for p in PICTURES])  # fmt: skip
        assert np.array_equal(values(found), values(from_arrays(expected)))


def test_a_grey_palette_is_grey(tmp_path):
    grey = Image.fromarray(PICTURES[0]).convert("L").convert("RGB").quantize(16)
    assert only(tmp_path, grey, "x.gif").ndim == 2


def test_grey_among_colour_is_colour_and_told(tmp_path):
    fill(tmp_path)
    Image.new("L", (8, 6), 51).save(tmp_path / "grey.png")
    found = from_folder(tmp_path)
    assert found.image_shape == (6, 8, 3)
    assert np.isclose(values(found), 0.2).all(axis=1).any()
    assert "grey files, in colour here: 1" in found.notes[1]
    assert from_folder(tmp_path, colour=False).image_shape == (6, 8)
    assert from_folder(tmp_path, colour=True).image_shape == (6, 8, 3)


def test_grey_images_in_colour_files_are_told(tmp_path):
    found = from_folder(fill(tmp_path, np.repeat(PICTURES[..., :1], 3, axis=3)))
    assert found.image_shape == (6, 8, 3)
    assert "data.colour=false" in found.notes[1]


def test_transparent_parts_are_white_and_told(tmp_path):
    layer = np.zeros((2, 2, 4), np.uint8)
    layer[0, 0] = (255, 0, 0, 255)
    layer[0, 1] = (0, 0, 0, 51)
    found = only(tmp_path, Image.fromarray(layer))
    assert np.allclose(found, [[[1, 0, 0], [0.8] * 3], [[1] * 3, [1] * 3]], atol=0.003)
    assert from_folder(tmp_path).notes[1].endswith("white here: 10")
    opaque = layer.copy()
    opaque[..., 3] = 255
    assert np.array_equal(only(tmp_path / "opaque", Image.fromarray(opaque)) * 255, opaque[..., :3])
    assert len(from_folder(tmp_path / "opaque").notes) == 1


def test_sixteen_bits_are_kept(tmp_path):
    deep = np.array([[0, 1], [300, 65535]], np.uint16)
    assert np.allclose(only(tmp_path, Image.fromarray(deep)), deep / 65535, rtol=1e-6, atol=0)


def test_exif_turns_the_image(tmp_path):
    picture = Image.fromarray(PICTURES[0])
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned
    turned = only(tmp_path, picture, "x.png", exif=exif)
    assert np.array_equal(turned * 255, np.rot90(PICTURES[0], -1))


def test_a_size_cuts_the_middle_square_and_scales(tmp_path):
    picture = np.zeros((4, 12, 3), np.uint8)
    picture[:, 4:8] = 255  # the middle square
    for number in range(10):
        wide = Image.fromarray(picture).resize((12 * (number + 1), 4 * (number + 1)), Image.Resampling.NEAREST)
        wide.save(tmp_path / f"{number}.png")
    found = from_folder(tmp_path, size=2)
    assert found.image_shape == (2, 2, 3)
    assert (values(found) > 0.9).all()


# --- refusals ---------------------------------------------------------------------------------------------


def damage(name, content):
    def change(folder: Path) -> None:
        whole = (folder / "003.png").read_bytes()
        (folder / name).write_bytes(content if isinstance(content, bytes) else content(whole))

    return change


def save(name, picture, **options):
    return lambda folder: picture.save(folder / name, **options)


FRAMES = [Image.new("RGB", (8, 6), (number, 0, 0)) for number in range(4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage("x.png", b"hello"), r"x\.png: .*a file of another kind"),
        (damage("x.png", b""), r"x\.png: .*a file of another kind"),
        (damage("x.png", lambda whole: whole[: len(whole) // 2]), r"x\.png: .*damaged"),
        (save("z.png", Image.new("RGB", (9, 6))), r"z\.png: expected 6x8 pixels .* in 000\.png, found 6x9: .*size=32"),
        (save("x.gif", FRAMES[0], save_all=True, append_images=FRAMES[1:]), r"x\.gif: .*4 frames"),
        (save("x.png", Image.new("1", (9500, 9500))), r"x\.png: .*which would fill the memory"),
        (save("x.png", Image.new("1", (3000, 2000))), r"x\.png: 2,000x3,000 pixels are too many.*size=32"),
        (save("x.tif", Image.fromarray(np.zeros((6, 8), np.float32))), r"x\.tif: .*floats"),
        (save("x.tif", Image.fromarray(np.zeros((6, 8), np.int32))), r"x\.tif: .*32"),
        (lambda folder: (folder / "sub").mkdir(), "found both"),
        (lambda folder: os.symlink("nowhere", folder / "x.png"), r"x\.png: .*No such file"),
        (lambda folder: os.mkfifo(folder / "x.png"), r"x\.png: .*no plain file"),
    ],
)
def test_a_bad_file_is_named(tmp_path, change, message):
    change(fill(tmp_path))
    with pytest.raises(DataError, match=message):
        from_folder(tmp_path)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected images .*found nothing"):
        from_folder(tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"found only a\.txt"):
        from_folder(tmp_path)
    with pytest.raises(DataError, match=r"at least 10 images.*found 3"):
        from_folder(fill(tmp_path, PICTURES[:3]))


def test_classes_without_images_or_with_folders_are_refused(tmp_path):
    fill(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b: expected the images of one class, found none"):
        from_folder(tmp_path)
    (tmp_path / "b" / "c").mkdir()
    with pytest.raises(DataError, match="b: expected the images of one class, found the folder c"):
        from_folder(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "a.npy").touch()
    wrong = {tmp_path / "a.npy": "from_arrays", tmp_path / "none": "if it has moved", "a\0b": "null"}
    for path, message in wrong.items():
        with pytest.raises(DataError, match=message):
            from_folder(path)
    for path in (None, "", 3):
        with pytest.raises(DtypeError, match="expected the path of a folder"):
            from_folder(path)


@pytest.mark.parametrize("size", [0, -3, 1.5, True, "8", 1025])
def test_other_sizes_are_refused(tmp_path, size):
    with pytest.raises(ArgumentError, match="expected an integer from 1 to 1024"):
        from_folder(tmp_path, size)


def test_another_colour_is_refused(tmp_path):
    with pytest.raises(DtypeError, match="colour is 1"):
        from_folder(tmp_path, colour=1)


def test_without_pillow_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingPackageError, match=r"Pillow.*pip install pillow"):
        from_folder(tmp_path)
