"""The frame of a page: one HTML file with its style and its script, and nothing else that it may load."""

from __future__ import annotations

import base64
import hashlib
import string
from importlib import resources
from pathlib import Path

from tinygan.errors import RunError
from tinygan.report.markup import text
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused


def write_page(path: Path, title: str, template: str, parts: dict[str, str]) -> None:
    """Write a page.

    Parameters
    ----------
    path : Path
    title : str
        Plain text.
    template : {"report.html", "comparison.html"}
        What lies between the tags of ``main``.
    parts : dict of str to str
        HTML for each name in the template.

    Raises
    ------
    RunError
        The file cannot be written; an earlier file is unchanged.
    """
    script = _read("page.js")
    page = string.Template(_read("page.html")).substitute(
        title=text(title),
        style=_read("page.css"),
        main=string.Template(_read(template)).substitute(parts).rstrip(),
        # The policy allows this script and no other, not even one that a mistake put into the page.
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        script=script,
    )
    with refused(RunError, f"{path}: cannot be written", "free space or correct the permissions"):
        atomic_write(path, [page.encode()])


def _read(name: str) -> str:
    return resources.files("tinygan.report").joinpath(name).read_text(encoding="utf-8")
