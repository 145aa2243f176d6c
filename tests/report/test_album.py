"""The album is small, spread over the run, and ignores other files among the samples."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.pictures.sheets import data_path, save_sheet, sheet_path
from tinygan.report import album as module
from tinygan.report.album import collect_sheets, spread


@given(st.sets(st.integers(0, 10**6)), st.integers(1, 20))
def test_the_chosen_epochs(epochs, most):
    epochs = sorted(epochs)
    chosen = spread(epochs, most)
    assert chosen == sorted(set(chosen) & set(epochs))
    assert len(chosen) <= most
    if len(epochs) <= most:
        assert chosen == epochs
    if epochs:
        assert chosen[-1] == epochs[-1]
        assert most == 1 or chosen[0] == epochs[0]


@pytest.mark.parametrize("every", [1, 10, 50])
def test_8_to_12_of_many_epochs_are_chosen(every):
    for last in range(40 * every, 60 * every, every):
        assert 8 <= len(spread(range(0, last, every), 12)) <= 12


def test_sheets_are_read_whole(make_run):
    run = make_run(sheets=[0, 10, 20])
    album = collect_sheets(run)
    assert [sheet.epoch for sheet in album.sheets] == [0, 10, 20]
    assert all(sheet.png == sheet_path(run, sheet.epoch).read_bytes() for sheet in album.sheets)
    assert {(sheet.width, sheet.height) for sheet in album.sheets} == {(70, 70)}
    assert album.damaged == album.too_large == []


def test_width_and_height_of_a_sheet(make_run):
    run = make_run()
    save_sheet(sheet_path(run, 1), np.zeros((5, 64)), (8, 8))
    (sheet,) = collect_sheets(run).sheets
    assert (sheet.width, sheet.height) == (104, 70)


def test_fewer_large_sheets_are_shown_and_the_newest_stays(make_run, monkeypatch):
    run = make_run(sheets=range(10))
    size = max(path.stat().st_size for path in run.samples_path.iterdir())
    for room, expected in [(11, 10), (6, 5), (1, 1)]:
        monkeypatch.setattr(module, "MOST_BYTES", room * size + size // 2)
        album = collect_sheets(run)
        assert expected - 1 <= len(album.sheets) <= expected
        assert album.sheets[-1].epoch == 9
        assert sum(len(sheet.png) for sheet in album.sheets) <= module.MOST_BYTES


def test_a_sheet_larger_than_the_page_is_named(make_run, monkeypatch):
    run = make_run(sheets=[0])
    save_sheet(sheet_path(run, 5), np.random.default_rng(0).random((100, 64)), (8, 8))
    monkeypatch.setattr(module, "MOST_BYTES", 2 * sheet_path(run, 0).stat().st_size)
    album = collect_sheets(run)
    assert album.too_large == ["epoch-000005.png"]
    assert [sheet.epoch for sheet in album.sheets] == [0]


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:60] + bytes([content[60] ^ 1]) + content[61:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b"", lambda _: b"GIF89a" + bytes(100)])
def test_a_damaged_sheet_is_left_out_and_named(make_run, damage):
    run = make_run(sheets=[0, 1, 2])
    path = sheet_path(run, 2)
    path.write_bytes(damage(path.read_bytes()))
    album = collect_sheets(run)
    assert [sheet.epoch for sheet in album.sheets] == [0, 1]
    assert album.damaged == ["epoch-000002.png"]


def test_a_folder_or_a_dead_link_with_the_name_of_a_sheet(make_run):
    run = make_run(sheets=[0])
    sheet_path(run, 1).mkdir()
    sheet_path(run, 2).symlink_to("nowhere")
    album = collect_sheets(run)
    assert [sheet.epoch for sheet in album.sheets] == [0]
    assert album.damaged == ["epoch-000001.png", "epoch-000002.png"]


def test_a_small_file_of_a_huge_picture_is_refused(make_run, monkeypatch):
    run = make_run(sheets=[0])
    save_sheet(sheet_path(run, 1), np.zeros((100, 64)), (8, 8))
    monkeypatch.setattr(module, "MOST_PIXELS", 70 * 70)
    album = collect_sheets(run)
    assert [sheet.epoch for sheet in album.sheets] == [0]
    assert album.damaged == ["epoch-000001.png"]


def test_a_sheet_that_is_a_pipe_is_left_out(make_run):
    run = make_run()
    os.mkfifo(run.samples_path / "epoch-000001.png")
    assert collect_sheets(run).damaged == ["epoch-000001.png"]


def test_the_sheet_of_data_is_apart_from_the_samples(make_run):
    run = make_run(sheets=[0], data=True)
    album = collect_sheets(run)
    assert album.data.png == data_path(run).read_bytes()
    assert [sheet.epoch for sheet in album.sheets] == [0]
    data_path(run).write_bytes(b"no picture")
    album = collect_sheets(run)
    assert album.data is None
    assert album.damaged == ["data.png"]


def test_a_large_sheet_of_data_is_named(make_run, monkeypatch):
    run = make_run(data=True)
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    album = collect_sheets(run)
    assert (album.data, album.too_large) == (None, ["data.png"])


def test_common_epochs_are_preferred(make_run):
    run = make_run(sheets=range(0, 9, 2))
    assert [sheet.epoch for sheet in collect_sheets(run, {0, 4, 5}).sheets] == [0, 4, 8]
    assert [sheet.epoch for sheet in collect_sheets(run, ()).sheets] == [8]
