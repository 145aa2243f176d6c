from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinygan.cli import main
from tinygan.experiments import running
from tinygan.runs.run_folder import RunFolder

SMALL = (
    "generator.layers=[{type='linear',units=8},{type='relu'},{type='linear',units=64},{type='sigmoid'}]",
    "discriminator.layers=[{type='dropout',p=0.2},{type='maxout',units=4,pieces=2},{type='linear',units=1}]",
    "output.samples=4",
)


@dataclass(frozen=True)
class Answer:
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def untouched_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start in an empty folder, without a data folder; report no differences between machines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.setattr(running, "describe_environment", lambda: {"python": "3"})


@pytest.fixture(autouse=True)
def quick_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an empty report, which is 100 times faster, unless the test uses `real_report`."""
    if "real_report" not in request.fixturenames:

        def write(folder: RunFolder) -> Path:
            folder.report_path.touch()
            return folder.report_path

        monkeypatch.setattr("tinygan.cli.progress.write_report", write)


@pytest.fixture
def real_report() -> None:
    """Write the real report."""


@pytest.fixture
def tinygan(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return the command line as a function of its arguments."""

    def command(*words: str | os.PathLike[str]) -> Answer:
        capsys.readouterr()
        try:
            status = main([os.fspath(word) for word in words])
        except SystemExit as stop:  # argparse exits this way
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Return options that shrink the digits experiment to milliseconds."""
    return [word for override in SMALL for word in ("--set", override)]
