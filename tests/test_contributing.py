"""CONTRIBUTING.md: each recipe is followed in a copy of the repository, and its commands succeed there."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
RECIPES = {text.partition("\n")[0]: text for text in SECTIONS if "\n**1.** " in text}

BLOCK = r":?\n\n```\w+\n(?P<{}>(?s:.*?))^```$"
STEP = re.compile(
    rf"^New file `(?P<new>.+?)`{BLOCK.format('content')}"
    rf"|^At the end of `(?P<end>.+?)`{BLOCK.format('last')}"
    rf"|^In `(?P<into>.+?)`, before the line (`+) ?(?P<line>.+?) ?\6{BLOCK.format('more')}"
    r"|^In `(?P<in>.+?)`, replace (`+) ?(?P<old>.+?) ?\10 by (`+) ?(?P<text>.+?) ?\12$"
    r"|^```sh\n(?P<commands>(?s:.*?))^```$",
    re.MULTILINE,
)


def follow(recipe: str, folder: Path) -> None:
    """Do each step of a recipe."""
    for step in STEP.finditer(recipe):
        if step["new"]:
            assert not (folder / step["new"]).exists()
            (folder / step["new"]).write_text(step["content"], encoding="utf-8")
        elif step["end"]:
            with (folder / step["end"]).open("a", encoding="utf-8") as file:
                file.write(step["last"])
        elif step["into"]:
            text = (folder / step["into"]).read_text(encoding="utf-8")
            places = [place.start() for place in re.finditer(rf"^.*{re.escape(step['line'])}", text, re.MULTILINE)]
            assert len(places) == 1, f"{step['into']}: {len(places)} lines contain {step['line']}"
            changed = text[: places[0]] + step["more"] + text[places[0] :]
            (folder / step["into"]).write_text(changed, encoding="utf-8")
        elif step["in"]:
            text = (folder / step["in"]).read_text(encoding="utf-8")
            assert text.count(step["old"]) == 1, f"{step['in']}: {text.count(step['old'])} times {step['old']}"
            (folder / step["in"]).write_text(text.replace(step["old"], step["text"]), encoding="utf-8")
        else:
            for command in step["commands"].splitlines():
                run(command, folder)


def run(command: str, folder: Path) -> None:
    """Run a command in the copy, with its tinygan."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    (programs / "tinygan").write_text('#!/bin/sh\nexec python -m tinygan "$@"\n', encoding="utf-8")
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page is written for sh")
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_succeeds_in_a_copy(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    for part in ("tinygan", "tests", "tools", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("examples", "benchmarks", ".ci"):
        (folder / part).symlink_to(ROOT / part)
    for part in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / part, folder)
    follow(RECIPES[name], folder)
    if importlib.util.find_spec("ruff"):
        run("python -m ruff check tinygan tests/*/ tools", folder)


@pytest.mark.parametrize("name", RECIPES)
def test_every_block_of_a_recipe_is_followed(name: str) -> None:
    steps = list(STEP.finditer(RECIPES[name]))
    assert RECIPES[name].count("\n```") == 2 * sum(step["in"] is None for step in steps)
    assert len(re.findall(r"^(?:In|New file|At the end of) `", RECIPES[name], re.MULTILINE)) == sum(
        step["commands"] is None for step in steps
    )
    assert steps[-1]["commands"]


def test_there_are_six_recipes() -> None:
    assert list(RECIPES) == ["An operation", "A layer", "A loss", "A penalty", "A data set", "An experiment"]
