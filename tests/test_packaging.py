"""What a package index gets: versions that agree, a source distribution with its tests, links that lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import tinygan

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "setup.cfg").read_text(encoding="utf-8")
CONFIG = ConfigParser()
CONFIG.read_string(SETTINGS)
METADATA = CONFIG["metadata"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def for_the_index():
    pytest.importorskip("setuptools")
    spec = importlib.util.spec_from_file_location("setup_py", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.for_the_index


def test_the_version_is_the_same_everywhere():
    version = METADATA["version"]
    assert tinygan.__version__ == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == version
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == version
    assert re.search(r"^title: (.*)$", citation, re.MULTILINE)[1] == METADATA["name"]
    assert re.search(r"^license: (.*)$", citation, re.MULTILINE)[1] == METADATA["license"]


def test_the_citation_names_the_paper_and_its_address():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    [address] = re.findall(r"^ +url: (.*)$", citation, re.MULTILINE)
    assert f"Paper = {address}" in METADATA["project_urls"]
    assert "title: Generative Adversarial Nets\n" in citation
    assert citation.count("family-names") == 8


def test_links_for_the_index_are_absolute(for_the_index):
    readme = (ROOT / "README.md").read_text("utf-8")
    settings = "project_urls =\n\tSource = https://git.example/me/tinygan/\n"
    links = LINK.findall(for_the_index(readme, settings))
    assert len(links) == len(LINK.findall(readme))
    assert all(link.startswith("https://") for link in links)
    assert "https://git.example/me/tinygan/blob/HEAD/docs/report.md" in links
    assert "https://git.example/me/tinygan/raw/HEAD/examples/pictures/digits.png" in links
    inside = [link for link in LINK.findall(readme) if not link.startswith("https:")]
    named = [re.sub(r"^https://git.example/me/tinygan/(blob|raw)/HEAD/", "", link) for link in links]
    assert [link for link in named if not link.startswith("https:")] == inside


def test_without_an_address_no_link_is_broken(for_the_index):
    text = for_the_index("See [the page](docs/a.md#b), ![a digit](x.png) and [paper](https://p.example).\n", "")
    assert text == "See the page, (Picture: a digit.) and [paper](https://p.example).\n"


def test_links_of_the_other_pages_have_targets():
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        for link in LINK.findall((ROOT / name).read_text("utf-8")):
            assert link.startswith("https://") or (ROOT / link.partition("#")[0]).exists(), link


def test_the_hooks_run_the_checks_of_ci():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    entries = re.findall(r"^ +entry: (\w+)", hooks, re.MULTILINE)
    checks = (ROOT / ".ci" / "run").read_text("utf-8")
    assert entries == ["ruff", "mypy"]
    for entry in entries:
        assert re.search(rf"^{entry}\b", checks, re.MULTILINE)


@pytest.mark.slow
def test_the_source_distribution_has_what_its_tests_need(tmp_path):
    pytest.importorskip("setuptools")
    copy = tmp_path / "copy"
    for part in (".ci", "benchmarks", "docs", "examples", "tests", "tinygan", "tools"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "generated"))
    files = ("*.md", "*.cfg", "*.toml", "*.py", "*.cff", "*.in", "*.yaml", ".editorconfig", ".gitignore", "LICENSE")
    for file in (file for pattern in files for file in ROOT.glob(pattern)):
        shutil.copy(file, copy)
    expected = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    build = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        about = archive.extractfile(f"tinygan-{METADATA['version']}/PKG-INFO").read().decode()
    assert expected - names == set()
    assert "](docs/" not in about
    assert f"Project-URL: Paper, {METADATA['project_urls'].split()[-1]}" in about


def test_importing_tinygan_imports_nothing_slow():
    """Each of them takes about as long to import as tinygan, which takes a fifth of a second."""
    slow = {"scipy", "matplotlib", "numba", "cupy", "PIL", "tqdm", "pooch", "safetensors", "torch"}
    code = "import sys, tinygan; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert slow & set(done.stdout.split()) == set()
