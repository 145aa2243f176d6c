"""Run the tests with the oldest versions of all dependencies that ``setup.cfg`` allows, the floors.

Usage: python tools/test_floors.py [--list] [PYTEST ARGUMENT ...]

The program makes a virtual environment in a temporary folder, installs the floor of each runtime dependency and of the
extra `test`, and runs pytest there with the given arguments, such as ``tests/engine -x``; without arguments it runs all
tests. The exit status is that of pytest, or 1 if the floors cannot be installed together. It needs pip, a package
index, and wheels for the interpreter that runs it. ``--list`` prints the requirements, and stops.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+(?:\[[\w,-]+\])?)\s*>=\s*(?P<floor>[\w.]+)\s*(?P<marker>;.*)?")


def floors(setup: str) -> list[str]:
    """Return each runtime dependency, and each of the extra `test`, as a requirement of pip for its floor.

    Parameters
    ----------
    setup : str
        The contents of ``setup.cfg``.

    Raises
    ------
    ValueError
        A requirement is not of the form ``name>=version``, with a marker or without.
    """
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    lines = parser["options"]["install_requires"] + "\n" + parser["options.extras_require"]["test"]
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        match = _REQUIREMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"setup.cfg: expected name>=version, got {line!r}: give the lowest version tested")
        found.append(f"{match['name']}=={match['floor']}{match['marker'] or ''}")
    return found


def main() -> int:
    """Install the floors and run the tests."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the requirements, and stop")
    parser.add_argument("--quiet-pip", action="store_true", help="show only the errors of pip")
    arguments, for_pytest = parser.parse_known_args()
    wanted = floors((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    if arguments.list:
        print("\n".join(wanted))
        return 0
    with tempfile.TemporaryDirectory(prefix="floors-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = [str(python), "-m", "pip", "install", "--only-binary", ":all:", *["--quiet"] * arguments.quiet_pip]
        if subprocess.run([*pip, *wanted]).returncode:
            print("tools/test_floors.py: the floors of setup.cfg cannot be installed together", file=sys.stderr)
            return 1
        # The checkout itself is tested, not a copy: nothing is built, and nothing is written beside the sources.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        pytest = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *for_pytest]
        return subprocess.run(pytest, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
