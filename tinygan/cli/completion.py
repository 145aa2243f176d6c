"""``tinygan completion``: the script with which a shell completes commands, options, experiments and run folders.

The script is written once. The shell does not start tinygan at each press of Tab, which would take most of a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from tinygan.checking.operations import CASES
from tinygan.cli import output
from tinygan.config.experiment import shipped_experiments
from tinygan.errors import MissingPackageError

SHELLS = ("bash", "zsh", "fish")
# What bash, zsh and fish add to the words. shtab recognises paths by these names.
_PATHS = {
    "word": ("", "", ""),
    "file": ('; compgen -f -- "$1"', " 'files:file:_files'", "; __fish_complete_path (commandline -ct)"),
    "dir": ('; compgen -d -- "$1"', " 'folders:folder:_files -/'", "; __fish_complete_directories (commandline -ct)"),
}
_RUNS = "find runs -maxdepth 3 -name config.toml -exec dirname {} ';' 2>/dev/null"


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "completion",
        help="print a script for your shell: Tab completes commands, options, experiments and run folders",
        description="Print a script for a shell. When the shell has read it, Tab completes commands, options, "
        "experiments and run folders. It needs the package shtab.",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=completion)


def completion(arguments: argparse.Namespace) -> int:
    """Run ``tinygan completion``."""
    try:
        import shtab
    except ImportError:
        raise MissingPackageError("tinygan completion needs the package shtab: pip install shtab") from None
    from tinygan.cli import build_parser  # which imports this file

    names = f"printf '%s\\n' {' '.join(config.name for config in shipped_experiments())}"
    run, experiment = _words("run", _RUNS, "dir"), _words("experiment", names, "file")
    ends = {
        "RUN": run,
        "RUN2": run,
        "EXPERIMENT": experiment,
        "EXPERIMENT|RUN": _words("subject", f"{names}; {_RUNS}", "file"),
        "OPERATION": _words("operation", f"printf '%s\\n' {' '.join(sorted({case.name for case in CASES}))}"),
        "DIR": shtab.DIRECTORY,
        "FILE": shtab.FILE,
        "FILE.html": shtab.FILE,
        "FILE.toml": shtab.FILE,
    }
    parser = build_parser()
    for action in _actions(parser):
        if action.metavar in ends:
            action.complete = ends[action.metavar]  # type: ignore[attr-defined]
    output.result(shtab.complete(parser, arguments.shell), keep="\n\t")
    return 0


def _words(name: str, command: str, paths: str = "word") -> dict[str, Any]:
    """Return how each shell completes a word: from the lines that a shell command prints, and from paths of a kind."""
    bash, zsh, fish = _PATHS[paths]
    function = f"_tinygan_{paths}_{name}"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        "preamble": {
            "bash": f'{function}() {{ compgen -W "$({command})" -- "$1"{bash}; }}',
            "zsh": f'{function}() {{ _alternative "{name}s:{name}:($({command}))"{zsh}; }}',
            "fish": f"function {function}; {command}{fish}; end",
        },
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
