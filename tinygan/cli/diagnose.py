"""``tinygan diagnose``."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any

from tinygan.cli import output
from tinygan.cli.arguments import open_run, path
from tinygan.cli.own_data import add_data_options, load_data
from tinygan.config.experiment import load_experiment
from tinygan.diagnosis import headline
from tinygan.experiments.diagnosing import RunDiagnosis, diagnose_run
from tinygan.runs.command import command
from tinygan.runs.json_values import json_value
from tinygan.runs.run_folder import RunFolder

WIDEST, NARROWEST = 100, 40  # columns of the text; a pipe gets the widest


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "diagnose",
        help="what is wrong with a run, the numbers that show it, and what to try",
        description="Measure the newest checkpoint of a run, and print each verdict with its number, the reference "
        "value, and what to try. The run is not changed.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    add_data_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run ``tinygan diagnose``."""
    folder = open_run(arguments.folder)
    found = diagnose_run(folder, lambda config: load_data(config, arguments))
    if arguments.json:
        output.result(json.dumps(json_value(found.as_dict(), "diagnosis", non_finite_as_null=True)))
    else:
        output.result("\n".join(_lines(found, folder)))
    return 0


def _lines(found: RunDiagnosis, folder: RunFolder) -> list[str]:
    measures = found.record["measures"]
    rows = [
        ("run", f"{found.run} ({found.experiment})"),
        ("checkpoint", f"the last: epoch {found.epoch:,}, step {found.steps:,}"),
        ("samples", headline({"measures": measures}) or "There are too few rows of new data to judge the samples."),
        ("scale", "Root mean square of the samples {sample_rms:.3g}, of data {data_rms:.3g}.".format_map(measures)),
        ("D", _about_d(measures)),
    ]
    for verdict in found.record["verdicts"]:
        rows += [("", ""), ("verdict", verdict["title"]), ("", verdict["says"])]
        rows.append(("number", f"{verdict['number']:.4g}; for comparison: {verdict['reference']:.4g}"))
        advice = [f"{number}. {text}" for number, text in enumerate(verdict["advice"], start=1)]
        rows += zip(["try"] + [""] * len(advice), advice, strict=False)
        if verdict["name"] == "d-won":
            rows += [("earlier", _earlier(found)), ("slower D", _with_a_slower_d(folder))]
    if len(found.record["verdicts"]) > 1:
        rows += [("", ""), ("note", "The first verdict first: a later one may follow from it.")]
    return [line for name, text in rows for line in _wrapped(name, output.escaped(text))]


def _about_d(measures: dict[str, float]) -> str:
    if "d_accuracy_held_out" not in measures:
        return "What D returns is no probability with this objective, so its answers are not measured."
    return (
        f"On new data and without dropout, D is right on {100 * measures['d_accuracy_held_out']:.1f} %. By its loss, "
        f"the Jensen-Shannon divergence is at least {measures['jsd_bound_held_out']:.3f} nats, of 0.693 at most; this "
        "bound is noisy, and can be negative."
    )


def _earlier(found: RunDiagnosis) -> str:
    """Return which checkpoint to go back to."""
    if found.earlier is None:
        return "No checkpoint of this run is from before D won."
    accuracy = found.earlier["d_accuracy"]
    was_right = "" if accuracy is None else f", when D was right on {100 * accuracy:.0f} %"
    return (
        f"{found.earlier['checkpoint']} is from before D won, from epoch {found.earlier['epoch']}{was_right}. To "
        "resume from it, move the newer checkpoints out of the folder. The same settings then repeat the same steps: "
        "to change them, train a new run."
    )


def _with_a_slower_d(folder: RunFolder) -> str:
    rate = load_experiment(folder.config_path).discriminator.optimizer.lr / 2
    return command("train", folder.config_path, "--set", f"discriminator.optimizer.lr={rate:g}")


def _wrapped(name: str, text: str) -> list[str]:
    """Return a row as lines; a command stays on one line, because it must run as printed."""
    if text.startswith("tinygan "):
        return [f"{name:<12}{text}"]
    width = min(max(shutil.get_terminal_size((WIDEST, 24)).columns, NARROWEST), WIDEST)
    lines = textwrap.wrap(text, width - 12, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{'' if number else name:<12}{line}".rstrip() for number, line in enumerate(lines)]
