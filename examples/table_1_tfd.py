"""The TFD column of Table 1, from the file to the row.

Usage: python examples/table_1_tfd.py [--data DIR] [--device cuda] [--epochs N] [--out DIR]

The Toronto Face Database is not public. Without DIR/tfd/TFD_48x48.mat the row says so, and how to get the file. With
the file, this trains both stages of the released code once and draws 10,000 samples from the second. It evaluates them
by each of the five folds: sigma by the validation images of the fold, then the mean over its test images. The result
is the mean of the five. Its error is their standard deviation / sqrt(5), across folds as in the paper. Prints the
table with the quoted rows of the paper, and writes OUT/table_1_tfd.md, and OUT/table_1_tfd.json with configurations,
commit, machine and every fold; OUT is runs/examples/table_1_tfd by default. You can stop it at any time: the same
command continues the training. The networks are large: use a GPU for 50 + 22 epochs of 980 steps.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tinygan import data, evaluation
from tinygan.cli import main as tinygan
from tinygan.cli.output import mention
from tinygan.data.files import find_private
from tinygan.data.tfd import FILE, FOLDS, NOT_PUBLIC
from tinygan.errors import DataError
from tinygan.experiments.protocol import run_protocol
from tinygan.runs.command import command
from tinygan.runs.environment import describe_environment
from tinygan.runs.run_folder import RunFolder

OUT = Path("runs/examples/table_1_tfd")
# Quoted from Table 1 of the paper: mean log-likelihood of test images in nats, and its error across folds.
PAPER = [
    ("DBN", "1909 ± 66"),
    ("Stacked contractive autoencoder", "2110 ± 50"),
    ("Deep GSN", "1890 ± 29"),
    ("Adversarial nets", "2057 ± 26"),
]
CAVEAT = (
    "Gaussian Parzen window estimates, in nats, of one run by each of the five folds: sigma by the validation images "
    "of the fold, mean over its test images; mean of the folds ± their standard deviation / sqrt(5). Such estimates "
    "vary much, and blurred samples can have high ones."
)


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        find_private("tfd", [FILE], NOT_PUBLIC, options.data)
    except DataError as error:
        mention(f"{_table('tinygan', 'not public')}\n\n{error}")
        return 0
    folders = [options.out / "first", options.out / "second"]
    own_changes = [f"seed={options.seed}"], [f"seed={options.seed + 1}", f"generator.pretrained={folders[0]}"]
    for experiment, folder, changes in zip(options.experiments, folders, own_changes, strict=True):
        status = _train(experiment, folder, changes, options)
        if status:
            print("stopped; the same command goes on from here", file=sys.stderr)
            return status
    first, second = (RunFolder.open(folder) for folder in folders)
    found = [_evaluate_fold(second, fold, options) for fold in range(FOLDS)]
    means = [fold["test_mean"] for fold in found]
    mean, error = sum(means) / FOLDS, evaluation.standard_error(means)
    name = f"tinygan, epoch {found[0]['epoch']} of the second stage, seed {options.seed}"
    table = _table(name, f"{mean:.0f} ± {error:.0f}")
    folds = "\n".join(
        f"fold {fold['fold']}: {fold['test_mean']:.1f} nats over {fold['test_images']} images, sigma "
        f"{fold['sigma']:.3f} by {fold['valid_images']}"
        for fold in found
    )
    results = {
        "command": command(*(arguments or sys.argv[1:]), program="python examples/table_1_tfd.py"),
        "commit": describe_environment()["commit"],
        "environment": second.environment(),
        "configurations": [run.config_path.read_text(encoding="utf-8") for run in (first, second)],
        "seconds": [round(sum(record["seconds"] for record in run.timing())) for run in (first, second)],
        "folds": found,
        "mean": mean,
        "error": error,
        "error_with_4_degrees_of_freedom": error * math.sqrt(FOLDS / (FOLDS - 1)),
        "table": table,
    }
    (options.out / "table_1_tfd.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.out / "table_1_tfd.md").write_text(f"{table}\n\n{folds}\n", encoding="utf-8")
    mention(f"{table}\n\n{folds}\n\n{CAVEAT}\n\nEverything in {options.out / 'table_1_tfd.json'}")
    return 0


def _train(experiment: str, folder: Path, changes: list[str], options: argparse.Namespace) -> int:
    """Train a stage, or continue its training; return 0 when its last epoch is done."""
    shared = ["--device", options.device, "--backend", options.backend]
    shared += [] if options.data is None else ["--data", str(options.data)]
    if options.quiet:
        shared.append("--quiet")
    if (folder / "config.toml").exists():
        words = ["resume", str(folder)]
    else:
        words = ["train", experiment, "--out", str(folder)]
        for change in [*options.overrides, *changes]:
            words += ["--set", change]
    print(f"{folder}: {experiment}", file=sys.stderr)
    with redirect_stdout(sys.stderr):
        return tinygan([*words, *shared])


def _evaluate_fold(folder: RunFolder, fold: int, options: argparse.Namespace) -> dict[str, Any]:
    print(f"evaluating by fold {fold}", file=sys.stderr)
    return run_protocol(folder, data.load("tfd", options.data, fold=fold), samples=options.samples).as_dict()


def _table(name: str, number: str) -> str:
    rows = [(f"{model} (quoted)", quoted) for model, quoted in PAPER] + [(name, number)]
    return "\n".join(["| model | TFD |", "|---|---:|", *(f"| {' | '.join(row)} |" for row in rows)])


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Both stages, five folds: the TFD column of Table 1.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder that holds tfd/ (or TINYGAN_DATA)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2014, metavar="S", help="the second stage takes S + 1 (2014)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--backend", choices=["numpy", "numba"], default="numpy", help="on the CPU (default: numpy)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of each stage, instead of 50 and 22")
    parser.add_argument("--samples", type=int, default=10_000, metavar="N", help="instead of the protocol's 10,000")
    parser.add_argument(
        "--experiments", nargs=2, default=["tfd", "tfd-finetune"], metavar="NAME", help="two others of this form"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, in both stages"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(arguments)
    if options.seed < 0 or options.samples < 1 or (options.epochs is not None and options.epochs < 1):
        parser.error("--epochs and --samples take 1 or more, --seed 0 or more")
    if options.epochs is not None:
        options.overrides.append(f"training.epochs={options.epochs}")
    return options


if __name__ == "__main__":
    sys.exit(main())
