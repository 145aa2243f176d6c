"""The lessons: each runs and draws, ends with a question that the next one answers, and names source that exists."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.image import imread

ROOT = Path(__file__).parents[3]
LESSONS = sorted((ROOT / "examples" / "lessons").glob("[0-9]*.py"))
PLACE = re.compile(r"^- ``([\w/.-]+\.\w+)``(?:, ``([\w.]+)``)?: ", re.MULTILINE)

each = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


def cells(lesson: Path) -> list[tuple[str, str]]:
    """Return (kind, text) for each cell of the percent format: "markdown" without comment signs, or "code"."""
    found = []
    _, *parts = re.split(r"^# %%(.*)\n", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for mark, body in zip(parts[::2], parts[1::2], strict=True):
        assert mark in ("", " [markdown]"), mark
        if not mark:
            found.append(("code", body))
            continue
        body = body.strip()
        if body.startswith('"""'):
            found.append(("markdown", ast.literal_eval(body).strip()))
        else:
            assert all(line.startswith("#") for line in body.splitlines()), body
            found.append(("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE)))
    return found


def test_there_are_ten_lessons_in_order() -> None:
    assert [int(path.stem[:2]) for path in LESSONS] == list(range(1, 11))


@pytest.mark.slow
@each
def test_it_runs_and_draws(
    lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(lesson), "--out", str(tmp_path / "new" / "folder")])
    plt.switch_backend("Agg")
    try:
        runpy.run_path(str(lesson), run_name="__main__")
    finally:
        plt.close("all")
    picture = tmp_path / "new" / "folder" / f"{lesson.stem}.png"
    assert capsys.readouterr().out.endswith(f"Drawn in {picture}\n")
    assert imread(picture).std() > 0.05  # something is drawn


@pytest.mark.slow
def test_a_script_writes_below_the_current_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(LESSONS[0])], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "examples" / "lessons" / "01_slope.png").is_file()
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]


@each
def test_cells_parse_and_alternate_sensibly(lesson: Path) -> None:
    found = cells(lesson)
    assert found[0][0] == found[-1][0] == "markdown"
    for kind, text in found:
        assert text.strip()
        if kind == "code":
            ast.parse(text)
            assert not text.lstrip("\n").startswith("#"), "a page would take this comment for text"
    assert sum(kind == "code" for kind, _ in found) >= 5


@each
def test_the_text_is_markdown_and_rst(lesson: Path) -> None:
    for kind, text in cells(lesson):
        if kind == "markdown":
            prose = re.sub(r"``[^`]+``", "code", text)
            assert "`" not in prose
            assert not re.search(r"(?<!\*)\*(?!\*)(?! )", prose.replace(" * ", " ")), "emphasis"
            assert prose.count("**") % 2 == 0
            assert not re.search(r"^( | {3,})\S", prose, re.MULTILINE), "an indented block"
            assert not re.search(r"\w_(?!\w)|\|", prose), "a reference of RST"
            for before, item in zip(prose.splitlines(), prose.splitlines()[1:], strict=False):
                if item.startswith("- "):
                    assert not before or before.startswith(("- ", "  ")), "a list needs a blank line before it"


@each
def test_the_title_is_the_first_thing(lesson: Path) -> None:
    title, underline, blank, *_ = cells(lesson)[0][1].splitlines()
    assert title.startswith(f"Lesson {int(lesson.stem[:2])}: ")
    assert underline == "=" * len(title)
    assert not blank


@each
def test_the_code_has_fewer_than_a_hundred_lines(lesson: Path) -> None:
    lines = [line.strip() for kind, text in cells(lesson) if kind == "code" for line in text.splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) < 100


def test_the_bare_backward_pass_has_thirty_lines() -> None:
    [text] = [text for kind, text in cells(LESSONS[0]) if kind == "code" and "class Number" in text]
    assert len([line for line in text.splitlines() if line.strip()]) <= 30


@each
def test_predictions_are_checked(lesson: Path) -> None:
    found = cells(lesson)
    asked = [i for i, (kind, text) in enumerate(found) if kind == "markdown" and "**Predict.**" in text]
    assert len(asked) >= 2
    assert any("assert" in text for kind, text in found if kind == "code")


@each
def test_a_question_ends_it_and_the_next_answers(lesson: Path) -> None:
    number = int(lesson.stem[:2])
    assert "**Question.**" in cells(lesson)[-1][1]
    following = cells(LESSONS[number])[0][1] if number < len(LESSONS) else cells(lesson)[-1][1]
    assert re.search(r"\*\*The answer[:,]", following)
    if number < len(LESSONS):
        assert f"**The question of lesson {number}:**" in following


@each
def test_the_source_it_names_exists(lesson: Path) -> None:
    places = PLACE.findall(cells(lesson)[-1][1])
    assert len(places) >= 3
    for path, name in places:
        assert (ROOT / path).is_file(), path
        if name:
            thing = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            for part in name.split("."):
                thing = getattr(thing, part)


def test_most_lessons_use_the_trace() -> None:
    using = [path.stem for path in LESSONS if "tg.trace(" in path.read_text(encoding="utf-8")]
    assert len(using) >= 6
