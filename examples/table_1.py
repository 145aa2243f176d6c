"""The MNIST column of Table 1, from the data to the row.

Usage: python examples/table_1.py [--data DIR] [--seeds S ...] [--epochs N] [--device cuda] [--jobs N] [--out DIR]
       [--results FILE] [--experiment NAME] [--set KEY=VALUE ...]

Trains the experiment once for each seed. Keeps the checkpoint with the highest log-likelihood of the validation images,
and evaluates it and the last checkpoint on the test images. Prints the table with the quoted rows of the paper, and
writes DIR/table_1.md, DIR/table_1.png (validation log-likelihood by epoch) and DIR/table_1.json (the results with
configuration, commit, machine and time). DIR is runs/examples/table_1-NAME by default. You can stop it at any time: the
same command continues the training, and the results are the same bytes as without the stop.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tinygan import data
from tinygan.cli.output import mention
from tinygan.config.decisive import changes, decisive_toml
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.experiments.protocol import score_training_images
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
    config = load_experiment(options.experiment, options.overrides)
    options.out.mkdir(parents=True, exist_ok=True)
    if not _train_all(options):
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    runs = [_evaluate_run(seed, options) for seed in options.seeds]
    training_images = asdict(score_training_images(data.load(config.data.set, options.data)))
    table = _table(config.name, runs, training_images)
    _draw(runs, config).savefig(options.out / "table_1.png", dpi=90, metadata={"Software": None})
    (options.out / "table_1.md").write_text(table + "\n", encoding="utf-8")
    results = options.results or options.out / "table_1.json"
    folder = RunFolder.open(_folder(options.seeds[0], options))
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
    return 0


# ---------------------------------------------------------------------- runs


def _train_all(options: argparse.Namespace) -> bool:
    """Train each seed in a separate process; return whether all have reached their last epoch.

    An error in one process does not stop the others. Ctrl-C and SIGTERM stop all of them, each after a checkpoint.
    """
    children: list[subprocess.Popen[bytes]] = []
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        if number == signal.SIGTERM:  # the terminal sends Ctrl-C to every process itself
            for child in children:
                child.terminate()

    def train(words: list[str]) -> bool:
        if stopped:
            return False
        children.append(child := subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL))
        status = child.wait()
        if status != 0 and not stopped and status != 130:
            raise SystemExit(f"table_1: {command(*words[3:])} ended with status {status}; its message is above")
        return status == 0

    environment = dict(os.environ)
    if options.jobs > 1:  # the processes share the cores
        environment["OPENBLAS_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.jobs))
    commands = [_training_command(seed, options) for seed in options.seeds]
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ThreadPoolExecutor(options.jobs) as pool:  # each thread waits for a process
            return all(list(pool.map(train, commands)))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _training_command(seed: int, options: argparse.Namespace) -> list[str]:
    """Return the command that starts a run, or continues it to the last epoch of `options`."""
    folder = _folder(seed, options)
    words = [sys.executable, "-m", "tinygan"]
    if (folder / "config.toml").exists():
        _refuse_another_experiment(folder, load_experiment(options.experiment, [*options.overrides, f"seed={seed}"]))
        words += ["resume", str(folder)]
    else:
        words += ["train", options.experiment, "--out", str(folder), "--seed", str(seed)]
    for override in options.overrides:
        words += ["--set", override]
    words += ["--device", options.device, "--backend", options.backend]
    words += [] if options.data is None else ["--data", str(options.data)]
    return [*words, "--quiet"] if options.jobs > 1 else words


def _refuse_another_experiment(folder: Path, config: ExperimentConfig) -> None:
    changed = changes(decisive_toml(load_experiment(RunFolder.open(folder).config_path)), config)
    if changed:
        what = "; ".join(changed)
        raise SystemExit(f"table_1: {folder} holds a run with other settings: {what}; choose another --out")


def _evaluate_run(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate the best and the last checkpoint, and return the results with the validation curve."""
    folder = RunFolder.open(_folder(seed, options))
    ways = {"best": ["best"], "last": ["last"]}
    if load_experiment(folder.config_path).generator.average_decay is not None:
        ways["last, no mean"] = ["last", "--no-average"]
    answers = {}
    for which, how in ways.items():
        words = [sys.executable, "-m", "tinygan", "evaluate", str(folder.path), "--json", "--checkpoint", *how]
        words += [] if options.data is None else ["--data", str(options.data)]
        print(f"evaluating seed {seed}: {which}", file=sys.stderr)
        answers[which] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    curve = [
        (record["epoch"], record["validation_log_likelihood"], record["validation_sigma"])
        for record in folder.metrics()
        if "validation_log_likelihood" in record
    ]
    seconds = sum(record["seconds"] for record in folder.timing())
    return {"seed": seed, "seconds": round(seconds), "validation": curve, **answers}


def _folder(seed: int, options: argparse.Namespace) -> Path:
    return options.out / f"seed-{seed}"


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
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="seeds trained side by side (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: runs/examples/table_1-NAME)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="the JSON file (default: DIR/table_1.json)")
    parser.add_argument("--experiment", default="mnist", metavar="NAME", help="another experiment of this form")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or min(options.seeds) < 0 or (options.epochs is not None and options.epochs < 1):
        parser.error("--jobs and --epochs take 1 or more, --seeds 0 or more")
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
