"""The MNIST column of Table 1, from the data to the row.

Usage: python examples/table_1.py [--data DIR] [--seeds S ...] [--epochs N] [--device cuda] [--jobs N] [--out DIR]
       [--results FILE] [--experiment NAME] [--set KEY=VALUE ...] [--quiet]

Trains the experiment once for each seed. Keeps the checkpoint with the highest log-likelihood of the validation images,
and evaluates it and the last checkpoint on the test images. Prints the table with the quoted rows of the paper, and
writes DIR/table_1.md, DIR/table_1.png (validation log-likelihood by epoch) and DIR/table_1.json (the results with
configuration, commit, machine and time). DIR is runs/examples/table_1-NAME by default. You can stop it at any time: the
same command continues the training, and the results are the same bytes as without the stop. A seed that fails stops no
other. `mpiexec -n N python examples/table_1.py ...` gives the seeds to N processes, also of several machines.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tinygan import data
from tinygan.cli.arguments import positive
from tinygan.cli.output import exit_status, mention
from tinygan.cli.sweep import jobs_of, run_all, train_all
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.experiments.protocol import score_training_images
from tinygan.parallel.jobs import STOPPED, Jobs
from tinygan.parallel.sweep import SweepRun
from tinygan.runs.command import command
from tinygan.runs.environment import describe_environment
from tinygan.runs.run_folder import RunFolder

# Quoted from Table 1 of the paper: mean log-likelihood of test images in nats, and its error.
PAPER = [
    ("DBN", "138 ± 2", "1909 ± 66"),
    ("Stacked contractive autoencoder", "121 ± 1.6", "2110 ± 50"),
    ("Deep GSN", "214 ± 1.1", "1890 ± 29"),
    ("Adversarial nets", "225 ± 2", "2057 ± 26"),
]
CAVEAT = (
    "Gaussian Parzen window estimates, in nats: 10,000 samples, sigma by the first 1,000 validation images, mean over "
    "the test images ± its standard error over these images (not over seeds). Such estimates vary much, and blurred "
    "samples can have high ones."
)


WAYS = {
    "best": "best on validation",
    "last": "last checkpoint",
    "last, no mean": "last checkpoint, drawn without the mean of the weights",
}


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)

    def work() -> int:
        with jobs_of(options) as jobs:
            return 0 if jobs is None else _make(options, jobs, arguments)

    return exit_status("table_1", work, 1)


def _make(options: argparse.Namespace, jobs: Jobs, arguments: list[str] | None) -> int:
    config = load_experiment(options.experiment, options.overrides)
    trainings = {seed: _training(seed, options) for seed in options.seeds}
    for training in trainings.values():
        training.refuse_other_settings()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = train_all([training for training in trainings.values() if not training.is_done], options, jobs)
    trained = {seed: training.run for seed, training in trainings.items() if training.folder not in failed}
    runs = [] if jobs.stopped else _evaluate_all(trained, config, options, jobs)
    if jobs.stopped:
        return STOPPED
    if not runs:
        return 1
    training_images = asdict(score_training_images(data.load(config.data.set, options.data)))
    table = _table(config.name, runs, training_images)
    _draw(runs, config).savefig(options.out / "table_1.png", dpi=90, metadata={"Software": None})
    (options.out / "table_1.md").write_text(table + "\n", encoding="utf-8")
    results = options.results or options.out / "table_1.json"
    folder = trained[runs[0]["seed"]]
    results.write_text(
        json.dumps(
            {
                "command": command(*(arguments or sys.argv[1:]), program="python examples/table_1.py"),
                "commit": describe_environment()["commit"],
                "environment": folder.environment(),
                "configuration": folder.config_path.read_text(encoding="utf-8"),
                "training_images": training_images,
                "runs": runs,
                "table": table,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    mention(table)
    mention(f"\n{CAVEAT}\n\nDrawn in {options.out / 'table_1.png'}; everything in {results}")
    return 0 if len(runs) == len(trainings) else 1


# ---------------------------------------------------------------------- runs


def _training(seed: int, options: argparse.Namespace) -> SweepRun:
    config = load_experiment(options.experiment, [*options.overrides, f"seed={seed}"])
    return SweepRun(options.out / f"seed-{seed}", options.experiment, tuple(options.overrides), seed, config)


def _evaluate_all(
    trained: dict[int, RunFolder], config: ExperimentConfig, options: argparse.Namespace, jobs: Jobs
) -> list[dict[str, Any]]:
    """Evaluate the best and the last checkpoint of each run, and return the results with the validation curve."""
    ways = {"best": ["best"], "last": ["last"]}
    if config.generator.average_decay is not None:
        ways["last, no mean"] = ["last", "--no-average"]
    more = [] if options.data is None else ["--data", str(options.data)]
    found = run_all(
        {
            f"{folder.path}, {which}": ["evaluate", str(folder.path), "--json", *more, "--checkpoint", *how]
            for folder in trained.values()
            for which, how in ways.items()
        },
        options,
        jobs,
    )
    runs = []
    for seed, folder in trained.items():
        ends = {which: found.get(f"{folder.path}, {which}") for which in ways}
        answers = {which: json.loads(end.output) for which, end in ends.items() if end and end.status == 0}
        if len(answers) == len(ways):
            curve = [
                (record["epoch"], record["validation_log_likelihood"], record["validation_sigma"])
                for record in folder.metrics()
                if "validation_log_likelihood" in record
            ]
            seconds = sum(record["seconds"] for record in folder.timing())
            runs.append({"seed": seed, "seconds": round(seconds), "validation": curve, **answers})
    return runs


# ---------------------------------------------------------------------- the table and the picture


def _table(experiment: str, runs: list[dict[str, Any]], training_images: dict[str, float]) -> str:
    rows = [(f"{model} (quoted)", mnist, tfd) for model, mnist, tfd in PAPER]
    yardstick = f"{training_images['images']:,} training images in the place of samples"
    rows.append((f"{yardstick} (sigma {training_images['sigma']:.3f})", _number(training_images), ""))
    where = "" if experiment == "mnist" else f", on {experiment}: no number of the paper's"
    for which, words in WAYS.items():
        if which not in runs[0]:
            continue
        for run in runs:
            found = run[which]
            name = f"tinygan, seed {run['seed']}, {words} (epoch {found['epoch']}, sigma {found['sigma']:.3f}){where}"
            if found["test_mean"] > training_images["test_mean"]:
                name += "; smoother than the data, or copied: above the training images"
            rows.append((name, _number(found), "not public"))
        if len(runs) > 1:
            means = [run[which]["test_mean"] for run in runs]
            mean = sum(means) / len(means)
            deviation = math.sqrt(sum((value - mean) ** 2 for value in means) / (len(means) - 1))
            rows.append((f"tinygan, {len(runs)} seeds, {words}: mean ± deviation", f"{mean:.1f} ± {deviation:.1f}", ""))
    lines = ["| model | MNIST | TFD |", "|---|---:|---:|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _number(found: dict[str, Any]) -> str:
    return f"{found['test_mean']:.1f} ± {found['test_standard_error']:.1f}"


def _draw(runs: list[dict[str, Any]], config: ExperimentConfig) -> Figure:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for run in runs:
        epochs, values, _ = zip(*run["validation"], strict=True)
        axes.plot(epochs, values, label=f"seed {run['seed']}", lw=1.2)
        best = run["best"]["epoch"]  # drawn at its value in the curve; the table's value comes from other samples
        axes.plot(best, dict(zip(epochs, values, strict=True))[best], "o", color=axes.lines[-1].get_color())
    if config.data.set == "mnist":
        for model, number, _ in PAPER[2:]:
            height = float(number.split(" ")[0])
            axes.axhline(height, color="grey", ls=":", lw=1)
            place = {"xy": (0.01, height), "xycoords": axes.get_yaxis_transform(), "va": "bottom"}
            axes.annotate(f"{model}, test (quoted)", fontsize=8, color="grey", **place)
    axes.set_title(f"{config.name}: log-likelihood of 1,000 validation images\n(dot: kept as best)")
    axes.set(xlabel="epoch", ylabel="nats")
    axes.legend(loc="lower right")
    return figure


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train, select, evaluate: the MNIST column of Table 1.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder that holds mnist/ (or TINYGAN_DATA)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2014], metavar="S", help="(default: 2014)")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the experiment's own")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--backend", choices=["numpy", "numba"], default="numpy", help="on the CPU (default: numpy)")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (default: 1; under mpiexec 1 a rank)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: runs/examples/table_1-NAME)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="the JSON file (default: DIR/table_1.json)")
    parser.add_argument("--experiment", default="mnist", metavar="NAME", help="another experiment of this form")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(arguments)
    if min(options.seeds) < 0 or (options.epochs is not None and options.epochs < 1):
        parser.error("--epochs takes 1 or more, --seeds 0 or more")
    if len(set(options.seeds)) < len(options.seeds):
        parser.error("--seeds: the same seed twice would be the same run twice")
    if options.out is None:
        options.out = Path(f"runs/examples/table_1-{options.experiment}")
    config = load_experiment(options.experiment, options.overrides)
    epochs = options.epochs or config.training.epochs
    options.overrides.append(f"training.epochs={epochs}")  # a run with another last epoch continues to this one
    if config.output.validate_every is None:
        parser.error(f"{options.experiment} selects no checkpoint; add --set output.validate_every=10")
    return options


if __name__ == "__main__":
    sys.exit(main())
